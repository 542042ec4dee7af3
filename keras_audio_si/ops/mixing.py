"""Mixtures of the examples of a batch in amplitude, time, frequency and phase, and of their labels.

`partner` is the index of the example that each example is mixed with, and `weight` the weight of the example itself.
All functions compute in float32.
"""

from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops import signal, spectrum, xla
from keras_audio_si.ops.arguments import as_column, as_float32

BIN_RULES = ("released", "paper")
QUIETEST_POWER = 1e-5


def mix_amplitudes(x, partner, weight):
    """Mixes `weight * x + (1 - weight) * x[partner]`.

    Args:
        x: Float tensor, `(batch, ...)`.
        partner: Integer tensor, `(batch,)`.
        weight: Float tensor, `(batch,)`, in [0, 1].

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        TypeError: If `x` is not of a real float type.

    Example:

    >>> mixed = mix_amplitudes(np.float32([[1.0], [3.0]]), partner=np.array([1, 0]), weight=np.float32([0.5, 1.0]))
    >>> np.asarray(mixed).tolist()
    [[2.0], [3.0]]
    """
    x, weight = as_float32(x), as_column(as_float32(weight, "weight"), x)
    return weight * x + (1.0 - weight) * ops.take(x, partner, axis=0)


def gain_aware_weight(x, partner, weight):
    """Amplitude weights with which the loudness of two sounds has the ratio that `weight` gives.

    With the root mean squares r and r' of example and partner it is
    `weight * r' / (weight * r' + (1 - weight) * r)`. A sound with a mean square below 1e-5 counts as if it had that.

    Args:
        x: Float tensor, `(batch, ...)`.
        partner: Integer tensor, `(batch,)`.
        weight: Float tensor, `(batch,)`, in [0, 1].

    Returns:
        Float32 tensor, `(batch,)`.

    Raises:
        TypeError: If `x` is not of a real float type.

    Example:

    >>> loud_and_soft = np.float32([[0.3, -0.3], [0.1, -0.1]])
    >>> np.asarray(gain_aware_weight(loud_and_soft, np.array([1, 0]), np.float32([0.5, 0.5]))).round(3).tolist()
    [0.25, 0.75]
    """
    x, weight = as_float32(x), as_float32(weight, "weight")
    power = ops.mean(ops.square(x), axis=tuple(range(1, len(x.shape))))
    level = ops.sqrt(ops.maximum(power, QUIETEST_POWER))
    own, other = weight * ops.take(level, partner, axis=0), (1.0 - weight) * level
    return own / (own + other)


def equal_power(weight):
    """Factor that gives the mixture of two independent, equally loud sounds the power of one of them.

    Args:
        weight: Float tensor, `(batch,)`, in [0, 1].

    Returns:
        Float32 tensor, `(batch,)`.

    Example:

    >>> float(equal_power(np.float32(0.5)))
    1.4142135381698608
    """
    weight = as_float32(weight, "weight")
    return ops.rsqrt(ops.square(weight) + ops.square(1.0 - weight))


def mix_in_time(x, partner, weight, position):
    """Replaces a segment of `int((1 - weight) * samples)` samples by the partner's.

    Args:
        x: Float tensor, `(batch, samples)`.
        partner: Integer tensor, `(batch,)`.
        weight: Float tensor, `(batch,)`, in [0, 1].
        position: Float tensor, `(batch,)`, from 0 (the segment is at the beginning) to 1 (at the end).

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        TypeError: If `x` is not of a real float type.

    Example:

    >>> x = np.float32([[1, 1, 1, 1], [2, 2, 2, 2]])
    >>> mixed = mix_in_time(x, np.array([1, 0]), weight=np.float32([0.5, 0.75]), position=np.float32([1.0, 0.0]))
    >>> np.asarray(mixed).tolist()
    [[1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]]
    """
    x, weight = as_float32(x), as_float32(weight, "weight")
    samples = ops.shape(x)[-1]
    count = ops.floor((1.0 - weight) * ops.cast(samples, "float32"))
    return ops.where(_segment(samples, count, position), ops.take(x, partner, axis=0), x)


