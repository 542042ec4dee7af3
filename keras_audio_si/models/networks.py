"""Registry of the networks by the names that settings and the command use."""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import keras

from keras_audio_si.checks import check_choice
from keras_audio_si.layers.nested import all_layers
from keras_audio_si.models.deep_fourier import HeuriNet, MelConvNet, MSTNet, PiczakNet
from keras_audio_si.models.eat import EAT, EATMedium, EATSmall
from keras_audio_si.models.efficientnet import EfficientNetBackbone, EfficientNetTagger
from keras_audio_si.models.vgg import VGG41, VGG42


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that settings can name.

    Args:
        build: Builder, called as `build(num_classes, input_shape, activation=..., class_names=..., **options)`.
        input: "spectrogram" or "waveform".
        inner: Builders that take further keyword arguments of `build`.
        head: Names of layers, with one of which the network's own head begins; none if it takes no other head.
        model_name: Name that the builder gives the model, or the one inside it that is the network.

    Example:

    >>> NETWORKS["efficientnet-b0"].input, "width" in NETWORKS["vgg42"].options
    ('spectrogram', True)
    """

    build: Callable
    input: str
    inner: tuple = ()
    head: tuple[str, ...] = ()
    model_name: str = ""

    @property
    def summary(self):
        """The first line of the builder's docstring."""
        function = self.build.func if isinstance(self.build, functools.partial) else self.build
        return inspect.getdoc(function).partition("\n")[0]

    @property
    def options(self):
        """Names of the keyword arguments of the builder."""
        names = [name for build in (self.build, *self.inner) for name in inspect.signature(build).parameters]
        return tuple(dict.fromkeys(name for name in names if name not in ("kwargs", "piczak")))


def _efficientnet(variant):
    build = functools.partial(EfficientNetTagger, variant=variant)
    name = f"efficientnet_{variant.lower()}_backbone"
    return Network(build, "spectrogram", (EfficientNetBackbone,), ("attention_head",), name)


NETWORKS = {
    "vgg41": Network(VGG41, "spectrogram", (), ("global_pool",), "vgg41"),
    "vgg42": Network(VGG42, "spectrogram", (VGG41,), ("global_pool",), "vgg42"),
    "eat-s": Network(EATSmall, "waveform", (EAT,), ("class_token", "gather"), "eat_small"),
    "eat-m": Network(EATMedium, "waveform", (EAT,), ("class_token", "gather"), "eat_medium"),
    "efficientnet-b0": _efficientnet("B0"),
    "efficientnet-b1": _efficientnet("B1"),
    "efficientnet-b2": _efficientnet("B2"),
    "piczak": Network(PiczakNet, "spectrogram", model_name="piczak_net"),
    "heurinet": Network(HeuriNet, "waveform", (PiczakNet,), model_name="heuri_net"),
    "mstnet": Network(MSTNet, "waveform", (PiczakNet,), model_name="mst_net"),
    "melconvnet": Network(MelConvNet, "waveform", (PiczakNet,), model_name="mel_conv_net"),
}


def network(name):
    """Returns the `Network` of a name; a `ValueError` has the nearest known one."""
    check_choice("network", name, NETWORKS)
    return NETWORKS[name]


def network_in(model):
    """Returns the name of the network that a model is or has inside, by the name that its builder gave it.

    Args:
        model: A Keras model.

    Returns:
        A name in `NETWORKS`, or None.

    Example:

    >>> network_in(keras_audio_si.models.pretrained("vgg41-esc10"))
    'vgg41'
    """
    names = {network.model_name: name for name, network in NETWORKS.items()}
    models = (layer for layer in all_layers(model) if isinstance(layer, keras.Model))
    return next((names[inner.name] for inner in models if inner.name in names), None)
