"""Shift-invariant pooling for existing models: any functional Keras CNN, including pre-trained ones."""

import keras

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.frame_mask import SplitMask
from keras_audio_si.layers.nested import nested_layers
from keras_audio_si.layers.pooling import AdaptivePolyphasePool, AntiAliasPool
from keras_audio_si.layers.pooling_names import build_pooling
from keras_audio_si.models.sampling_grids import CONVOLUTIONS, POOLS, GridMap
from keras_audio_si.models.surgery import ModelCopy, graph_copy
from keras_audio_si.ops.padding import same_padding

BORDERS = ("edge", "reflect", "circular")


def swap_pooling(model, pooling, strided_convolutions=False, padding="edge"):
    """Copies a model with anti-aliased or adaptive subsampling; all weights are kept.

    A pool or convolution with stride `s` becomes the same layer with stride 1, with the same name, followed by a layer
    `<name>_sample` that filters and subsamples. Pool size, padding, sampling phase and output size are those of the
    original layer; without a filter, on the first grid, the copy computes exactly the same scores. Pools that do not
    subsample, including global ones, are kept.

    Adaptive mechanisms choose a grid per example, and maps that are merged must be on one grid. Layers that sample the
    same grid with the same strides, such as those of the main path and the shortcut of a residual network, use the
    choice of the first one. After a 2 x 2 average pool all grids have the same l1 norm: use the criterion "l2" for
    models with such pools.

    Args:
        model: Functional or Sequential model. Models in it are swapped as well. It is not changed.
        pooling: Name of the mechanism, such as "blur5", "tlpf5", "aps-l2" or "tlpf5+aps", or anything else for which
            `layers.build_pooling` gives an `AntiAliasPool` or `AdaptivePolyphasePool`.
        strided_convolutions: Whether strided Conv, DepthwiseConv and SeparableConv layers are replaced as well.
        padding: How maps go on beyond their borders where they are filtered and sampled: "edge", "reflect" or
            "circular". With the latter the windows of pools wrap around as well and are centred, for models whose
            convolutions are padded circularly.

    Returns:
        Functional `keras.Model`, compiled if `model` was.

    Raises:
        ValueError: If the pooling is unknown (the message names the nearest known one) or neither anti-aliased nor
            adaptive, if there is nothing to replace, if maps on grids that are not known to match meet, or if the
            size of a map would change; the message names the layer. If the model is one of `with_masks`.

    Example:

    >>> inputs = keras.Input((64, 96, 1))
    >>> x = keras.layers.MaxPooling2D(2)(keras.layers.Conv2D(8, 3, name="conv")(inputs))
    >>> swapped = swap_pooling(keras.Model(inputs, x), "tlpf5+aps")
    >>> [type(layer).__name__ for layer in swapped.layers]
    ['InputLayer', 'Conv2D', 'MaxPooling2D', 'AdaptivePolyphasePool']

    Reference:
        fonseca2021, section II; Zhang, "Making Convolutional Networks Shift-Invariant Again", 2019; Chaman and
        Dokmanic, 2021.
    """
    prototype = build_pooling(pooling)
    if not isinstance(prototype, (AntiAliasPool, AdaptivePolyphasePool)):
        raise ValueError(
            "`pooling` must be anti-aliased or adaptive, such as 'blur5', 'tlpf5', 'aps' or 'tlpf5+aps'. "
            f"Received: pooling={pooling!r}"
        )
    check_choice("padding", padding, BORDERS)
    if any(isinstance(layer, SplitMask) for layer in nested_layers(model)):
        raise ValueError(
            f"`model` must not mask padding: swap the pooling before `with_masks`. Received: {model.name!r}"
        )
    copying = _Copying(pooling, prototype, strided_convolutions, padding)
    swapped = copying.copy(model)
    if not copying.swaps:
        strided = [layer.name for layer in copying.clones_of if isinstance(layer, CONVOLUTIONS) and _strided(layer)]
        hint = f"; strided_convolutions=True would replace {', '.join(map(repr, strided))}" if strided else ""
        raise ValueError(f"The model {model.name!r} has no pool that subsamples{hint}")
    copying.copy_weights()
    return swapped


