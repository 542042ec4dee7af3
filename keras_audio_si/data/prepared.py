"""Folders of shards that `prepare` writes: how far it has come there, and what it has listed."""

import hashlib
import os
import pathlib

from keras_audio_si.data.manifest import Manifest
from keras_audio_si.data.text_files import read_json

INDEX_FILE, MANIFEST_FILE, PLAN_FILE = "index.json", "manifest.csv", "plan.json"
UNFINISHED = "has data that `prepare` has not finished, or a damaged index: run it again, with the same arguments"


def is_prepared(root):
    """Whether a folder has what `prepare` writes last."""
    return all((root / name).is_file() for name in (INDEX_FILE, MANIFEST_FILE))


def has_plan(root):
    """Whether a folder has what `prepare` writes first; other programs may have a file of that name."""
    try:
        return b'"clips_per_shard"' in (root / PLAN_FILE).read_bytes()
    except OSError:
        return False


def is_unfinished(root):
    """Whether `prepare` was cut off in a folder, or is at work there, or its list of shards was damaged since."""
    return has_plan(root) and not (is_prepared(root) and listed_shards(root))


def read_prepared(root):
    """Reads what `prepare` wrote: clips of shards, with classes in the order of the data that they come from.

    Args:
        root: Folder of the shards.

    Returns:
        A `Manifest`.

    Raises:
        ValueError: If the manifest lacks a column, or the index the names of the classes.
    """
    class_names = read_json(root / INDEX_FILE).get("class_names")
    if not isinstance(class_names, list) or not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"{root / INDEX_FILE} must have `class_names`, a list of text. Received: {class_names!r}")
    return Manifest.read(root / MANIFEST_FILE, class_names)


def listed_shards(root):
    """SHA-256 by name of the shards that `prepare` has listed in a folder; none if the list is of another program."""
    try:
        shards = read_json(pathlib.Path(root, INDEX_FILE))["shards"]
        return {os.path.basename(shard["name"]): shard["sha256"] for shard in shards}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def damage_of(shard):
    """Why a shard is not the one that `prepare` has listed beside it; None if it is, or none is listed."""
    shard = pathlib.Path(shard)
    digest = listed_shards(shard.parent).get(shard.name)
    if digest is None:
        return None
    if not shard.exists():
        return f"is not there, but {INDEX_FILE} lists it: `prepare` run again writes it anew"
    try:
        whole = sha256_of(shard) == digest
    except OSError:
        return None
    return None if whole else f"is damaged (another SHA-256 than in {INDEX_FILE}): `prepare` run again writes it anew"


def sha256_of(path):
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
