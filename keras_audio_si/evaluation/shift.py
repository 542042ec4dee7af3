"""Shift robustness: consistency of the top class and mean absolute change of its score under small shifts.

Three kinds of shift, each with a size N:

- `"time-N"`: the patch starts N frames later. It ends with audio that follows the original patch; nothing wraps around.
  A network on waveforms has no frames: N counts hops of 10 ms, as in the paper.
- `"freq-N"`: the spectrogram is shifted N mel bands upwards. The N highest bands are discarded, and the N lowest are
  filled with white noise whose mean is that of the original lowest band. The paper does not state its standard
  deviation: here it is that of the same band, per patch.
- `"samples-N"`: a waveform starts N samples later, which may be less than a frame.

For a network whose inputs are scaled to a peak (`layers.FitLength`), patches are scaled after the shift.

The patches are selected by `evaluation.shift_clips`.
"""

import re
from typing import NamedTuple

import keras
import numpy as np

from keras_audio_si.checks import check_integer, check_interval
from keras_audio_si.data.patches import scaled_to_peak
from keras_audio_si.evaluation.clips import predict_batches
from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.layers.pcen import PCEN
from keras_audio_si.models.metadata import fit_length_of

PAPER_PROTOCOLS = ("time-1", "time-3", "time-5", "freq-1", "freq-3", "freq-5")


class ShiftResult(NamedTuple):
    """Robustness of a model to one shift.

    Attributes:
        consistency: Share of patches, in [0, 1], whose top class is the same before and after the shift.
        mac: Mean absolute change of the probability of the top class, the one of the original patch.
        num_patches: Number of patches.
    """

    consistency: float
    mac: float
    num_patches: int


def has_bands(model):
    """Whether a model takes spectrograms or computes them, so that `"freq-N"` applies to it.

    Example:

    >>> has_bands(keras_audio_si.models.EATSmall(50))
    False
    """
    return len(model.input_shape) == 3 or any(isinstance(layer, FrontEnd) for layer in model.layers)


def check_protocols(model, protocols):
    """Raises a `ValueError` if one of the protocols is unknown, or shifts bands that the model does not have."""
    for protocol in protocols:
        if parse_protocol(protocol)[0] == "freq":
            _check_bands(model)


def _check_bands(model):
    if not has_bands(model):
        raise ValueError(
            f"'freq-N' shifts the bands of a spectrogram, but the model {model.name!r} has no `LogMelSpectrogram` "
            "among its layers: shift it by 'time-N' or 'samples-N'."
        )


def paper_protocols(models):
    """The `PAPER_PROTOCOLS` that apply to all of some models."""
    banded = all(map(has_bands, models))
    return tuple(protocol for protocol in PAPER_PROTOCOLS if banded or parse_protocol(protocol)[0] != "freq")


def shift_bands(spectrograms, bands, seed=0):
    """Moves spectrograms upwards in frequency and fills the lowest bands with white noise.

    The noise of example `i` depends on `seed` and `i` only. It moves along with the spectrogram: a shift by
    three bands contains that by two, and one more band of noise below it.

    Args:
        spectrograms: Array `(examples, time, mel)`, lowest band first.
        bands: Number of bands to move by.
        seed: Seed of the noise.

    Returns:
        float32 array of the same shape.

    Raises:
        ValueError: If `bands` leaves nothing of the original, or the rank is not 3.

    Example:

    >>> shift_bands(np.array([[[5.0, 6.0, 7.0], [5.0, 8.0, 9.0]]]), 1)
    array([[[5., 5., 6.],
            [5., 5., 8.]]], dtype=float32)

    Reference:
        Fonseca et al., 2021, section IV-C.
    """
    spectrograms = np.asarray(spectrograms, "float32")
    if spectrograms.ndim != 3:
        raise ValueError(f"`spectrograms` must be (examples, time, mel). Received: shape={spectrograms.shape}")
    frames, num_bands = spectrograms.shape[1:]
    check_interval(f"[0, {num_bands})", bands=bands)
    lowest = spectrograms[:, :, 0].astype("float64")
    shifted = np.empty_like(spectrograms)
    shifted[:, :, bands:] = spectrograms[:, :, : num_bands - bands]
    for i, (mean, deviation) in enumerate(zip(lowest.mean(axis=1), lowest.std(axis=1), strict=True)):
        noise = np.random.default_rng([seed, i]).standard_normal((bands, frames))
        shifted[i, :, :bands] = mean + deviation * noise[::-1].T
    return shifted


