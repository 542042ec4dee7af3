"""Networks that leave out what a mask marks as padding: copies of networks that know nothing of masks."""

import inspect
import math

import keras
from keras import layers, ops

from keras_audio_si.layers.frame_mask import HidePadding, JoinMask, SplitMask, StridedMask
from keras_audio_si.layers.masked_normalization import MaskedBatchNormalization
from keras_audio_si.layers.padding import SpatialPadding
from keras_audio_si.layers.pooling import AdaptivePolyphasePool, AntiAliasPool
from keras_audio_si.layers.time_mel import TimeMelPool
from keras_audio_si.models.sampling_grids import CONVOLUTIONS, POOLS
from keras_audio_si.models.surgery import MaskedNetwork, ModelCopy
from keras_audio_si.ops.pooling import pool_clips

_MAXIMA = (
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
)
_AVERAGES = (
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
)
_ZEROS = (layers.ZeroPadding1D, layers.ZeroPadding2D, SpatialPadding)
# Keras layers that support masks and look at more than one frame: the first need the mask, the others get zeros.
_RECURRENT = (layers.RNN, layers.Bidirectional)
_ACROSS_FRAMES = (
    layers.GroupNormalization,
    layers.MultiHeadAttention,
    layers.GroupQueryAttention,
    layers.Attention,
    layers.AdditiveAttention,
)
# And these do if the frames are an axis that they go over. That of other layers is one that they keep.
_OVER_AXES = (
    layers.LayerNormalization,
    layers.RMSNormalization,
    layers.UnitNormalization,
    layers.Softmax,
    layers.Concatenate,
)


def with_masks(network):
    """Copies a network of spectrograms so that it leaves out what the Keras mask of its input marks as padding.

    The output for a clip does not depend on its padding, up to rounding:

    - Before every window over several frames the padding is set to 0, the value of the zero padding of convolutions,
      or to -inf for maxima. Averages are over the frames of the clip.
    - Under "same" the position of a strided window depends on whether the stride divides the number of frames. Frames
      are appended until it does, so that the copy has the positions of an even number of frames for every number.
    - After a stride a frame belongs to the clip if any of the frames that it stands for does; see
      `ops.lengths.strided_mask`. After k strides of 2 a clip of n frames has `ceil(n / 2^k)`, as without padding.
    - Global pooling, `GlobalTimeMelPool`, `AttentionHead` and, in training, the statistics of `BatchNormalization`
      leave padding out.

    If the output is a map, it carries its mask. Without a mask on its input the copy takes all frames as those of the
    clip.

    Some dependence on the padding remains where a network pads by "reflect", "edge" or "circular", at the end of the
    input and not of the clip. Layers that are not known, such as `Flatten` and own layers that take no mask, and layers
    along frames, such as `Softmax(axis=1)`, see zeros for padding, and after them there is no mask.

    Args:
        network: Functional or Sequential model of `(batch, frames, bands)` or `(batch, frames, bands, channels)`, with
            models in it or without. It is not changed, and shares no weights with the copy.

    Returns:
        Functional `keras.Model`, with the weights of `network`; `network` itself if it is such a copy.

    Raises:
        ValueError: If the network is not of layers that can be told from outside.

    Example:

    >>> network = with_masks(keras_audio_si.models.VGG41(2, input_shape=(None, 12), width=0.125))
    >>> clip = np.random.default_rng(0).normal(size=(1, 20, 12)).astype("float32")
    >>> padded = np.pad(clip, ((0, 0), (0, 11), (0, 0)), constant_values=7.0)
    >>> scores = [network(keras.layers.Masking(7.0)(x)) for x in (clip, padded)]
    >>> np.abs(np.subtract(*map(keras.ops.convert_to_numpy, scores))).max() < 1e-6
    np.True_

    Reference:
        liu2022, section 3.1, "On variable-length audio data".
    """
    if isinstance(network, MaskedNetwork):
        return network
    return _Copying().copy_with_weights(network)


