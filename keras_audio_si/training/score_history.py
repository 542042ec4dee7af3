"""Importance scores of DiffRes on a few clips in every epoch (liu2022)."""

import pathlib

import keras
import numpy as np

from keras_audio_si.checks import check_matplotlib
from keras_audio_si.files import writing, written_whole
from keras_audio_si.training.callbacks import trained_model
from keras_audio_si.training.ema import averaged
from keras_audio_si.visualization.diffres import write_score_animation
from keras_audio_si.visualization.warped_clips import frame_scores

SCORES = "scores.npz"
ANIMATION = "scores.gif"


class ScoreHistory(keras.callbacks.Callback):
    """Stores the importance scores of some clips after each epoch, and animates them when the training ends.

    `scores.npz` in the folder has `epochs` (from 0), `scores` (`(epochs, clips, frames)`, NaN for padding),
    `spectrograms` (`(clips, frames, mel)`), `clip_names` and `hop_seconds`; it is replaced whole after each epoch, and
    a training that is continued goes on with it. `scores.gif` is the animation. Where the weights are averaged, the
    scores are those of the averages, as in the model that is saved.

    Args:
        waveforms: `(clips, samples)` float32 that the model takes; four fit on a screen.
        folder: Folder for the files, such as that of the run.
        clip_names: Name of each clip, for the animation; their numbers if None.

    Raises:
        ImportError: If matplotlib is missing, when the training begins.
        ValueError: If the numbers of names and clips differ, the model is not a classifier of waveforms or has no
            `DiffResLayer`, or the folder has the scores of other clips from epochs that are not trained again.

    Example:

    >>> history = ScoreHistory(np.zeros((2, 16000), "float32"), "run", ["dog", "siren"])

    Reference:
        liu2022, Fig. 7.
    """

    def __init__(self, waveforms, folder, clip_names=None):
        super().__init__()
        self.waveforms = np.asarray(waveforms, "float32")
        self.folder = pathlib.Path(folder)
        names = [f"clip {number}" for number in range(len(self.waveforms))] if clip_names is None else clip_names
        self.clip_names = [str(name) for name in names]
        if self.waveforms.ndim != 2 or not 0 < len(self.clip_names) == len(self.waveforms):
            raise ValueError(
                "`waveforms` must be (clips, samples), and `clip_names` as many. "
                f"Received: shape={self.waveforms.shape} and {len(self.clip_names)} names"
            )

    def on_train_begin(self, logs=None):
        check_matplotlib()
        frame_scores(trained_model(self.model), self.waveforms[:1])  # An error now, not after an epoch.

    def on_epoch_end(self, epoch, logs=None):
        with averaged(self.model):
            found = frame_scores(trained_model(self.model), self.waveforms)
        epochs, scores = self._before(epoch, found.scores.shape)
        with writing(self.folder), written_whole(self.folder / SCORES) as temporary:
            np.savez_compressed(
                temporary,
                epochs=[*epochs, epoch],
                scores=np.stack([*scores, found.scores]),
                spectrograms=found.spectrograms,
                clip_names=self.clip_names,
                hop_seconds=found.hop_seconds,
            )

    def on_train_end(self, logs=None):
        path = self.folder / SCORES
        if path.exists():
            with np.load(path) as arrays, writing(self.folder):
                write_score_animation(**arrays, path=self.folder / ANIMATION)

    def _before(self, epoch, shape):
        """What the folder has of the epochs before one; an epoch that was left in its middle is trained again."""
        path = self.folder / SCORES
        if epoch == 0 or not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            return [], []
        with np.load(path) as arrays:
            if arrays["clip_names"].tolist() != self.clip_names or arrays["scores"].shape[1:] != shape:
                raise ValueError(f"{path} has the scores of other clips: take the same, or remove it")
            earlier = arrays["epochs"] < epoch
            return arrays["epochs"][earlier], arrays["scores"][earlier]
