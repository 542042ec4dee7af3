"""Compositions of augmentations: in sequence, in random order, or one of several."""

import itertools

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.augmentation import RandomWaveformLayer, is_one_compiled, split_pair
from keras_audio_si.ops.arguments import as_column
from keras_audio_si.ops.xla import compiled, graph_on_cpu, map_examples

PER = ("batch", "example")


class _Composition(keras.layers.Layer):
    """Base class of layers that contain augmentations and draw their parameters."""

    per = "batch"

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
        return any(map(mixes_labels, self.layers))

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

    In compiled code and graphs on a CPU each example of a known length goes through the chain by itself, up to the
    first layer that mixes examples: only what is drawn for it is computed, and its samples stay in the cache. In graphs
    of TensorFlow XLA compiles this part.

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
        steps = list(zip(self.layers, params["layers"], strict=True))
        waveforms, labels = split_pair(inputs)
        apart = list(itertools.takewhile(lambda step: not mixes_labels(step[0]), steps))
        if apart and graph_on_cpu(waveforms) and waveforms.shape[0] != 1 and waveforms.shape[1] is not None:
            waveforms = _each_by_itself(apart, waveforms)
            inputs, steps = waveforms if labels is None else (waveforms, labels), steps[len(apart) :]
        return _in_sequence(steps, inputs)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomOrder(_Composition):
    """Applies augmentations in sequence, in random order.

    Each layer is compiled once, in a loop over the places of the order. XLA can therefore not fuse neighbouring layers
    into one pass over memory, as it does with others of an `AugmentationChain`.

    Args:
        layers: As for `AugmentationChain`.
        seed: Integer that sets the orders; None for other orders each time.
        per: `"batch"` draws one order for the whole batch, and a condition picks the layer at each place. `"example"`
            draws one order for each example; all layers are then computed at every place, except
            in an `AugmentationChain` on a CPU.

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

    def __init__(self, layers, seed=None, per="batch", **kwargs):
        super().__init__(layers, seed, **kwargs)
        check_choice("per", per, PER)
        self.per = per

    def draw_parameters(self, batch_size):
        shape = (len(self.layers),) if self.per == "batch" else (batch_size, len(self.layers))
        return {"order": ops.argsort(keras.random.uniform(shape, dtype="float32", seed=self.seed_generator), axis=-1)}

    def apply(self, inputs, params):
        """Changes waveforms, or waveforms and labels, as `params` says."""
        order = ops.cast(params["order"], "int32")

        def take_place(place, inputs):
            choice = ops.take(order, place, axis=-1)
            return _chosen(self.layers, params["layers"], choice, inputs, self.per)

        return ops.fori_loop(0, len(self.layers), take_place, _tensors(inputs))

    def get_config(self):
        return {**super().get_config(), "per": self.per}


@keras.saving.register_keras_serializable(package="keras_audio_si")
class RandomChoice(_Composition):
    """Applies one of several augmentations.

    Args:
        layers: As for `AugmentationChain`.
        chances: Of the layers to be taken, in any scale; None for equal ones.
        per: `"batch"` draws one layer for the whole batch, and only that one is computed: "one noise type and one
            mixing strategy in each iteration", as the paper says. `"example"` draws for each example, and all
            layers are computed for all of them, except in an `AugmentationChain` on a CPU.
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
        check_choice("per", per, PER)
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
        return _chosen(self.layers, params["layers"], params["choice"], _tensors(inputs), self.per)

    def get_config(self):
        return {**super().get_config(), "chances": self.chances, "per": self.per}


def mixes_labels(layer):
    """Whether an augmentation may change labels: all do but those known not to, and compositions of these.

    Example:

    >>> from keras_audio_si.layers import MixUp, RandomGain
    >>> mixes_labels(RandomGain()), mixes_labels(AugmentationChain([RandomGain(), MixUp()]))
    (False, True)
    """
    return layer.mixes_labels if isinstance(layer, _Composition) else not isinstance(layer, RandomWaveformLayer)


def _in_sequence(steps, inputs):
    for layer, drawn in steps:
        inputs = layer.apply(inputs, drawn)
    return inputs


def _each_by_itself(steps, waveforms):
    """Applies layers, with their draws, to batches of one example."""

    @compiled
    def one(waveform, params):
        return _in_sequence(zip([layer for layer, _ in steps], params, strict=True), waveform[None])[0]

    def of(index):
        return one(ops.take(waveforms, index, axis=0), [_draws_of(index, layer, drawn) for layer, drawn in steps])

    return map_examples(of, (ops.arange(ops.shape(waveforms)[0], dtype="int32"),), waveforms.dtype)


def _draws_of(index, layer, params):
    """What was drawn for one example of a batch, as for a batch of this example alone."""
    own = {name: value for name, value in params.items() if name != "layers"}
    if not isinstance(layer, _Composition) or layer.per == "example":
        own = {name: ops.take(value, ops.reshape(index, (1,)), axis=0) for name, value in own.items()}
    if "layers" in params:
        inner = zip(layer.layers, params["layers"], strict=True)
        own["layers"] = [_draws_of(index, layer, drawn) for layer, drawn in inner]
    return own


def _tensors(inputs):
    """Waveforms as a tensor, a pair as a tuple of tensors, as layers return them."""
    if isinstance(inputs, (list, tuple)):
        return tuple(map(ops.convert_to_tensor, inputs))
    return ops.convert_to_tensor(inputs)


def _chosen(layers, params, choice, inputs, per):
    """Applies the layer of a number, or for each example the layer of its own number."""
    if per == "example" and is_one_compiled(split_pair(inputs)[0]):
        choice, per = choice[0], "batch"
    if per == "batch":
        branches = [
            lambda inputs, layer=layer, drawn=drawn: layer.apply(inputs, drawn)
            for layer, drawn in zip(layers, params, strict=True)
        ]
        return ops.switch(choice, branches, inputs)
    changed = inputs
    for number, (layer, drawn) in enumerate(zip(layers, params, strict=True)):
        chosen = ops.equal(choice, number)
        if isinstance(layer, RandomWaveformLayer):  # It leaves the others alone, and need not compute them.
            applied = ops.logical_and(chosen, drawn["applied"]) if "applied" in drawn else chosen
            changed = layer.apply(changed, {**drawn, "applied": applied})
        else:  # Partners are as they were before any layer of this choice.
            changed = keras.tree.map_structure(
                lambda after, before, chosen=chosen: ops.where(as_column(chosen, before), after, before),
                layer.apply(inputs, drawn),
                changed,
            )
    return changed
