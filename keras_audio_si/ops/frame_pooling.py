"""Reductions of the number of frames by sampling and pooling, to any smaller number (liu2022)."""

from keras import ops

from keras_audio_si.ops.warp import Warp, merge_frames

_BLOCK = 1 << 10


def scaled_divmod(index, numerator, denominator):
    """Returns `divmod(index * numerator, denominator)`, although the product may not fit int32.

    Args:
        index: int, or int array or tensor, not negative.
        numerator: int, or int tensor.
        denominator: int, or int tensor, positive. None of the three above a million.

    Returns:
        Pair of the same kind, quotient and remainder.

    Example:

    >>> scaled_divmod(300000, 400000, 600000)
    (200000, 0)
    """
    high, low = index // _BLOCK * numerator, index % _BLOCK * numerator
    rest = high % denominator * _BLOCK + low
    return high // denominator * _BLOCK + rest // denominator, rest % denominator


def sampled_frames(num_frames, lengths, output_lengths):
    """Indices of evenly spread frames, the first and the last one of a clip among them.

    Args:
        num_frames: Number of indices.
        lengths: Number of frames of each clip, int32 tensor of shape `(batch,)`, or one number.
        output_lengths: Number of frames to take of each. Behind them the last index is repeated.

    Returns:
        int32 tensor of shape `(batch, num_frames)`, or `(1, num_frames)`.

    Example:

    >>> print(keras.ops.convert_to_numpy(sampled_frames(4, 10, 4)))
    [[0 3 6 9]]

    Reference:
        liu2022, section 3.1, "Change hop size".
    """
    last, last_output = (ops.maximum(_column(count) - 1, 0) for count in (lengths, output_lengths))
    index = ops.minimum(ops.arange(num_frames, dtype="int32"), last_output)
    return scaled_divmod(index, last, ops.maximum(last_output, 1))[0]


def pooled_frames(x, num_frames, lengths, output_lengths, aggregations=("mean",)):
    """Pools adaptively along time: output frame `i` is taken over the input frames that `[i, i + 1] * T / t` touches.

    Args:
        x: float32 tensor of shape `(batch, frames, features)`.
        num_frames: Number of output frames.
        lengths: Number of frames `T` of each clip, int32 tensor of shape `(batch,)`, or one number.
        output_lengths: Number of output frames `t` of each, at most `lengths`. What comes behind has no meaning.
        aggregations: Some of "mean" and "max".

    Returns:
        List of tensors of shape `(batch, num_frames, features)`.

    Example:

    >>> x = np.arange(5, dtype="float32")[None, :, None]
    >>> print(keras.ops.convert_to_numpy(pooled_frames(x, 2, 5, 2)[0])[0, :, 0])
    [1. 3.]

    Reference:
        liu2022, section 3.1, "AvgPool".
    """
    lengths, output_lengths = ops.maximum(_column(lengths), 1), ops.maximum(_column(output_lengths), 1)
    index = ops.arange(ops.shape(x)[1], dtype="int32") * ops.ones((ops.shape(x)[0], 1), "int32")
    row, _ = scaled_divmod(index, output_lengths, lengths)
    end, rest = scaled_divmod(index + 1, output_lengths, lengths)
    divided = (end - ops.cast(rest == 0, "int32") > row) & (index < lengths)
    row = ops.where(index < lengths, row, num_frames)
    warp = Warp(row, ops.ones_like(index, "float32"), ops.cast(divided, "float32"), divided)
    merged = merge_frames(x, warp, num_frames, aggregations, lowest=-float("inf"))
    if "mean" in aggregations:
        index = ops.arange(num_frames, dtype="int32")
        begin, _ = scaled_divmod(index, lengths, output_lengths)
        end, rest = scaled_divmod(index + 1, lengths, output_lengths)
        count = ops.cast(end + ops.cast(rest > 0, "int32") - begin, "float32")
        place = aggregations.index("mean")
        merged[place] = merged[place] / ops.expand_dims(count, -1)
    return merged


def _column(count):
    return ops.reshape(ops.cast(count, "int32"), (-1, 1))
