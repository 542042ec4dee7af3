"""Statistics of batch normalisation for other inputs than a model was trained with, without training it."""

import inspect
import itertools

import keras
import numpy as np

from keras_audio_si.checks import check_integer
from keras_audio_si.layers.nested import all_layers
from keras_audio_si.models.surgery import ModelCopy


def recalibrate(model, data, batches=30):
    """Estimates the moving statistics of the batch normalisation of a model anew, and changes nothing else of it.

    They are mean and variance over all batches, from those of each batch. As in training, batch normalisation uses the
    statistics of the batch; all other layers are in inference. No gradient is computed and nothing is random: the same
    batches give the same statistics. Use it after `with_resolution`, whose copy has maps of another rate than those of
    the training. Frozen layers of batch normalisation keep their statistics.

    Args:
        model: Functional or Sequential model.
        data: Batches of inputs, or of tuples whose first element is the inputs, as `fit` takes them: an iterable such
            as `PatchDataset.batches(batch_size, training=True)`, or a `keras.utils.PyDataset`.
        batches: Number of batches to take; fewer if `data` has fewer.

    Raises:
        ValueError: If the model has no batch normalisation that is not frozen, if its layers cannot be told from
            outside, or if there is no batch, an array in place of batches, or what is not finite.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    >>> recalibrate(model, [np.float32([[0, 1], [2, 1]]), np.float32([[4, 1], [6, 1]])])
    >>> print(*(keras.ops.convert_to_numpy(weight) for weight in model.non_trainable_weights))
    [3. 1.] [5. 0.]

    Reference:
        Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3: PreciseBN.
    """
    check_integer(1, batches=batches)
    if hasattr(data, "shape"):
        raise ValueError(f"`data` must be batches, one after the other. Received: an array of shape {data.shape}")
    copy = _Copying().copy(model)
    copy.set_weights(model.get_weights())
    norms = [layer for layer in all_layers(copy) if _normalises(layer) and layer.trainable]
    if not norms:
        raise ValueError(f"`model` must have a BatchNormalization that is not frozen. Received: {model.name!r}")
    for norm in norms:
        norm.momentum = 0.0
    means, variances = ([getattr(norm, name) for norm in norms] for name in ("moving_mean", "moving_variance"))
    values = []
    for batch in itertools.islice(data, batches):
        copy(keras.tree.map_structure(np.asarray, batch[0] if isinstance(batch, tuple) else batch))
        values.append([keras.ops.convert_to_numpy(weight).astype("float64") for weight in (*means, *variances)])
    if not values:
        raise ValueError("`data` must have at least one batch. Received: none")
    values = [np.stack(of_batches) for of_batches in zip(*values, strict=True)]
    for norm, of_batches in zip(norms * 2, values, strict=True):
        if not np.isfinite(of_batches).all():
            raise ValueError(f"`data` must be finite where they reach {norm.name!r}: they have NaN or infinity.")
    own = {id(weight): original for weight, original in zip(copy.weights, model.weights, strict=True)}
    for mean, variance, m, v in zip(means, variances, values[: len(norms)], values[len(norms) :], strict=True):
        own[id(mean)].assign(m.mean(axis=0).astype("float32"))
        own[id(variance)].assign((v.mean(axis=0) + m.var(axis=0)).astype("float32"))


class _Copying(ModelCopy):
    """A copy of a model, in which whatever has batch normalisation is in training, and nothing else."""

    def __init__(self):
        super().__init__()
        self.normalising = set()  # A copy that is not built cannot be asked what it has inside.

    def clone_layer(self, layer):
        clone = super().clone_layer(layer)
        if any(map(_normalises, all_layers(layer))):
            self.normalising.add(clone)
        return clone

    def call(self, layer, *args, **kwargs):
        kwargs.pop("training", None)
        if isinstance(layer, keras.Model):
            kwargs["training"] = None  # Its layers have it from here, and else would have that of the layer before it.
        elif isinstance(layer, keras.Layer) and "training" in inspect.signature(layer.call).parameters:
            kwargs["training"] = layer in self.normalising
        return super().call(layer, *args, **kwargs)


def _normalises(layer):
    return isinstance(layer, keras.layers.BatchNormalization)
