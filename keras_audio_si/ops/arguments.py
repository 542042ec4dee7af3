"""Conversion of the arguments of `ops` to float32 tensors and constants."""

import numpy as np
from keras import backend, ops

TINY = float(np.finfo(np.float32).tiny)


def as_float32(x, name="x"):
    """Returns `x` as float32; a TypeError names it if it is not of a real float type."""
    if not hasattr(x, "dtype"):
        x = ops.convert_to_tensor(x)
    dtype = backend.standardize_dtype(x.dtype)
    if "float" not in dtype:
        raise TypeError(
            f"`{name}` must be of a real float type. Received: dtype={dtype}. Scale integer samples to [-1, 1]."
        )
    return ops.cast(x, "float32")


def as_column(values, x):
    """Returns values `(batch,)` with an axis of one element for each further axis of `x`, `(batch, ...)`."""
    return ops.reshape(values, (-1,) + (1,) * (len(x.shape) - 1))


def constant(array):
    """Returns a float32 copy that callers of a cached function cannot change."""
    array = array.astype(np.float32)
    array.setflags(write=False)
    return array
