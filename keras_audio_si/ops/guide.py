"""The guide loss and the activeness of DiffRes (liu2022)."""

from keras import ops

from keras_audio_si.checks import check_choice

GUIDE_FORMS = ("hinge", "paper", "released")
EMPTINESS = ("rms", "released")

_EMPTY_RMS = 1e-4
_EMPTY_MARGIN = 1e-6


def empty_frames(frames, emptiness="rms", mask=None):
    """Finds the frames without sound.

    Args:
        frames: float32 tensor of linear values, `(batch, frames, features)`.
        emptiness: "rms" (the paper): the root mean square over the features is below 1e-4. "released": their mean is
            less than 1e-6 above the smallest mean in the whole batch, so that what is empty depends on the batch.
        mask: bool tensor of shape `(batch, frames)`, False for padding, or None.

    Returns:
        Pair of bool tensors of shape `(batch, frames)`: the empty frames and the others; padding is in neither.

    Raises:
        ValueError: If `emptiness` is unknown.

    Example:

    >>> empty, active = empty_frames(np.array([[[1e-5, 1e-5], [0.0, 1.0]]], "float32"))
    >>> print(keras.ops.convert_to_numpy(empty), keras.ops.convert_to_numpy(active))
    [[ True False]] [[False  True]]

    Reference:
        liu2022, eq. 4 and 7.
    """
    check_choice("emptiness", emptiness, EMPTINESS)
    frames = ops.convert_to_tensor(frames)
    if emptiness == "rms":
        empty = ops.mean(ops.square(frames), axis=-1) < _EMPTY_RMS**2
    else:
        means = ops.mean(frames, axis=-1)
        present = means if mask is None else ops.where(mask, means, float("inf"))
        empty = means < ops.min(present) + _EMPTY_MARGIN
    active = ops.logical_not(empty)
    return (empty, active) if mask is None else (empty & mask, active & mask)


def guide_loss(scores, empty, kept, threshold=0.5, form="hinge"):
    """Penalises the scores of empty frames of every example.

    Frames merged evenly have scores of `1 - δ`. "hinge" and "released" penalise scores above λ times that. "paper"
    penalises scores above λ δ, which is more than `1 - δ` from δ = 1 / (1 + λ) on: at such rates empty frames may have
    the score of an even merge without penalty.

    Args:
        scores: float32 tensor of rescaled scores, `(batch, frames)`.
        empty: bool tensor of the same shape.
        kept: Output frames per input frame, `1 - δ`; a number or a tensor of shape `(batch,)`.
        threshold: λ, which says up to where there is no penalty.
        form: "hinge": the mean of `(s - λ (1 - δ))^+` over the empty frames. "paper": that of `(s / δ - λ)^+` (with the
            sign that makes it a penalty; the paper has a minus). "released": their mean score, if it is above
            `λ (1 - δ)`. The first two are 0 where nothing is to be reduced.

    Returns:
        float32 tensor of shape `(batch,)`; 0 for an example without empty frames.

    Raises:
        ValueError: If `form` is unknown.

    Example:

    >>> scores, empty = np.array([[0.6, 0.9]], "float32"), np.array([[True, False]])
    >>> [round(float(guide_loss(scores, empty, 0.5, form=form)[0]), 3) for form in GUIDE_FORMS]
    [0.35, 0.7, 0.6]

    Reference:
        liu2022, eq. 7.
    """
    check_choice("form", form, GUIDE_FORMS)
    scores, kept = ops.convert_to_tensor(scores), ops.convert_to_tensor(kept, "float32")
    if form == "released":
        mean = _mean(scores, empty)
        return ops.where(mean > threshold * kept, mean, 0.0)
    above = scores - threshold * _column(kept) if form == "hinge" else scores / _column(_reduced(kept)) - threshold
    return ops.where(kept < 1, _mean(ops.relu(above), empty), 0.0)


def activeness(scores, empty, active, kept, form="paper"):
    """Measure for every example how much the scores of frames with sound differ.

    Args:
        scores: float32 tensor of rescaled scores, `(batch, frames)`.
        empty: bool tensor of the same shape.
        active: bool tensor of the same shape.
        kept: As in `guide_loss`.
        form: "paper": the population standard deviation over the active frames, divided by δ. "released": the unbiased
            one, as it is, and 0 for an example without empty frames.

    Returns:
        float32 tensor of shape `(batch,)`.

    Example:

    >>> scores, active = np.array([[0.6, 0.2]], "float32"), np.array([[True, True]])
    >>> round(float(activeness(scores, ~active, active, kept=0.5)[0]), 3)
    0.4

    Reference:
        liu2022, eq. 4.
    """
    scores, kept = ops.convert_to_tensor(scores), ops.convert_to_tensor(kept, "float32")
    count = ops.sum(ops.cast(active, "float32"), axis=1)
    deviations = ops.where(active, scores - _column(_mean(scores, active)), 0.0)
    squares = ops.sum(ops.square(deviations), axis=1)
    if form == "paper":
        return ops.where(kept < 1, ops.sqrt(squares / ops.maximum(count, 1.0)) / _reduced(kept), 0.0)
    deviation = ops.sqrt(squares / ops.maximum(count - 1.0, 1.0))
    return ops.where(ops.any(empty, axis=1), deviation, 0.0)


def _mean(x, where):
    """The mean of the chosen frames of each example, 0 without any."""
    weights = ops.cast(where, "float32")
    return ops.sum(weights * ops.convert_to_tensor(x), axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)


def _reduced(kept):
    """δ, or 1 where it is 0."""
    return ops.where(kept < 1, 1.0 - kept, 1.0)


def _column(x):
    return ops.expand_dims(x, -1)
