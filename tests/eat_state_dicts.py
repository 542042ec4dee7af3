"""State dicts of the released EAT by the rule of the golden manifest: names, shapes and seeded values."""

import json
import pathlib

import numpy as np

TENSORS = json.loads((pathlib.Path(__file__).parent / "golden" / "eat_tensors.json").read_text(encoding="utf-8"))


def state_dict(table, base):
    """The tensors of one table of the manifest; the k-th is made of `default_rng(base + k)`."""
    return {name: _value(name, shape, base + k) for k, (name, shape) in enumerate(TENSORS[table])}


def _value(name, shape, seed):
    n, kind = np.random.default_rng(seed).standard_normal(shape), name.rsplit(".", 1)[-1]
    if kind == "filt":
        rising = np.arange(1, shape[2] // 2 + 2)
        taps = np.concatenate([rising, rising[-2::-1]])
        value = np.broadcast_to(taps / taps.sum(), shape)
    elif kind == "running_var":
        value = 1 + 0.1 * np.abs(n)
    elif kind in ("cls_token", "pos_embed"):
        value = 0.2 * n
    elif kind == "weight" and len(shape) == 1:
        value = 1 + 0.05 * n
    elif len(shape) == 1:
        value = 0.05 * n
    else:
        value = n / np.sqrt(np.prod(shape[1:]))
    return value.astype("float32")
