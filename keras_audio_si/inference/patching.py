"""Patches of clips as a model of waveforms takes them: length, overlap, filling and scaling."""

from typing import NamedTuple

from keras_audio_si.checks import check_interval
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.layers.fit_length import FitLength
from keras_audio_si.layers.frame_mask import FrameMask
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.models.metadata import check_sample_rate, front_end_of


class PatchLayout(NamedTuple):
    """How clips are cut for a model.

    Attributes:
        sample_rate: In Hz.
        patch_samples: Length of a patch.
        hop_samples: From the start of a patch to the start of the next.
        short: What fills a clip that is shorter than a patch, `"repeat"` or `"zero"`.
        peak: Largest magnitude that each patch is scaled to, or None.
    """

    sample_rate: int
    patch_samples: int
    hop_samples: int
    short: str = "repeat"
    peak: float | None = None


def patch_layout(model, window_seconds=None, hop_seconds=None):
    """How evaluation cuts clips for a model: into its input length, overlapping by half (to the frame, if it has any).

    Args:
        model: Classifier of waveforms, see `front_end_of`.
        window_seconds: Length of the patches where the model leaves it open, rounded to whole frames.
        hop_seconds: From the start of a patch to the start of the next, rounded to whole frames; None for half a patch.

    Returns:
        A `PatchLayout`.

    Raises:
        ValueError: If the model is not a classifier of waveforms, not exactly one of `window_seconds` and the model
            says how long the patches are, a length is not positive, or the hop is longer than a patch.
    """
    front_end = front_end_of(model, any_length=True)
    if not isinstance(model.output_shape, tuple) or len(model.output_shape) != 2:
        raise ValueError(
            f"The model {model.name!r} must give one array (batch, classes). Its output shape is {model.output_shape}."
        )
    patch_samples = model.input_shape[1]
    if (patch_samples is None) == (window_seconds is None):
        length = "any length" if patch_samples is None else f"{patch_samples / front_end.sample_rate:.3g} s"
        raise ValueError(
            f"The model {model.name!r} takes waveforms of {length}: the length of the windows must be given for a "
            f"model that takes any, and for no other. Received: window_seconds={window_seconds}"
        )
    rate = front_end.sample_rate
    if isinstance(front_end, FitLength):
        hop_samples = max(1, patch_samples // 2 if hop_seconds is None else _hop(hop_seconds, rate, patch_samples))
        return PatchLayout(rate, patch_samples, hop_samples, front_end.short, front_end.peak)
    if window_seconds is not None:
        check_interval("(0, inf)", window_seconds=window_seconds)
        frames = max(1, front_end.num_frames(round(window_seconds * front_end.sample_rate)))
        patch_samples = front_end.num_samples(frames)
    if hop_seconds is None:
        hop_frames = max(1, front_end.num_frames(patch_samples) // 2)
    else:
        hop_frames = max(1, round(_hop(hop_seconds, rate, patch_samples) / front_end.hop_length))
    masked = any(isinstance(layer, FrameMask) for layer in nested_layers(model))
    short = "zero" if masked else front_end.short  # Padding that the model masks is silence.
    return PatchLayout(rate, patch_samples, hop_frames * front_end.hop_length, short)


def _hop(seconds, sample_rate, patch_samples):
    check_interval("(0, inf)", hop_seconds=seconds)
    if round(seconds * sample_rate) > patch_samples:
        raise ValueError(
            f"`hop_seconds` must be at most the length of a window, {patch_samples / sample_rate:.3g} s. Received: "
            f"hop_seconds={seconds}"
        )
    return round(seconds * sample_rate)


def patch_dataset(model, cache, window_seconds=None, **training):
    """Cuts clips into the patches that a model takes, by `patch_layout`.

    Args:
        model: Classifier of waveforms, see `front_end_of`.
        cache: `ClipCache` at the model's sample rate.
        window_seconds: As for `patch_layout`.
        **training: `crops`, `sampling` and `background` of `PatchDataset`.

    Returns:
        A `PatchDataset`.

    Raises:
        ValueError: If the clips are at another rate.
    """
    check_sample_rate(model, cache.sample_rate)
    layout = patch_layout(model, window_seconds)
    return PatchDataset(
        cache, layout.patch_samples, layout.hop_samples, short=layout.short, peak=layout.peak, **training
    )
