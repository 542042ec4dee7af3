"""Pooling layers by name, as the builders, the command and `swap_pooling` take them."""

import difflib
import inspect
import re

import keras

from keras_audio_si.layers.pooling import AdaptivePolyphasePool, AntiAliasPool
from keras_audio_si.layers.time_mel import ORDERS, TimeMelPool

EXAMPLES = (
    "max",
    "average",
    "blur3",
    "blur5",
    "tlpf3",
    "tlpf5",
    "tlpf1x5",
    "tlpf5-box",
    "aps",
    "aps-l1",
    "aps-l2",
    "blur5+aps",
    "tlpf5+aps",
    "triangular",
    *ORDERS,
)
_FILTERED = re.compile(
    r"(?:(?P<filter>triangular|(?:blur|tlpf)(?P<time>\d+)(?:x(?P<mel>\d+))?)(?P<box>-box)?)?"
    r"(?P<plus>\+)?(?P<aps>aps(?:-(?P<criterion>\w+))?)?"
)


def build_pooling(pooling, pool_size=2, strides=2, padding="same", name=None, non_negative=False):
    """Builds the pooling layer that a name, a callable or a layer config describes.

    Args:
        pooling: "max", "average", "blurK" (BlurPool of K x K taps), "tlpfK" or "tlpfTxM" (trainable taps on time x
            mel), "tlpfK-box" (the same, which start as released), "triangular" (the filter of gazneli2022, of
            `2 * stride + 1` taps on each axis), "aps", "aps-CRITERION", a filter and APS joined by "+", one of the
            orders of `TimeMelPool`, a callable that is called as `pooling(strides=strides)` and returns a new layer, or
            the config of a layer (`keras.layers.serialize`).
        pool_size: Window of the pooling, an integer or (time, mel).
        strides: Subsampling, an integer or (time, mel).
        padding: One of `ops.padding.PADDINGS`.
        name: Name of the layer.
        non_negative: Whether its input is never negative, for `AdaptivePolyphasePool`.

    Returns:
        A `keras.layers.Layer`.

    Raises:
        ValueError: If the name is unknown; the message has the nearest known one. If an order of `TimeMelPool` is to
            have other strides than its window, or another padding than "same".

    Example:

    >>> build_pooling("tlpf1x5+aps-l2").filter_size
    (1, 5)
    """
    if isinstance(pooling, dict):
        pooling = {**pooling, "config": {**pooling["config"], "name": name or pooling["config"].get("name")}}
        return keras.layers.deserialize(pooling)
    if callable(pooling) and not isinstance(pooling, keras.layers.Layer):
        return _called(pooling, strides)
    if not isinstance(pooling, str):
        raise ValueError(
            "`pooling` must be a name, a callable that returns a new layer or a layer config. "
            f"Received: pooling={pooling!r}"
        )
    common = {"pool_size": pool_size, "strides": strides, "padding": padding, "name": name}
    if pooling in ("max", "average"):
        if padding in ("same", "valid"):
            plain = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
            return plain(**common, data_format="channels_last")
        return AntiAliasPool(filter_size=1, pool_mode=pooling, **common)
    if pooling in ORDERS:
        if _pair(strides) != _pair(pool_size) or padding != "same":
            raise ValueError(
                f"`pooling`={pooling!r} needs `strides` that are its `pool_size`, and padding 'same'. "
                f"Received: pool_size={pool_size!r}, strides={strides!r}, padding={padding!r}"
            )
        return TimeMelPool(pooling, pool_size, name=name)
    match = _FILTERED.fullmatch(pooling)
    trainable = match and (match["filter"] or "").startswith("tlpf")
    if (
        not (match and pooling)
        or bool(match["plus"]) != bool(match["filter"] and match["aps"])
        or (match["box"] and not trainable)
    ):
        known = ", ".join(map(repr, EXAMPLES))
        near = difflib.get_close_matches(pooling, EXAMPLES, n=1, cutoff=0.0)[0]
        raise ValueError(f"`pooling` must be such as {known}. Received: pooling={pooling!r}. Did you mean {near!r}?")
    if match["filter"] == "triangular":
        common["filter"], common["filter_size"] = "triangular", tuple(2 * stride + 1 for stride in _pair(strides))
    elif match["filter"]:
        common["filter"] = "trainable" if trainable else "binomial"
        common["filter_size"] = (int(match["time"]), int(match["mel"] or match["time"]))
    if match["box"]:
        common["initializer"] = "box"
    if not match["aps"]:
        return AntiAliasPool(**common)
    return AdaptivePolyphasePool(criterion=match["criterion"] or "channel_l1", non_negative=non_negative, **common)


def _called(pooling, strides):
    try:
        inspect.signature(pooling).bind(strides=strides)
    except TypeError:
        raise ValueError(
            f"`pooling` is called as pooling(strides={strides}), which {pooling!r} does not take: give it an argument "
            "`strides`."
        ) from None
    return pooling(strides=strides)


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)
