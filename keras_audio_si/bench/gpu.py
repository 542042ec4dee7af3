"""`keras-audio-si bench gpu`: the table of docs/benchmarks.md for the GPU of a machine, in one command."""

import keras

from keras_audio_si.bench.eat import bench_eat
from keras_audio_si.bench.models import bench_models
from keras_audio_si.bench.timing import check_json_path, machine, report

PRECISIONS = ("float32", "bfloat16")
EAT_BATCH = 8


def bench_gpu(batch_size=32, rounds=9, width=1.0, json_path=None):
    """Times VGG41 by pooling, and EAT-S, forward and in training, in float32 and bfloat16 on a GPU.

    Args:
        batch_size: Patches in a batch of VGG41; EAT-S has 8 examples of 5 s.
        rounds: Number of timed rounds, of which the median counts.
        width: Factor on the number of filters of VGG41.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts, one per line of the table: `network`, and for each precision and pass milliseconds, or of VGG41
        behind its first line the ratio to that. Printed as Markdown below the tables of `bench_models` and `bench_eat`.

    Raises:
        ValueError: If the backend sees no GPU.
    """
    if not has_gpu():
        raise ValueError(
            f"Keras on {keras.backend.backend()} sees no GPU here. Install the CUDA build of the backend (extra "
            "`jax-cuda` or `tensorflow`), or run `bench models` and `bench eat`, which take any device."
        )
    check_json_path(json_path)
    rows = {}
    for precision in PRECISIONS:
        found = bench_models(
            batch_size=batch_size, pooling=("max", "tlpf5+aps"), rounds=rounds, precision=precision, width=width
        )
        for row in found:
            first = row["name"] == found[0]["name"]
            line = rows.setdefault(f"VGG41, {row['name']}{' (ms)' if first else ''}", {})
            line[f"{precision} {row['pass']}"] = row["wall_ms"] if first else row["wall_ratio"]
        for row in bench_eat(EAT_BATCH, rounds, precision=precision, seconds=(5,)):
            name, _, batch = row["name"].partition(", 5 s, ")
            if batch == f"batch {EAT_BATCH}":
                line = rows.setdefault(f"EAT-S, 5 s, {batch} (ms)", {})
                line[f"{precision} {name.split()[-1]}"] = row["wall_ms"]
    table = [{"network": network, **values} for network, values in rows.items()]
    report("gpu", table, {"batch_size": batch_size, "rounds": rounds, "width": width}, "GPU", json_path)
    print(f"\n{', '.join(f'{name} {value}' for name, value in machine().items())}\n\n{_markdown(table)}")
    return table


def has_gpu():
    """Whether the backend of Keras sees a GPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    import torch

    return torch.cuda.is_available()


def _markdown(rows):
    cells = [list(rows[0]), ["---", *["---:"] * (len(rows[0]) - 1)]]
    cells += [[name, *(f"{value:.2f}" for value in values)] for name, *values in (row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