def mix_in_frequency(x, partner, weight, high, fft_length, hop_length, window="hann", bins="released"):
    """Replaces the highest or the lowest bins of a short-time spectrum by the partner's.

    Args:
        x: Float tensor, `(batch, samples)`.
        partner: Integer tensor, `(batch,)`.
        weight: Float tensor, `(batch,)`, in [0, 1].
        high: Boolean tensor, `(batch,)`: whether the highest bins are replaced.
        fft_length: Samples per frame.
        hop_length: Samples from one frame to the next.
        window: `"hann"`, `"hamming"` or `"rectangular"`.
        bins: Of `fft_length // 2 + 1` bins, `"released"` replaces `int((1 - weight) * bins)` and `"paper"` keeps
            `int(weight * bins)`.

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        ValueError: If an argument is out of range or unknown.
        TypeError: If `x` is not of a real float type.

    Example:

    >>> time = np.arange(4001) / 8000
    >>> x = np.stack([np.cos(2 * np.pi * 440 * time), np.cos(2 * np.pi * 2500 * time)]).astype("float32")
    >>> mixed = mix_in_frequency(x, np.array([1, 0]), np.float32([0.5, 0.5]), np.array([True, False]), 256, 64)
    >>> bool(np.abs(np.asarray(mixed) - x.sum(axis=0)).max() < 0.01)
    True
    """
    x, weight = as_float32(x), as_float32(weight, "weight")
    check_choice("bins", bins, BIN_RULES)
    num_bins = fft_length // 2 + 1
    if bins == "released":
        count = ops.floor((1.0 - weight) * num_bins)
    else:
        count = num_bins - ops.floor(weight * num_bins)
    band = ops.cast(_segment(num_bins, count, ops.cast(high, "float32")), "float32")

    # The transform is linear, so it is enough to transform the difference of the two and add its band.
    def add_band(x, difference, band):
        return x + spectrum.keep_bins(difference, band, fft_length, hop_length, window)

    return xla.each_example(add_band, (x, ops.take(x, partner, axis=0) - x, band))


def mix_phases(x, partner, weight, fft_length, hop_length, window="rectangular"):
    """Keeps the magnitudes of a short-time spectrum and mixes its phases with those of the partner.

    The phases, from -pi to pi, are mixed as numbers, without unwrapping.

    Args:
        x: Float tensor, `(batch, samples)`.
        partner: Integer tensor, `(batch,)`.
        weight: Float tensor, `(batch,)`, in [0, 1].
        fft_length: Samples per frame.
        hop_length: Samples from one frame to the next.
        window: `"hann"`, `"hamming"` or `"rectangular"`.

    Returns:
        Float32 tensor of the shape of `x`.

    Raises:
        TypeError: If `x` is not of a real float type.

    Example:

    >>> x = np.random.default_rng(0).standard_normal((2, 1000)).astype("float32")
    >>> same = mix_phases(x, partner=np.array([1, 0]), weight=np.float32([1.0, 1.0]), fft_length=64, hop_length=16)
    >>> bool(np.abs(np.asarray(same) - x).max() < 1e-5)
    True
    """

    def mix(x, other, weight):
        real, imag = spectrum.analyse(x, fft_length, hop_length, window)
        own = spectrum.phase(real, imag)
        magnitude = signal.power_spectrum(real, imag, power=1.0)
        other = spectrum.phase(*spectrum.analyse(other, fft_length, hop_length, window))
        weight = weight[:, None, None]
        real, imag = spectrum.from_polar(magnitude, weight * own + (1.0 - weight) * other)
        return spectrum.synthesise(real, imag, ops.shape(x)[-1], fft_length, hop_length, window)

    x, weight = as_float32(x), as_float32(weight, "weight")
    return xla.each_example(mix, (x, ops.take(x, partner, axis=0), weight))


def mix_labels(labels, partner, weight, rule, union_limit=None):
    """Labels of mixtures.

    Args:
        labels: Float tensor, `(batch, ...)`, one-hot or multi-hot.
        partner: Integer tensor, `(batch,)`.
        weight: Float tensor, `(batch,)`, in [0, 1]: the share of the example's own labels.
        rule: `"convex"` mixes them by `weight`; `"union"` gives the mixture the labels of both.
        union_limit: With `"union"`, the weight from which on the labels of the partner are left out; None for never.

    Returns:
        Float32 tensor of the shape of `labels`.

    Raises:
        TypeError: If `labels` are not of a real float type.

    Example:

    >>> labels, partner, weight = np.eye(2, dtype="float32"), np.array([1, 0]), np.float32([0.75, 0.95])
    >>> np.asarray(mix_labels(labels, partner, weight, "union", union_limit=0.9)).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    if rule == "convex":
        return mix_amplitudes(labels, partner, weight)
    labels = as_float32(labels, "labels")
    others = ops.take(labels, partner, axis=0)
    if union_limit is not None:
        weight = as_column(as_float32(weight, "weight"), labels)
        others = ops.where(weight < union_limit, others, 0.0)
    return ops.maximum(labels, others)


def both_finite(x, partner):
    """Whether all samples of an example and of its partner are finite.

    Args:
        x: Float tensor, `(batch, ...)`.
        partner: Integer tensor, `(batch,)`.

    Returns:
        Boolean tensor, `(batch,)`.

    Example:

    >>> np.asarray(both_finite(np.float32([[0.0], [np.nan], [1.0]]), partner=np.array([2, 0, 1]))).tolist()
    [True, False, False]
    """
    finite = ops.all(ops.isfinite(ops.reshape(x, (ops.shape(x)[0], -1))), axis=1)
    return ops.logical_and(finite, ops.take(finite, partner, axis=0))


def _segment(size, count, position):
    """Whether an index of `size` is in a segment of `count` that lies at `position`, 0 to 1: `(batch, size)`."""
    start = ops.floor(as_float32(position, "position") * (ops.cast(size, "float32") - count))[:, None]
    index = ops.cast(ops.arange(size), "float32")
    return ops.logical_and(index >= start, index < start + count[:, None])
