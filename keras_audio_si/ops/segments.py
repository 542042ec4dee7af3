"""Sums and maxima over segments of consecutive rows, with gradients by gathering."""

from keras import ops

from keras_audio_si.ops.xla import custom_gradient


def segment_sum(x, segments, num_segments):
    """Adds up the rows of every segment.

    Args:
        x: Tensor of shape `(rows, ...)`.
        segments: int32 tensor of shape `(rows,)`, the segment of each row.
        num_segments: Number of segments.

    Returns:
        Tensor of shape `(num_segments, ...)`; 0 for a segment without rows.

    Example:

    >>> print(keras.ops.convert_to_numpy(segment_sum(np.ones(3, "float32"), np.array([0, 2, 2]), 3)))
    [1. 0. 2.]
    """

    def forward(x, segments):
        return ops.segment_sum(x, segments, num_segments)

    def backward(args, _, upstream):
        return ops.take(upstream, args[1], axis=0), None

    return custom_gradient(forward, backward)(ops.convert_to_tensor(x), ops.convert_to_tensor(segments))


def segment_max(x, segments, num_segments):
    """Takes the largest of every column in every segment; equal ones share the gradient.

    Args:
        x: float tensor of shape `(rows, columns)`.
        segments: int32 tensor of shape `(rows,)`, the segment of each row.
        num_segments: Number of segments.

    Returns:
        Tensor of shape `(num_segments, columns)`; a segment without rows has minus infinity or the lowest number.

    Example:

    >>> x = np.array([[1.0], [5.0], [4.0]], "float32")
    >>> print(keras.ops.convert_to_numpy(segment_max(x, np.array([0, 1, 1]), 2))[:, 0])
    [1. 5.]
    """

    def forward(x, segments):
        return ops.segment_max(x, segments, num_segments)

    def backward(args, largest, upstream):
        x, segments = args
        here = x == ops.take(largest, segments, axis=0)
        share = upstream / ops.maximum(ops.segment_sum(ops.cast(here, x.dtype), segments, num_segments), 1.0)
        return ops.where(here, ops.take(share, segments, axis=0), 0.0), None

    return custom_gradient(forward, backward)(ops.convert_to_tensor(x), ops.convert_to_tensor(segments))
