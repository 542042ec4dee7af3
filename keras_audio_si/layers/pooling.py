"""Anti-aliased and adaptive polyphase pooling layers (fonseca2021, Fig. 1)."""

import keras
import numpy as np
from keras import ops

from keras_audio_si.checks import check_choice
from keras_audio_si.ops.adaptive_sampling import adaptive_sample
from keras_audio_si.ops.depthwise import binomial_taps, low_pass, softmax_taps, triangular_taps
from keras_audio_si.ops.lengths import hide_padding, strided_mask
from keras_audio_si.ops.padding import check_fits, check_padding, output_size
from keras_audio_si.ops.polyphase import CRITERIA
from keras_audio_si.ops.pooling import dense_average, dense_max, pool_clips

FILTERS = ("binomial", "triangular", "trainable")
STARTS = ("binomial", "box")  # Of trainable taps.
POOL_MODES = ("max", "average", None)


def _pair(value, name):
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(n, int) or n < 1 for n in pair):
        raise ValueError(
            f"`{name}` must be an integer of at least 1 or a pair (time, mel) of them. Received: {name}={value!r}"
        )
    return pair


def _initializer(identifier):
    try:
        return keras.initializers.get(identifier)
    except ValueError:
        names = ", ".join(map(repr, STARTS))
        raise ValueError(
            f"`initializer` must be one of {names} or an initializer of Keras. Received: initializer={identifier!r}"
        ) from None


def _constant(taps):
    """An initializer that gives every channel the same taps."""
    return lambda shape, dtype=None: ops.convert_to_tensor(np.tile(taps[:, :, None, None], (1, 1, shape[2], 1)), dtype)