def shift_consistency(model, patches, protocol, seed=0, batch_size=64, patch_length=None, hop_length=None):
    """Measures how much one shift of the input changes a model's predictions.

    Args:
        model: Keras model that ends in probabilities `(batch, classes)` and takes spectrograms `(batch, time,
            mel)` or waveforms `(batch, samples)`. A waveform model's `LogMelSpectrogram`, if it has one, says
            how many samples a frame is, and is where the bands are shifted. A `FitLength` says how many are 10 ms.
        patches: Array of the model's inputs, longer than these in time (axis 1) by at least the shift.
        protocol: `"time-N"` (frames), `"freq-N"` (mel bands) or `"samples-N"`.
        seed: Seed of the noise of `"freq-N"`.
        batch_size: Patches per batch.
        patch_length: Frames or samples that the model sees; the default is the model's input length.
        hop_length: Samples per frame, for `"time-N"` on a waveform model with neither.

    Returns:
        `ShiftResult`. Scores that are not finite give NaN.

    Raises:
        ValueError: If the patches are too short, the protocol is unknown or does not apply to the model, or
            the scores are not probabilities.

    Reference:
        Fonseca et al., 2021, section IV-C and Table III.
    """
    return shift_table(model, patches, (protocol,), seed, batch_size, patch_length, hop_length)[protocol]


def shift_table(model, patches, protocols=PAPER_PROTOCOLS, seed=0, batch_size=64, patch_length=None, hop_length=None):
    """Measures several shifts, predicting the original patches once. Arguments as for `shift_consistency`.

    Returns:
        dict of `ShiftResult` by protocol.
    """
    parsed = {protocol: parse_protocol(protocol) for protocol in protocols}
    subject = _Subject(model, patches, patch_length, hop_length, seed, batch_size)
    for kind, shift in parsed.values():
        subject.check(kind, shift)
    original = subject.scores("time", 0)
    return {name: compare_scores(original, subject.scores(*shift)) for name, shift in parsed.items()}


def compare_scores(original, shifted):
    """Compares the scores of original and shifted patches, both `(patches, classes)`.

    Returns:
        `ShiftResult`. Scores that are not finite give NaN.

    Raises:
        ValueError: If the scores are not probabilities.

    Example:

    >>> result = compare_scores(np.array([[0.75, 0.25], [0.5, 0.125]]), np.array([[0.5, 0.625], [0.5, 0.25]]))
    >>> result.consistency, result.mac
    (0.5, 0.125)
    """
    original, shifted = np.asarray(original, "float64"), np.asarray(shifted, "float64")
    if not (np.isfinite(original).all() and np.isfinite(shifted).all()):
        return ShiftResult(float("nan"), float("nan"), len(original))
    low, high = min(original.min(), shifted.min()), max(original.max(), shifted.max())
    if low < 0 or high > 1 + 1e-3:  # a float16 softmax may exceed 1 by a rounding
        raise ValueError(
            "The mean absolute change is one of probabilities, but the model's scores range from "
            f"{low:.3g} to {high:.3g}. End the model in a sigmoid or softmax."
        )
    top = original.argmax(axis=1)
    rows = np.arange(len(top))
    return ShiftResult(
        consistency=float((shifted.argmax(axis=1) == top).mean()),
        mac=float(np.abs(shifted[rows, top] - original[rows, top]).mean()),
        num_patches=len(top),
    )


def stability(model, patches, kind, max_shift, classes, seed=0, batch_size=64, patch_length=None, hop_length=None):
    """Follows the score of a class of each patch while the patches are shifted further and further.

    Args:
        model: As for `shift_consistency`.
        patches: As for `shift_consistency`.
        kind: `"time"` (frames), `"freq"` (mel bands) or `"samples"`.
        max_shift: Largest shift.
        classes: Integer array `(patches,)`, the class to follow in each patch.
        seed, batch_size, patch_length, hop_length: As for `shift_consistency`.

    Returns:
        Float array `(patches, max_shift + 1)`, the scores after shifts by 0, 1, ..., `max_shift`.

    Raises:
        ValueError: As `shift_consistency`.

    Reference:
        Fonseca et al., 2021, Fig. 2.
    """
    subject = _Subject(model, patches, patch_length, hop_length, seed, batch_size)
    subject.check(kind, max_shift)
    followed = np.arange(len(subject.patches)), np.asarray(classes)
    return np.stack([subject.scores(kind, shift)[followed] for shift in range(max_shift + 1)], axis=1)


