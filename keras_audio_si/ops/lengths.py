"""Lengths of clips in a batch with zero padding."""

from keras import ops


def content_lengths(waveforms):
    """Finds where each waveform ends: after its last sample that is not zero.

    Args:
        waveforms: `(batch, samples)`

    Returns:
        `(batch,)` int32, in samples; 0 for silence.

    Example:

    >>> lengths = content_lengths(np.float32([[0, 3, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]]))
    >>> print(keras.ops.convert_to_numpy(lengths))
    [4 0]
    """
    places = ops.arange(1, ops.shape(waveforms)[1] + 1, dtype="int32")
    return ops.max(ops.where(ops.not_equal(waveforms, 0.0), places, 0), axis=1)


def frame_mask(lengths, num_frames, frame_samples, hop_length):
    """Mask of the frames that a clip has without the zeros after it.

    These are the frames that lie completely inside the clip, and the first one, so that every clip has a frame.

    Args:
        lengths: `(batch,)` integers, lengths of the clips in samples.
        num_frames: Number of frames of the padded clips.
        frame_samples: Samples that a clip of one frame has.
        hop_length: Samples from one frame to the next.

    Returns:
        `(batch, num_frames)` boolean, True for the frames of the clip.

    Example:

    >>> mask = frame_mask(np.int32([9, 4, 0]), num_frames=4, frame_samples=3, hop_length=2)
    >>> print(keras.ops.convert_to_numpy(mask).astype(int))
    [[1 1 1 1]
     [1 0 0 0]
     [1 0 0 0]]
    """
    lengths = ops.maximum(ops.cast(lengths, "int32"), frame_samples)
    frames = 1 + (lengths - frame_samples) // hop_length
    return ops.arange(num_frames, dtype="int32")[None] < frames[:, None]