class _Copying(ModelCopy):
    """One copy of a model, with the models inside it."""

    def __init__(self, pooling, prototype, strided_convolutions, padding):
        super().__init__()
        self.pooling = pooling
        self.prototype = prototype
        self.adaptive = isinstance(prototype, AdaptivePolyphasePool)
        self.replaced = (*POOLS, *CONVOLUTIONS) if strided_convolutions else POOLS
        self.padding = padding
        self.swaps = {}  # Copy to the original and the layer that samples behind it.
        self.swapped_models = []
        self.croppings = {}

    def copy(self, model):
        before = len(self.swaps)
        grids = GridMap()
        copied = graph_copy(model, self.clone, lambda layer, *args, **kwargs: self.call(grids, layer, *args, **kwargs))
        if len(self.swaps) > before:
            self.swapped_models.append(copied)
        return copied

    def is_graph(self, layer):
        return super().is_graph(layer) and getattr(layer, "inputs", None) is not None

    def clone_layer(self, layer):
        if not isinstance(layer, self.replaced) or not _strided(layer):
            return super().clone_layer(layer)
        _check_layout(layer)
        window = {"pool_size": 1, "pool_mode": None, "name": f"{layer.name}_sample"}
        if self.padding == "circular" and isinstance(layer, POOLS):
            mode = "max" if isinstance(layer, (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)) else "average"
            window = {"pool_size": _pair(layer.pool_size), "pool_mode": mode, "name": layer.name}
        strides = _pair(layer.strides)
        settings = {"strides": strides, "padding": self.padding, "dtype": layer.dtype_policy}
        settings |= {"return_indices": True} if self.adaptive else {}
        # The taps of "triangular" follow the strides.
        named = isinstance(self.pooling, str)
        prototype = build_pooling(self.pooling, strides=strides) if named else self.prototype
        sampler = type(prototype)(**{**prototype.get_config(), **settings, **window})
        clone = sampler if window["pool_mode"] else type(layer).from_config({**layer.get_config(), "strides": 1})
        self.swaps[clone] = layer, sampler
        return clone

    def call(self, grids, layer, *args, **kwargs):
        tensors = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
        if layer in self.swaps:
            return self.call_swapped(grids, layer, tensors[0])
        outputs = layer(*args, **kwargs)
        if self.adaptive:
            grids.follow(layer, tensors, outputs, moves=layer in self.swapped_models)
        return outputs

    def call_swapped(self, grids, layer, x):
        original, sampler = self.swaps[layer]
        dense = x if layer is sampler else self.crop(original, layer(x), x.shape[1:-1])
        try:
            if self.adaptive:
                grid = grids.sampled(grids.common(original, [x]), original.strides, True, original.name)
                y, grid.indices = sampler(dense, indices=grid.indices)
                grids[y] = grid
            else:
                y = sampler(dense)
        except ValueError as error:
            raise ValueError(f"The layer {original.name!r} cannot be replaced: {error}") from error
        wanted = original.compute_output_shape(x.shape)
        if tuple(y.shape) != tuple(wanted):
            raise ValueError(
                f"The layer {original.name!r} cannot be replaced with padding {self.padding!r}: it gives maps of shape "
                f"{tuple(wanted)}, its replacement {tuple(y.shape)}; use padding='edge'"
            )
        return y

    def crop(self, layer, dense, sizes):
        """Leaves out what the strided layer skips: under "same" its first window may start later than the dense one."""
        if layer.padding != "same":
            return dense
        phases = [_phase(layer, *axis) for axis in zip(sizes, _windows(layer), layer.strides, strict=True)]
        if not any(phases):
            return dense
        if self.padding == "circular":
            raise ValueError(
                f"The layer {layer.name!r} cannot be replaced with padding 'circular': it pads its input with zeros; "
                "pad with SpatialPadding(padding='circular') and convolve with padding 'valid', or use padding='edge'"
            )
        name = f"{layer.name}_from_{'_'.join(map(str, phases))}"
        if name not in self.croppings:
            amounts = [(phase, 0) for phase in phases]
            self.croppings[name] = (
                keras.layers.Cropping1D(amounts[0], name=name)
                if len(phases) == 1
                else keras.layers.Cropping2D(amounts, data_format="channels_last", name=name)
            )
        return self.croppings[name](dense)


def _strided(layer):
    """Whether a layer subsamples; one whose output is a single position pools globally."""
    return max(layer.strides) > 1 and any(size != 1 for size in layer.output.shape[1:-1])


def _check_layout(layer):
    if layer.data_format != "channels_last":
        raise ValueError(
            f"The layer {layer.name!r} has data_format 'channels_first'; only 'channels_last' is known here"
        )


def _pair(values):
    return (*values, 1)[:2]


def _windows(layer):
    if isinstance(layer, POOLS):
        return layer.pool_size
    return [(size - 1) * dilation + 1 for size, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)]


def _phase(layer, size, window, stride):
    """Index of the dense window that is the first one of the strided layer."""
    sizes = range(stride, 2 * stride) if size is None else [size]
    phases = {same_padding(n, window, 1)[0] - same_padding(n, window, stride)[0] for n in sizes}
    if len(phases) > 1:
        raise ValueError(
            f"The layer {layer.name!r} cannot be replaced: where its windows lie depends on the size of its input, "
            "which is not known; build the model with a fixed input shape"
        )
    return phases.pop()
