"""Statistics of the training set for the layers of a model that standardise."""

import keras
import numpy as np

from keras_audio_si.data.patch_sequence import read_ahead
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.layers.standardise import Standardise

MAX_PATCHES = 10000


def adapt(model, patches, batch_size=64, max_patches=MAX_PATCHES):
    """Gives the `layers.Standardise` of a model that have no statistics yet those of what reaches them.

    They are computed from the patches as evaluation cuts them, each once and without augmentation, by the layers in
    front as they are now, batch after batch. What fills a short clip counts as the model hears it; frames that a mask
    leaves out do not count. Give it the training data alone.

    `training.fit` calls it before the first step. A training that is continued has the statistics in its checkpoint.

    Args:
        model: Functional or Sequential model of one input.
        patches: `data.PatchDataset` of the training clips.
        batch_size: Patches per call.
        max_patches: Largest number of patches that are heard; of more they are evenly spaced.

    Returns:
        List of the layers that were adapted, in their order.

    Raises:
        ValueError: If such a layer lies inside another model, or what reaches it is not finite.

    Example:

    >>> from keras_audio_si import layers, models
    >>> from keras_audio_si.data import ClipCache, PatchDataset
    >>> cache = ClipCache.from_waveforms([0.1 * np.ones(30000, "float32")], [("rain",)], sample_rate=22050)
    >>> net = models.PiczakNet(1, dense_units=5)
    >>> model = models.Classifier(models.piczak_spectrogram(), net, standardise="set", input_samples=20992)
    >>> [layer.name for layer in adapt(model, PatchDataset(cache, 20992))]
    ['standardise']
    >>> adapt(model, PatchDataset(cache, 20992))
    []
    """
    unknown = [layer for layer in nested_layers(model) if isinstance(layer, Standardise) and not layer.known]
    for layer in unknown:
        if not any(layer is own for own in model.layers):
            raise ValueError(
                f"`model` must have {layer.name!r} among its own layers. Received: {model.name!r}, which has it in a "
                "model inside: call its method `adapt`, or give it to `models.Classifier(standardise=...)`."
            )
        layer.adapt(_inputs(model, layer, patches, batch_size, max_patches))
    return unknown


def _inputs(model, layer, patches, batch_size, max_patches):
    """Yields what reaches a layer, with the mask of its frames."""
    reaching = keras.Model(model.inputs, _Frames()(layer.input))
    count = min(patches.num_patches, max_patches)
    chosen = np.arange(count) * patches.num_patches // count
    batches = [chosen[first : first + batch_size] for first in range(0, count, batch_size)]
    for waveforms in read_ahead(patches.waveforms, batches):
        missing = batch_size - len(waveforms)  # All calls have one shape, so that the model is compiled once.
        values, mask = reaching.predict_on_batch(np.pad(waveforms, [(0, missing), (0, 0)]))
        yield np.float32(values[: len(waveforms)]), mask[: len(waveforms)]


class _Frames(keras.layers.Layer):
    """Spectrograms in float32 and the frames of each that count, as bool."""

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.supports_masking = True

    def call(self, x, mask=None):
        frames = keras.ops.ones(keras.ops.shape(x)[:2], "bool") if mask is None else keras.ops.cast(mask, "bool")
        return x, frames

    def compute_mask(self, inputs, previous_mask):
        return None, None
