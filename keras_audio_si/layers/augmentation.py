"""Base class of the label-preserving augmentations of waveforms: parameters drawn per example, float32."""

import keras
from keras import ops

from keras_audio_si.checks import check_interval
from keras_audio_si.ops.arguments import as_float32
from keras_audio_si.ops.xla import graph_on_cpu


class RandomWaveformLayer(keras.layers.Layer):
    """Base class of the layers that change waveforms randomly and keep the labels.

    A subclass has two methods: `draw_parameters(batch_size, num_samples)` draws a dictionary of tensors with a leading
    batch axis, and `transform(waveforms, params)` applies them to float32 waveforms. The base class does the rest: the
    layer is only active in training; an example is changed with the given `probability`; a pair `(waveforms, labels)`
    is returned as a pair with the same labels; the arithmetic is float32 under every dtype policy, and the output has
    the dtype of the input.

    Args:
        probability: Chance of an example to be changed.
        seed: Integer that sets the draws; None for other draws each time.

    Input shape:
        `(batch, samples)`, or a pair of that and labels of any shape.

    Output shape:
        The same.

    Raises:
        ValueError: If the waveforms are not of shape `(batch, samples)`, or `probability` is not from 0 to 1.
        TypeError: If the waveforms are integers.
    """

    def __init__(self, probability=1.0, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.probability = check_probability(probability)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, training=None):
        waveforms, _ = split_pair(inputs)
        if not training:
            return inputs
        return self.apply(inputs, self.draw(*ops.shape(waveforms)))

    def draw(self, batch_size, num_samples):
        """Draws what `apply` needs.

        Args:
            batch_size: Number of examples, an integer or a scalar tensor.
            num_samples: Samples of each example, likewise.

        Returns:
            Dictionary of tensors with a leading batch axis; `"applied"` among them, bool, unless `probability` is 1.
        """
        params = self.draw_parameters(batch_size, num_samples)
        if self.probability < 1:
            params["applied"] = self.uniform(batch_size) < self.probability
        return params

    def apply(self, inputs, params):
        """Changes waveforms as `params` says.

        Args:
            inputs: `(batch, samples)`, or a pair of that and labels.
            params: As returned by `draw`.

        Returns:
            What came in, with other waveforms.
        """
        waveforms, labels = split_pair(inputs)
        params = {name: ops.convert_to_tensor(value) for name, value in params.items()}

        def change(waveforms):
            return ops.cast(self.transform(as_float32(waveforms, "waveforms"), params), waveforms.dtype)

        if "applied" not in params:
            changed = change(waveforms)
        elif is_one_compiled(waveforms):
            applied, waveforms = params.pop("applied")[0], ops.convert_to_tensor(waveforms)
            changed = ops.cond(applied, lambda: change(waveforms), lambda: waveforms)
        else:
            changed = ops.where(params["applied"][:, None], change(waveforms), waveforms)
        return changed if labels is None else (changed, labels)

    def draw_parameters(self, batch_size, num_samples):
        raise NotImplementedError(f"{type(self).__name__} must define draw_parameters(batch_size, num_samples).")

    def transform(self, waveforms, params):
        raise NotImplementedError(f"{type(self).__name__} must define transform(waveforms, params).")

    def uniform(self, batch_size, low=0.0, high=1.0):
        """Draws a float32 value per example."""
        return keras.random.uniform((batch_size,), low, high, dtype="float32", seed=self.seed_generator)

    def integers(self, batch_size, low, high):
        """Draws an int32 value per example from `low` to `high`, both possible, which may be tensors."""
        low, high = ops.cast(low, "int32"), ops.cast(high, "int32")
        steps = ops.cast(high - low + 1, "float32")
        drawn = ops.cast(ops.floor(self.uniform(batch_size) * steps), "int32")
        return ops.minimum(low + drawn, high)  # A product of float32 may round up to the number of steps.

    def keys(self, batch_size):
        """Draws keys for `ops.keyed_random`."""
        return keras.random.randint((batch_size, 2), 0, 2**31 - 1, dtype="int32", seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, training=None):
        split_pair(inputs)
        return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=x.dtype), inputs)

    def get_config(self):
        return {**super().get_config(), "probability": self.probability, "seed": self.seed}


def split_pair(inputs):
    """Returns waveforms and labels of a pair, or waveforms and None; refuses what is not `(batch, samples)`."""
    is_pair = isinstance(inputs, (tuple, list))
    if is_pair and len(inputs) != 2:
        raise ValueError(
            "The input must be waveforms or a pair (waveforms, labels). "
            f"Received: {len(inputs)} values in a {type(inputs).__name__}"
        )
    waveforms, labels = inputs if is_pair else (inputs, None)
    if len(waveforms.shape) != 2:
        raise ValueError(
            f"Waveforms must be of shape (batch, samples). Received: shape={tuple(waveforms.shape)}. Several channels "
            "are not augmented, since their differences would not survive it: mix them down, e.g. by "
            "keras.ops.mean(x, -1)."
        )
    return waveforms, labels


def is_one_compiled(waveforms):
    """Whether a batch is one example in compiled code or a graph, where a condition leaves out what is not needed."""
    return waveforms.shape[0] == 1 and graph_on_cpu(waveforms)


def check_probability(probability, name="probability"):
    """Returns the probability as a float, or raises a ValueError."""
    check_interval("[0, 1]", **{name: probability})
    return float(probability)


def check_range(name, value, low=None, high=None):
    """Returns a range as a pair of floats, or raises a ValueError that names it and its limits."""
    limits = "" if low is None else f" from {low}" + ("" if high is None else f" to {high}")
    try:
        first, last = (float(number) for number in value)
    except (TypeError, ValueError):
        first, last = 1.0, 0.0
    if not (-float("inf") if low is None else low) <= first <= last <= (float("inf") if high is None else high):
        raise ValueError(f"`{name}` must be a range (lowest, highest){limits}. Received: {name}={value!r}")
    return first, last
