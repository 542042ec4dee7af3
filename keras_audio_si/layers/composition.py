"""Compositions of augmentations: in sequence, in random order, or one of several."""

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.augmentation import RandomWaveformLayer, split_pair


class _Composition(keras.layers.Layer):
    """Base class of layers that contain augmentations and draw their parameters."""

    def __init__(self, layers, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.layers = list(layers)
        for layer in self.layers:
            if not (callable(getattr(layer, "draw", None)) and "apply" in dir(layer)):
                raise TypeError(
                    "`layers` must be augmentations with `draw` and `apply`, such as RandomGain or MixUp. "
                    f"Received: {layer!r}"
                )
        if not self.layers:
            raise ValueError(f"`layers` must hold at least one augmentation. Received: layers={layers!r}")
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=None):
        waveforms, labels = split_pair(inputs)
        if labels is None and self.mixes_labels:
            raise ValueError(f"{type(self).__name__} mixes labels: call it with a pair (waveforms, labels).")
        if not training:
            return inputs
        return self.apply(inputs, self.draw(*ops.shape(waveforms)))

    @property
    def mixes_labels(self):
        """Whether a layer inside takes pairs only."""
        return any(
            layer.mixes_labels if isinstance(layer, _Composition) else not isinstance(layer, RandomWaveformLayer)
            for layer in self.layers
        )

    def draw(self, batch_size, num_samples):
        """Draws what `apply` needs, for all layers.

        Args:
            batch_size: Number of examples, an integer or a scalar tensor.
            num_samples: Samples of each example, likewise.

        Returns:
            Dictionary with `"layers"`, the draws of every layer, and what the composition itself draws.
        """
        drawn = []
        for layer in self.layers:
            sizes = (batch_size, num_samples)
            drawn.append(layer.draw(*(sizes if isinstance(layer, (RandomWaveformLayer, _Composition)) else sizes[:1])))
        return {"layers": drawn, **self.draw_parameters(batch_size)}

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, training=None):
        split_pair(inputs)
        return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=x.dtype), inputs)

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AugmentationChain(_Composition):
    """Applies augmentations in sequence.

    Args:
        layers: Random* layers, compositions of them, and at places where pairs come in, mixings such as `MixUp`.

    Input shape:
        `(batch, samples)`, or a pair of that and labels, `(batch, ...)`.

    Output shape:
        The same.

    Raises:
        TypeError: If a layer has no `draw` and `apply`.
        ValueError: If there is no layer, or one mixes labels and the input is not a pair.

    Example:

    >>> from keras_audio_si.layers import RandomGain, PolarityInversion
    >>> chain = AugmentationChain([RandomGain((2.0, 2.0)), PolarityInversion(1.0)])
    >>> print(keras.ops.convert_to_numpy(chain(np.ones((1, 2), "float32"), training=True)))
    [[-2. -2.]]
    """

    def draw_parameters(self, batch_size):
        return {}

    def apply(self, inputs, params):
        """Changes waveforms, or waveforms and labels, as `params` says."""
        for layer, drawn in zip(self.layers, params["layers"], strict=True):
            inputs = layer.apply(inputs, drawn)
        return inputs


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomOrder(_Composition):
    """Applies augmentations in sequence, in an order that is drawn for each batch.

    Each layer is compiled once: a loop over the order selects the layer by a conditional. XLA can therefore not fuse
    neighbouring layers into one pass over memory, as it does in an `AugmentationChain`.

    Args:
        layers: As for `AugmentationChain`.
        seed: Integer that sets the orders; None for other orders each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels, `(batch, ...)`.

    Output shape:
        The same.

    Raises:
        TypeError: If a layer has no `draw` and `apply`.
        ValueError: If there is no layer, or one mixes labels and the input is not a pair.

    Example:

    >>> from keras_audio_si.layers import RandomFragmentGain, RandomTimeMask
    >>> augmentation = RandomOrder([RandomFragmentGain(16000), RandomTimeMask(16000)])
    >>> tuple(augmentation(np.ones((2, 4000), "float32"), training=True).shape)
    (2, 4000)
    """

    def draw_parameters(self, batch_size):
        count = len(self.layers)
        return {"order": ops.argsort(keras.random.uniform((count,), dtype="float32", seed=self.seed_generator))}

    def apply(self, inputs, params):
        """Changes waveforms, or waveforms and labels, as `params` says."""
        branches = _branches(self.layers, params["layers"])
        order = ops.cast(params["order"], "int32")
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        return ops.fori_loop(
            0, len(self.layers), lambda place, inputs: ops.switch(order[place], branches, inputs), inputs
        )


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomChoice(_Composition):
    """Applies one of several augmentations.

    Args:
        layers: As for `AugmentationChain`.
        chances: Of the layers to be taken, in any scale; None for equal ones.
        per: `"batch"` draws one layer for the whole batch, and only that one is computed: "one noise type and one
            mixing strategy in each iteration", as the paper says. `"example"` draws for each example, and all
            layers are computed for all of them.
        seed: Integer that sets the choices; None for other choices each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels, `(batch, ...)`.

    Output shape:
        The same.

    Raises:
        TypeError: If a layer has no `draw` and `apply`.
        ValueError: If there is no layer, `chances` do not fit, or a layer mixes labels and the input is not a pair.

    Example:

    >>> from keras_audio_si.layers import RandomGain, PolarityInversion
    >>> augmentation = RandomChoice([RandomGain((2.0, 2.0)), PolarityInversion(1.0)], chances=(1, 0))
    >>> print(keras.ops.convert_to_numpy(augmentation(np.ones((1, 2), "float32"), training=True)))
    [[2. 2.]]
    """

    def __init__(self, layers, chances=None, per="batch", seed=None, **kwargs):
        super().__init__(layers, seed, **kwargs)
        check_choice("per", per, ("batch", "example"))
        self.per = per
        self.chances = None if chances is None else tuple(float(chance) for chance in chances)
        shares = np.ones(len(self.layers)) if chances is None else np.array(self.chances)
        if len(shares) != len(self.layers) or not (np.all(shares >= 0) and 0 < shares.sum() < np.inf):
            raise ValueError(
                f"`chances` must be {len(self.layers)} numbers, one for each layer, none below 0 and not all 0. "
                f"Received: chances={chances!r}"
            )
        self._upper = (np.cumsum(shares) / shares.sum()).astype("float32")[:-1]

    def draw_parameters(self, batch_size):
        shape = () if self.per == "batch" else (batch_size,)
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        above = uniform[..., None] >= ops.convert_to_tensor(self._upper)
        return {"choice": ops.sum(ops.cast(above, "int32"), axis=-1)}

    def apply(self, inputs, params):
        """Changes waveforms, or waveforms and labels, as `params` says."""
        branches = _branches(self.layers, params["layers"])
        inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
        if self.per == "batch":
            return ops.switch(params["choice"], branches, inputs)
        results = [branch(inputs) for branch in branches]
        return keras.tree.map_structure(lambda *values: _select(params["choice"], values), *results)

    def get_config(self):
        return {**super().get_config(), "chances": self.chances, "per": self.per}


def _branches(layers, params):
    return [
        lambda inputs, layer=layer, drawn=drawn: layer.apply(inputs, drawn)
        for layer, drawn in zip(layers, params, strict=True)
    ]


def _select(choice, values):
    """For each example the value of the layer that was chosen for it."""
    selected = values[0]
    for number, value in enumerate(values[1:], start=1):
        chosen = ops.reshape(choice == number, (-1,) + (1,) * (len(value.shape) - 1))
        selected = ops.where(chosen, value, selected)
    return selected
