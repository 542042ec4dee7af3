"""Copies of models in float32."""

from keras_audio_si.layers.nested import all_layers
from keras_audio_si.models.surgery import ModelCopy


def in_float32(model):
    """Copies a model of mixed precision so that it computes in float32, with the same weights.

    Args:
        model: Functional or Sequential model, with models in it or without. It is not changed.

    Returns:
        Functional `keras.Model`; `model` itself if it computes in float32 already.

    Raises:
        ValueError: If the model is not of layers that can be told from outside.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_bfloat16")])
    >>> in_float32(model).layers[-1].compute_dtype
    'float32'
    """
    if all(layer.compute_dtype == "float32" for layer in all_layers(model)):
        return model
    return _InFloat32().copy_with_weights(model)


class _InFloat32(ModelCopy):
    def clone_layer(self, layer):
        return type(layer).from_config(_in_float32(layer.get_config()))


def _in_float32(config):
    """The config of a layer, and of the layers in it, with the dtype float32."""
    inner = {
        name: {**value, "config": _in_float32(value["config"])}
        for name, value in config.items()
        if isinstance(value, dict) and isinstance(value.get("config"), dict) and "dtype" in value["config"]
    }
    return {**config, **inner, "dtype": "float32"}
