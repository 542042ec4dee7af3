"""Embeddings of audio files as arrays of NumPy or a Parquet table."""

import os

import numpy as np

from keras_audio_si.checks import check_choice
from keras_audio_si.escaping import printable
from keras_audio_si.files import written_whole

SUFFIXES = (".npz", ".parquet")


def write_embeddings(results, path):
    """Writes the embeddings of files, which are all in memory before.

    Args:
        results: Iterable of `inference.tagging.FileScores` of an `models.embedding_model`, whose scores are embeddings.
        path: File to write. `.npz` has the arrays `embeddings`, `(rows, features)` float32, and `files`,
            `start_seconds` and `end_seconds`, `(rows,)`. `.parquet` has the columns `file`, `start_seconds`,
            `end_seconds` and `embedding`, a list, and needs the extra `parquet`.

    Returns:
        Number of files without embeddings, which have no row.

    Raises:
        ValueError: If the suffix is another, or no file has embeddings.
        ImportError: If the extra is missing.

    Example:

    >>> import os, tempfile
    >>> from keras_audio_si.inference.tagging import FileScores
    >>> result = FileScores("a.wav", 2.0, np.zeros(1), np.full(1, 2.0), np.ones((1, 3), "float32"))
    >>> path = os.path.join(tempfile.mkdtemp(), "embeddings.npz")
    >>> write_embeddings([result], path)
    0
    >>> with np.load(path) as arrays:
    ...     print(arrays["files"], arrays["embeddings"])
    ['a.wav'] [[1. 1. 1.]]
    """
    suffix = check_suffix(path)
    files, starts, ends, rows, failed = [], [], [], [], 0
    for result in results:
        failed += result.error is not None
        files += [printable(result.path)] * len(result.scores)
        starts.extend(result.starts)
        ends.extend(result.ends)
        rows.extend(np.float32(result.scores))
    if not rows:
        raise ValueError("None of the files has embeddings; the lines above say why.")
    with written_whole(path) as temporary:
        if suffix == ".npz":
            times = {"start_seconds": np.array(starts), "end_seconds": np.array(ends)}
            np.savez(temporary, files=np.array(files), embeddings=np.stack(rows), **times)
        else:
            import pyarrow.parquet

            # Rows stay arrays: as lists of Python's numbers they would take ten times the memory.
            columns = {"file": files, "start_seconds": starts, "end_seconds": ends, "embedding": rows}
            types = {"embedding": pyarrow.list_(pyarrow.float32())}
            arrays = {name: pyarrow.array(values, types.get(name)) for name, values in columns.items()}
            pyarrow.parquet.write_table(pyarrow.table(arrays), temporary)
    return failed


def check_suffix(path):
    """Returns the suffix of a file of embeddings, if it is known and can be written.

    Raises:
        ValueError: If it is none of those known.
        ImportError: If the extra is missing.
    """
    suffix = os.path.splitext(path)[1]
    check_choice("the suffix of the output", suffix, SUFFIXES)
    if suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ImportError('Parquet needs the extra `parquet`: pip install "keras-audio-si[parquet]"') from error
    return suffix
