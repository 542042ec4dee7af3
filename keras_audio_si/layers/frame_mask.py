"""Mask of the frames of a clip that are not zero padding."""

import keras
from keras import ops

from keras_audio_si.checks import check_integer
from keras_audio_si.ops.lengths import content_lengths, frame_mask


@keras.saving.register_keras_serializable(package="keras_audio_si")
class FrameMask(keras.layers.Layer):
    """Marks the frames of a spectrogram that belong to the clip without its zero padding.

    The lengths of clips are given or detected. A detected clip ends with its last nonzero sample, so that exact digital
    silence at the end of a recording counts as padding. A mixture of two clips has the length of the longer one; noise
    that is added to the padding makes it part of the clip.

    Args:
        frame_samples: Samples that a clip of one frame has: `num_samples(1)` of the front-end.
        hop_length: Samples from one frame to the next.

    Input shape:
        Pair of the spectrograms, `(batch, frames, bands)`, and the waveforms they are of, `(batch, samples)`, or the
        lengths of the clips in samples, `(batch,)`, integers.

    Output shape:
        `(batch, frames)`, boolean, True for the frames of the clip; at least the first one.

    Raises:
        ValueError: If the input is no such pair, or an argument is out of range.

    Example:

    >>> layer = FrameMask(frame_samples=400, hop_length=160)
    >>> mask = layer((np.zeros((2, 5, 40), "float32"), np.int32([1040, 600])))
    >>> print(keras.ops.convert_to_numpy(mask).astype(int))
    [[1 1 1 1 1]
     [1 1 0 0 0]]

    Reference:
        liu2022, section 3.1, "On variable-length audio data".
    """

    def __init__(self, frame_samples, hop_length, **kwargs):
        # In half precision the quietest samples would be zeros.
        super().__init__(autocast=False, **kwargs)
        check_integer(0, frame_samples=frame_samples)
        check_integer(1, hop_length=hop_length)
        self.frame_samples, self.hop_length = frame_samples, hop_length

    def call(self, inputs):
        spectrograms, clips = inputs
        lengths = content_lengths(clips) if len(clips.shape) == 2 else clips
        return frame_mask(lengths, ops.shape(spectrograms)[1], self.frame_samples, self.hop_length)

    def compute_output_spec(self, inputs):
        spectrograms, clips = inputs
        if len(spectrograms.shape) != 3 or len(clips.shape) not in (1, 2):
            raise ValueError(
                f"{self.name} takes spectrograms (batch, frames, bands) with waveforms (batch, samples) or lengths "
                f"(batch,). Received: shapes {tuple(spectrograms.shape)} and {tuple(clips.shape)}"
            )
        return keras.KerasTensor(spectrograms.shape[:2], dtype="bool")

    def get_config(self):
        return {**super().get_config(), "frame_samples": self.frame_samples, "hop_length": self.hop_length}