class _FilteredPool(keras.layers.Layer):
    """Base class of the two pools: dense pooling and low-pass taps; maps of rank 3 get a mel axis of one band."""

    def __init__(self, pool_size, strides, filter_size, filter, pool_mode, padding, initializer, **kwargs):
        super().__init__(**kwargs)
        self.pool_size = _pair(pool_size, "pool_size")
        self.strides = _pair(strides, "strides")
        self.filter_size = _pair(filter_size, "filter_size")
        self.filter = filter
        check_choice("pool_mode", pool_mode, POOL_MODES)
        self.pool_mode = pool_mode
        self.padding = check_padding(padding)
        self.initializer = initializer if initializer in STARTS else _initializer(initializer)
        self.taps = None
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) not in (3, 4) or input_shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} takes maps of shape (batch, time, channels) or (batch, time, mel, channels) "
                f"with a known number of channels. Received: shape={tuple(input_shape)}"
            )
        if len(input_shape) == 3:
            self.pool_size, self.strides, self.filter_size = (
                (pair[0], 1) for pair in (self.pool_size, self.strides, self.filter_size)
            )
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes={-1: input_shape[-1]})
        if self.filter is not None and self.filter_size != (1, 1):
            shape = (*self.filter_size, input_shape[-1], 1)
            self.taps = self.add_weight(
                name="raw_taps" if self.filter == "trainable" else "taps",
                shape=shape,
                initializer=self._initial_taps(),
                trainable=self.filter == "trainable",
                dtype="float32",
                autocast=False,
            )
        self._check_sizes(input_shape)

    def _initial_taps(self):
        if self.filter != "trainable":
            return _constant((binomial_taps if self.filter == "binomial" else triangular_taps)(*self.filter_size))
        if self.initializer not in STARTS:
            return self.initializer
        near = keras.initializers.RandomNormal(stddev=0.01)
        if self.initializer == "box":
            return near
        # An exact binomial filter has no gain at the Nyquist frequency, so that all grids of a map that is not negative
        # would have the same l1 norm, and rounding would choose among them.
        binomial = _constant(np.log(binomial_taps(*self.filter_size)))
        return lambda shape, dtype=None: binomial(shape, dtype) + near(shape, dtype)

    def _check_sizes(self, shape):
        spatial = shape[1:-1]
        check_fits(spatial, [self._window(axis) for axis in range(len(spatial))], self.padding)
        if self.padding == "circular" and any(
            n is not None and n % s for n, s in zip(spatial, self.strides, strict=False)
        ):
            raise ValueError(
                f"`padding`='circular' needs sizes that the strides {self.strides} divide. "
                f"Received: shape={tuple(shape)}. Pad or crop the input, or choose another padding."
            )

    def _as_map(self, x, mask=None):
        self._check_sizes(x.shape)
        x = ops.expand_dims(x, 2) if len(x.shape) == 3 else x
        # An even number of frames, so that the sampling phase under "same" does not follow the padding.
        return x if mask is None else hide_padding(x, mask, multiple=self.strides[0] if self.padding == "same" else 1)

    def _dense(self, x, mask=None):
        if self.pool_mode is None or self.pool_size == (1, 1):
            return x
        largest = self.pool_mode == "max"

        def dense(x):
            return (dense_max if largest else dense_average)(x, self.pool_size, self.padding)

        if mask is None:
            return dense(x)
        pooled = pool_clips(dense, x, lambda x, fill: hide_padding(x, mask, fill), largest)
        return hide_padding(pooled, strided_mask(mask, self.pool_size[0], padding=self.padding))

    def time_window(self):
        """Frames that a frame of the output depends on at most, for masks under "valid"."""
        return self._window(0)

    def _window(self, axis):
        dense = self.pool_size[axis] if self.pool_mode else 1
        return dense + (self.filter_size[axis] if self.filter is not None else 1) - 1

    def compute_mask(self, *args, **kwargs):
        return None

    def _low_pass_taps(self):
        if self.taps is None:
            return None
        return softmax_taps(self.taps) if self.filter == "trainable" else ops.convert_to_tensor(self.taps)

    def _size_after(self, size, pool, window, stride):
        dense = output_size(size, pool if self.pool_mode else 1, 1, self.padding)
        return output_size(dense, window, stride, self.padding)

    def compute_output_shape(self, input_shape):
        axes = zip(input_shape[1:-1], self.pool_size, self.filter_size, self.strides, strict=False)
        return (input_shape[0], *(self._size_after(*axis) for axis in axes), input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "filter_size": self.filter_size,
            "filter": self.filter,
            "pool_mode": self.pool_mode,
            "padding": self.padding,
            "initializer": self.initializer
            if self.initializer in STARTS
            else keras.initializers.serialize(self.initializer),
        }


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AntiAliasPool(_FilteredPool):
    """Anti-aliased pooling: dense pooling, a low-pass filter, and subsampling.

    With `pool_mode="max"` the cascade is eq. 1 of the paper: "binomial" is its BlurPool, "trainable" its TLPF.
    Strides are applied with the filter, in one pass.

    Args:
        pool_size: Window of the dense pooling, an integer or (time, mel).
        strides: Subsampling, an integer or (time, mel).
        filter_size: Number of taps, an integer or (time, mel); `(1, 5)` filters along mel alone.
        filter: "binomial", "triangular" (odd sizes; the filter of gazneli2022) or "trainable" (a softmax over the
            taps of each channel).
        pool_mode: "max", "average" (padding does not count) or None (filter and subsample only). What the released
            code calls average pooling is None here.
        padding: "same" (zeros, as in the published models, so the sampling phase follows the parity of the map),
            "valid", "reflect", "edge" or "circular". All but "same" keep output `i` centred on input `stride * i`.
        initializer: Start of trainable taps: "binomial", "box" (the paper's random start, as released), or an
            initializer of Keras. Before the softmax these are the logarithm of a binomial kernel, and zeros, plus
            `RandomNormal(stddev=0.01)`.

    Input shape:
        `(batch, time, channels)`, pooled along time, or `(batch, time, mel, channels)`. A mask `(batch, time)` marks
        the padding of clips: under "same" and "valid" what comes out for a clip does not depend on how much it is.

    Output shape:
        The same rank, with `ceil(size / stride)` on the pooled axes ("valid": whole windows only).

    Raises:
        ValueError: If an argument or the rank is not one of the above, or if padding is "circular" and a size is not
            divisible by its stride.

    Example:

    >>> layer = AntiAliasPool(filter="trainable", filter_size=5)
    >>> tuple(layer(keras.ops.ones((2, 101, 96, 8))).shape)
    (2, 51, 48, 8)

    Reference:
        fonseca2021, section II-A.
    """

    def __init__(
        self,
        pool_size=2,
        strides=2,
        filter_size=5,
        filter="binomial",
        pool_mode="max",
        padding="same",
        initializer="binomial",
        **kwargs,
    ):
        check_choice("filter", filter, FILTERS)
        super().__init__(pool_size, strides, filter_size, filter, pool_mode, padding, initializer, **kwargs)

    def call(self, x, mask=None):
        pooled = self._dense(self._as_map(x, mask), mask)
        if self.taps is not None:
            pooled = low_pass(pooled, self._low_pass_taps(), self.strides, self.padding)
        else:
            pooled = pooled[:, :: self.strides[0], :: self.strides[1]]
        return pooled[:, :, 0] if len(x.shape) == 3 else pooled