def parse_protocol(protocol):
    """Splits a protocol's name into kind and size.

    Raises:
        ValueError: If it is none of `"time-N"`, `"freq-N"`, `"samples-N"`.

    Example:

    >>> parse_protocol("freq-3")
    ('freq', 3)
    """
    match = re.fullmatch(r"(time|freq|samples)-(\d+)", protocol)
    if match is None:
        raise ValueError(
            f"`protocol` must be 'time-N', 'freq-N' or 'samples-N' with N an integer. Received: protocol={protocol!r}"
        )
    return match[1], int(match[2])


class _Subject:
    """A model and its test patches, with the implementation of each kind of shift."""

    def __init__(self, model, patches, patch_length, hop_length, seed, batch_size):
        rank = len(model.input_shape)
        patches = np.asarray(patches)
        if rank not in (2, 3) or patches.ndim != rank or len(patches) == 0:
            raise ValueError(
                "`model` must take spectrograms (batch, time, mel) or waveforms (batch, samples), and "
                "`patches` must hold at least one of them. "
                f"Received: model.input_shape={model.input_shape}, patches.shape={patches.shape}"
            )
        check_integer(1, batch_size=batch_size)
        self.is_waveform = rank == 2
        self.length = model.input_shape[1] if patch_length is None else patch_length
        if self.length is None:
            raise ValueError("The model takes inputs of any length: `patch_length` must say how long a patch is.")
        self.model, self.patches, self.seed, self.batch_size = model, patches, seed, batch_size
        self.front_end_index = next((i for i, layer in enumerate(model.layers) if isinstance(layer, FrontEnd)), None)
        if self.front_end_index is not None:
            hop_length = model.layers[self.front_end_index].hop_length
            # Not among energies, where noise would be negative, but behind the layer that compresses them.
            following = model.layers[self.front_end_index + 1 : self.front_end_index + 2]
            self.front_end_index += any(isinstance(layer, PCEN) for layer in following)
        fit_length = fit_length_of(model)
        self.peak = fit_length and fit_length.peak
        if hop_length is None and fit_length and fit_length.sample_rate:
            hop_length = fit_length.hop_length
        self.units = {"samples": 1, "time": hop_length} if self.is_waveform else {"time": 1}
        self._halves = None

    def check(self, kind, shift):
        """Raises unless the shift applies to the model and the patches are long enough for it."""
        if kind == "freq":
            _check_bands(self.model)
            shift = 0
        elif kind not in self.units:
            raise ValueError(f"The shift {kind!r} does not apply to a model that takes {self.model.input_shape}.")
        elif self.units[kind] is None:
            raise ValueError(
                "'time-N' on a waveform model without `LogMelSpectrogram` or the sample rate of a `FitLength` needs "
                "`hop_length`, in samples."
            )
        else:
            shift *= self.units[kind]
        if self.patches.shape[1] < self.length + shift:
            raise ValueError(
                f"`patches` must have at least {self.length} + {shift} values in time (axis 1), the model's "
                f"input and what the shift adds behind it. Received: patches.shape={self.patches.shape}"
            )

    def scores(self, kind, shift):
        """Scores of all patches after a shift."""
        if kind == "freq":
            model, spectrograms = self._after_front_end()
            shifted = shift_bands(spectrograms, shift, self.seed)
            return self._predict(model, (self.patches[:, : self.length], shifted) if self.is_waveform else shifted)
        first = shift * self.units[kind] if shift else 0
        return self._predict(self.model, scaled_to_peak(self.patches[:, first : first + self.length], self.peak))

    def _after_front_end(self):
        """The part of the model behind its spectrogram, and the spectrograms of the unshifted patches.

        Of a model of waveforms the part takes these as well: masks are made of them.
        """
        patches = self.patches[:, : self.length]
        if not self.is_waveform:
            return self.model, patches
        if self._halves is None:
            # A layer may be shared between models; in a copy of this one it has exactly one output.
            model = keras.models.clone_model(self.model)
            model.set_weights(self.model.get_weights())
            spectrogram = model.layers[self.front_end_index].output
            front = keras.Model(model.inputs, spectrogram)
            back = keras.Model([*model.inputs, spectrogram], model.outputs[0])
            self._halves = back, self._predict(front, patches).astype("float32")
        return self._halves

    def _predict(self, model, inputs):
        size = min(self.batch_size, len(self.patches))
        starts = range(0, len(self.patches), size)
        batches = (keras.tree.map_structure(lambda array, i=i: array[i : i + size], inputs) for i in starts)
        return predict_batches(model, batches, len(self.patches), size)