class _Copying(ModelCopy):
    """One copy of a network, with the models inside it."""

    def __init__(self):
        super().__init__()
        self.masks = {}  # By the identity of a tensor: the tensor, so that its identity stays its own, and its mask.
        self.split = {}  # By the identity of an input: the input, and what `SplitMask` makes of it.
        self.inserted = {}

    def copy(self, model):
        copied = super().copy(model)
        outputs = keras.tree.map_structure(self.joined, copied.output)
        return MaskedNetwork(copied.input, outputs, name=model.name)

    def clone_layer(self, layer):
        if type(layer) is layers.BatchNormalization and layer.axis in (-1, len(layer.output.shape) - 1):
            return MaskedBatchNormalization.from_config(layer.get_config())
        return super().clone_layer(layer)

    def call(self, layer, *args, **kwargs):
        kwargs.pop("mask", None)  # Keras notes the masks that it found when the network was built.
        args, kwargs = keras.tree.map_structure(self.without_mask, (args, kwargs))
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        mask = next((self.masks[id(x)][1] for x in tensors if self.masks[id(x)][1] is not None), None)
        if mask is None:
            outputs = layer(*args, **kwargs)
        else:
            outputs, mask = self.call_masked(layer, mask, *args, **kwargs)
        for y in keras.tree.flatten(outputs):
            frames = mask is not None and len(y.shape) > 2 and y.shape[1] == mask.shape[1]
            self.masks[id(y)] = y, mask if frames else None
        return outputs

    def call_masked(self, layer, mask, x, *args, **kwargs):
        """The output of a layer, and the mask of its frames, if it has any."""
        if isinstance(layer, keras.Model):
            return self.call_model(layer, x, *args, **kwargs)
        window = _window(layer)
        if isinstance(layer, _ZEROS):
            added = (
                layer.window_size - 1
                if isinstance(layer, SpatialPadding)
                else sum(keras.tree.flatten(layer.padding)[:2])
            )
            longer = ops.pad(ops.cast(mask, "int32"), ((0, 0), (added, 0)), constant_values=1)
            return layer(self.hidden(layer, x, mask)), ops.cast(longer, "bool")
        if isinstance(layer, (*_MAXIMA, *_AVERAGES)):
            y = pool_clips(layer, x, lambda x, fill: self.hidden(layer, x, mask, fill), isinstance(layer, _MAXIMA))
            if window is None:
                return y, None
            mask = self.strided(layer, mask, *window)
            return self.insert(HidePadding, layer, "pooled")(y, mask=mask), mask
        if isinstance(layer, CONVOLUTIONS):
            seen = x if window[:2] == (1, 1) else self.hidden(layer, x, mask)
            return layer(seen, *args, **kwargs), self.strided(layer, mask, *window)
        if _takes_mask(layer):
            y = layer(x, *args, mask=mask, **kwargs)
            y = ops.copy(y) if getattr(y, "_keras_mask", None) is not None else y
            return y, mask if window is None else self.strided(layer, mask, *window)
        if _frame_by_frame(layer, x):
            return layer(x, *args, **kwargs), mask
        x, args, kwargs = keras.tree.map_structure(lambda x: self.zeroed(layer, x), (x, args, kwargs))
        return layer(x, *args, **kwargs), None if isinstance(layer, keras.Layer) else mask

    def call_model(self, model, x, *args, **kwargs):
        def joined(x):
            mask = self.masks[id(x)][1]
            return x if mask is None else self.insert(JoinMask, model, "join")(x, mask=mask)

        y = model(keras.tree.map_structure(joined, x), *args, **kwargs)
        if isinstance(model.layers[-1], JoinMask):
            return self.insert(SplitMask, model, "split")(y)
        return y, None

    def without_mask(self, x):
        """The input of a network without the mask that it carries, which is noted; everything else as it is."""
        if not isinstance(x, keras.KerasTensor) or id(x) in self.masks:
            return x
        if id(x) not in self.split:
            y, mask = SplitMask(name=f"{x.name}_split")(x)
            self.split[id(x)] = x, y
            self.masks[id(y)] = y, mask
        return self.split[id(x)][1]

    def joined(self, y):
        mask = self.masks[id(y)][1]
        return y if mask is None else JoinMask(name="frames_join")(y, mask=mask)

    def zeroed(self, layer, x):
        mask = self.masks[id(x)][1] if isinstance(x, keras.KerasTensor) else None
        return x if mask is None else self.hidden(layer, x, mask)

    def hidden(self, layer, x, mask, fill=0.0):
        _, stride, padding = _window(layer) or (1, 1, "valid")
        suffix = "hidden" if fill == 0.0 else "hidden_maximum"
        multiple = stride if padding == "same" else 1
        return self.insert(HidePadding, layer, suffix, fill=fill, multiple=multiple)(x, mask=mask)

    def strided(self, layer, mask, window, stride, padding):
        if stride == 1 and (window == 1 or padding != "valid"):
            return mask
        return self.insert(StridedMask, layer, "mask", window=window, stride=stride, padding=padding)(mask)

    def insert(self, kind, layer, suffix, **arguments):
        """A layer that belongs to one of the network; the same where that one is used again."""
        name = f"{layer.name}_{suffix}"
        if (id(layer), name) not in self.inserted:
            self.inserted[id(layer), name] = kind(name=name, **arguments)
        return self.inserted[id(layer), name]


def _window(layer):
    """Frames of the window of a layer, its stride and padding; None for one without, and for global pooling."""
    if isinstance(layer, CONVOLUTIONS):
        window = (_of_time(layer.kernel_size) - 1) * _of_time(layer.dilation_rate) + 1
        return window, _of_time(layer.strides), layer.padding
    if isinstance(layer, (AntiAliasPool, AdaptivePolyphasePool)):
        return layer.time_window(), _of_time(layer.strides), layer.padding
    if isinstance(layer, TimeMelPool):
        return layer.pool_size, layer.pool_size, "same"
    if isinstance(layer, POOLS):
        return _of_time(layer.pool_size), _of_time(layer.strides), layer.padding
    return None


def _of_time(value):
    return value if isinstance(value, int) else value[0]


def _takes_mask(layer):
    """Whether a layer wants the mask of its input: recurrent ones, and those that are not of Keras and have it."""
    of_keras = type(layer).__module__.partition(".")[0] == "keras"
    if of_keras or not isinstance(layer, keras.Layer):
        return isinstance(layer, _RECURRENT)
    return "mask" in inspect.signature(layer.call).parameters


def _frame_by_frame(layer, x):
    if isinstance(layer, layers.Reshape):
        shape = layer.compute_output_shape(x.shape)
        return len(shape) > 2 and math.prod(shape[2:]) == math.prod(x.shape[2:])
    if isinstance(layer, _OVER_AXES):
        rank = len(keras.tree.flatten(x)[0].shape)
        return 1 not in [axis % rank for axis in keras.tree.flatten(layer.axis)]
    return isinstance(layer, keras.Layer) and layer.supports_masking and not isinstance(layer, _ACROSS_FRAMES)