@keras.saving.register_keras_serializable(package="keras_audio_si")
class AdaptivePolyphasePool(_FilteredPool):
    """Adaptive polyphase sampling (APS): dense pooling, and subsampling on the grid that maximises a criterion.

    The grid is chosen for each example. If the input is shifted by one bin, its energy moves to another grid, which is
    then chosen, so the output stays the same up to a shift. This is exact with `padding="circular"` in all layers and
    sizes that are divisible by the strides.

    Args:
        pool_size: Window of the dense pooling, an integer or (time, mel).
        strides: Subsampling, an integer >= 2 or (time, mel), where one of the two may be 1.
        criterion: "channel_l1" (the released code: the largest l1 norm of a channel), "l1" (eq. 2 of the paper),
            "l2", "linf" or "variance". Always computed in float32.
        filter: Low-pass filter before the choice: None, "binomial", "triangular" or "trainable".
        filter_size: Number of taps, an integer or (time, mel); used where `filter` is set.
        pool_mode: "max", "average" or None.
        padding: "same" (zeros for the filter, a mirrored element at the end of odd axes, as released), "valid" (cuts
            the rest off), "reflect", "edge" or "circular".
        initializer: Start of trainable taps: "binomial", "box" (the paper's random start, as released), or an
            initializer of Keras. Before the softmax these are the logarithm of a binomial kernel, and zeros, plus
            `RandomNormal(stddev=0.01)`.
        return_indices: Whether to return the chosen grids as well.
        non_negative: Whether the input is never negative, as after a ReLU. The grid can then be chosen before
            filtering without a test, which is faster on a CPU.

    Call arguments:
        x: Feature map.
        indices: Grids to take, integers of shape `(batch,)`, so that parallel branches keep one grid. Grid `p` is
            `x[:, p % s :: s, p // s :: s]`.
        mask: As for `AntiAliasPool`.

    Input shape:
        `(batch, time, channels)`, sampled along time, or `(batch, time, mel, channels)`.

    Output shape:
        The same rank, with `ceil(size / stride)` on the pooled axes ("valid": `floor`). With `return_indices` a pair
        of it and `(batch,)` int32.

    Raises:
        ValueError: If an argument or the rank is not one of the above, or if padding is "circular" and a size is not
            divisible by its stride.

    Example:

    >>> pool = AdaptivePolyphasePool(pool_mode=None, return_indices=True)
    >>> x = keras.ops.reshape(keras.ops.arange(8.0), (1, 8, 1))
    >>> y, indices = pool(x)
    >>> print(keras.ops.convert_to_numpy(y)[0, :, 0], keras.ops.convert_to_numpy(indices))
    [1. 3. 5. 7.] [1]

    Reference:
        fonseca2021, section II-B; Chaman and Dokmanic, 2021.
    """

    def __init__(
        self,
        pool_size=2,
        strides=2,
        criterion="channel_l1",
        filter=None,
        filter_size=5,
        pool_mode="max",
        padding="same",
        initializer="binomial",
        return_indices=False,
        non_negative=False,
        **kwargs,
    ):
        check_choice("filter", filter, (None, *FILTERS))
        super().__init__(pool_size, strides, filter_size, filter, pool_mode, padding, initializer, **kwargs)
        if self.strides == (1, 1):
            raise ValueError(f"`strides` must be at least 2 on one axis. Received: strides={strides!r}")
        check_choice("criterion", criterion, CRITERIA)
        self.criterion = criterion
        self.return_indices = return_indices
        self.non_negative = non_negative

    def call(self, x, indices=None, mask=None):
        frames, dense, sampled = self._as_map(x, mask), self._dense, None
        if mask is not None:
            frames, dense = self._dense(frames, mask), None
            # A filter reaches beyond the end of a clip, where its grid is not to be chosen.
            sampled = strided_mask(mask, self.time_window(), self.strides[0], self.padding)
            sampled = ops.repeat(sampled, self.strides[0], axis=1)
        y, indices = adaptive_sample(
            frames,
            self.strides,
            self.criterion,
            self._low_pass_taps(),
            self.padding,
            indices,
            dense,
            self.non_negative,
            sampled,
        )
        y = y[:, :, 0] if len(x.shape) == 3 else y
        return (y, indices) if self.return_indices else y

    def time_window(self):
        return super().time_window() + self.strides[0] - 1

    def _size_after(self, size, pool, window, stride):
        dense = output_size(size, pool if self.pool_mode else 1, 1, self.padding)
        filtered = output_size(dense, window if self.filter is not None else 1, 1, self.padding)
        # Cutting the rest off under "valid" is a window of one stride.
        return output_size(filtered, stride, stride, self.padding)

    def compute_output_spec(self, x, indices=None, mask=None):
        y = keras.KerasTensor(self.compute_output_shape(x.shape), self.compute_dtype)
        return (y, keras.KerasTensor(x.shape[:1], "int32")) if self.return_indices else y

    def get_config(self):
        own = {name: getattr(self, name) for name in ("criterion", "return_indices", "non_negative")}
        return {**super().get_config(), **own}
