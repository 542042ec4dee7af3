"""The plans of liu2022 by name: for each data set of Table 5, its front-end, length and the training of Table 4."""

import dataclasses

from keras_audio_si.layers.frontend import LogMelSpectrogram
from keras_audio_si.training.settings import TrainingSettings, take_training_settings


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a data set is trained on in the paper; all but the class names, which come with the data.

    Args:
        layout: Layout of the data, as `data.datasets.read_dataset` calls it.
        num_classes: Number of classes.
        frames: Frames that every clip is padded to (Table 5).
        training: `TrainingSettings` (Table 4).
        sampling: Of `PatchDataset`: "psla" where classes are re-balanced, else "once".
        shared_validation_groups: Whether the published split has groups (uploaders) in train and val.
        folds: Folds of the cross-validation, 0 for none.
        gpus: Number of GPUs. The paper does not say whether the batch size is that of each or of all.
        examples: Numbers of training and test examples, the latter None with folds.
        sample_rate: In Hz.
        frame_seconds: Length of the analysis window.
        hop_seconds: From one frame to the next.
        fft_length: Points of the Fourier transform, which the paper does not state: 512 leave the lowest of 128 bands
            without any.
        num_mels: Number of mel bands.
        masked_bands: Largest share of the bands that SpecAugment masks.
        masked_frames: Largest share of the frames.

    Example:

    >>> PLANS["speech_commands"].clip_samples
    15920
    """

    layout: str
    num_classes: int
    frames: int
    training: TrainingSettings
    sampling: str = "once"
    shared_validation_groups: bool = False
    folds: int = 0
    gpus: int = 1
    examples: tuple[int, int | None] = (0, None)
    sample_rate: int = 16000
    frame_seconds: float = 0.025
    hop_seconds: float = 0.01
    fft_length: int = 1024
    num_mels: int = 128
    masked_bands: float = 0.375
    masked_frames: float = 0.5

    def front_end(self):
        """Builds the log-mel spectrogram of the plan, which fills short clips with silence."""
        windows = {
            "short": "zero",
            "frame_seconds": self.frame_seconds,
            "hop_seconds": self.hop_seconds,
            "fft_length": self.fft_length,
        }
        return LogMelSpectrogram(self.sample_rate, num_mels=self.num_mels, **windows)

    @property
    def clip_samples(self):
        """Samples of a clip of `frames` frames."""
        return self.front_end().num_samples(self.frames)

    def with_hop(self, hop_seconds):
        """The same clips with frames at another distance.

        Example:

        >>> PLANS["audioset"].with_hop(0.003).frames
        3333
        """
        return self.changed(hop_seconds=hop_seconds, frames=round(self.frames * self.hop_seconds / hop_seconds))

    def changed(self, **settings):
        """The same with other settings, those of `TrainingSettings` among them, by flat keyword arguments.

        Example:

        >>> PLANS["nsynth"].changed(num_mels=40, epochs=5).training.epochs
        5
        """
        training = dataclasses.replace(self.training, **take_training_settings(settings))
        return dataclasses.replace(self, training=training, **settings)


def _training(learning_rate, epochs, batch_size, start_epoch, factor, every_epochs, monitor):
    """A row of Table 4; its start epochs are counted from 1. What it does not state is that of PSLA."""
    return TrainingSettings(
        learning_rate=learning_rate,
        epochs=epochs,
        batch_size=batch_size,
        schedule="warm-up-and-decay",
        warm_up_steps=1000,
        decay_start_epoch=start_epoch - 1,
        decay_factor=factor,
        decay_every_epochs=every_epochs,
        optimizer="adam-l2",
        weight_decay=5e-7,
        beta_1=0.95,
        mixup_alpha=10.0,
        mixup_probability=0.5,
        early_stopping_patience=None,
        monitor=monitor,
    )


PLANS = {
    "audioset": Plan(
        "audioset",
        527,
        frames=1000,
        training=_training(1e-4, 30, 22, 11, 0.5, 5, "val_mAP"),
        sampling="psla",
        gpus=4,
        examples=(1912134, 18887),
    ),
    "fsd50k": Plan(
        "fsd50k",
        200,
        frames=3000,
        training=_training(5e-4, 40, 15, 21, 0.5, 5, "val_mAP"),
        sampling="psla",
        shared_validation_groups=True,
        examples=(36799, 10231),
    ),
    "esc50": Plan(
        "esc50",
        50,
        frames=500,
        training=_training(2.5e-4, 80, 32, 41, 0.95, 1, "val_accuracy"),
        folds=5,
        examples=(2000, None),
    ),
    "speech_commands": Plan(
        "speech_commands",
        35,
        frames=98,
        training=_training(2.5e-4, 60, 128, 25, 0.9, 1, "val_accuracy"),
        examples=(84771, 10700),
    ),
    "nsynth": Plan(
        "nsynth",
        11,
        frames=400,
        training=_training(1e-4, 30, 48, 11, 0.85, 1, "val_accuracy"),
        examples=(289205, 12678),
    ),
}
