"""`keras-audio-si bench layers`: every layer of the package beside the nearest plain Keras layer."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import numpy as np

from keras_audio_si import layers
from keras_audio_si.bench.timing import (
    check_json_path,
    compare,
    compilation,
    forward_pass,
    gradient_pass,
    precision_policy,
    report,
)
from keras_audio_si.layers.spectral_mixing import stft_sizes
from keras_audio_si.variants import did_you_mean

SAMPLE_RATE = 16000
EAT_SAMPLE_RATE = 22050
EAT_SHAPE = (5 * EAT_SAMPLE_RATE,)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A plain Keras layer, and the layers that are compared with it.

    Attributes:
        shape: Shape of one example.
        layers: Dict of name to a function that builds a layer; the plain one first.
        inputs: Function of the name and of an array `(batch, *shape)` that gives what the layer takes, or None for
            the array itself.
        training: Whether the layers run as in training; such layers have no gradient worth a measurement.
        plain_xla: Whether TensorFlow can compile the plain layer by XLA. It can compile all the others.
    """

    shape: tuple
    layers: dict[str, Callable]
    inputs: Callable | None = None
    training: bool = False
    plain_xla: bool = True


def _mixing_inputs(name, x):
    labels = np.eye(10, dtype="float32")[np.arange(len(x)) % 10]
    if name == "keras MixUp":
        return {"images": x[:, :, None, None], "labels": labels}
    return x, labels


class _Filterbank(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="filterbank")
        self.filters = keras.layers.Conv1D(80, 401, use_bias=False)
        self.window = keras.layers.AveragePooling1D(401, 160)

    def call(self, x):
        return self.window(keras.ops.square(self.filters(x[:, :, None])))


class _SelfAttention(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(num_heads=8, key_dim=16)

    def call(self, x):
        return self.attention(x, x)


def _spectral_mixings(mixing):
    return {
        f"{mixing.__name__} {fft_length}/{hop_length}": functools.partial(
            mixing, 22050, sizes=[(fft_length, hop_length)]
        )
        for fft_length, hop_length in stft_sizes(22050)
    }


def _augmented_inputs(name, x):
    """Waveforms as loud as audio is, with labels where something mixes them."""
    return (0.1 * x, np.eye(len(x), 50, dtype="float32")) if "mixing" in name else 0.1 * x


def _augmentations():
    rate, noises = EAT_SAMPLE_RATE, layers.RandomNoise
    return {
        "RandomGain": lambda: layers.RandomGain(),
        "RandomFragmentGain": lambda: layers.RandomFragmentGain(rate),
        "RandomTimeMask": lambda: layers.RandomTimeMask(rate),
        "RandomPolarity": lambda: layers.RandomPolarity(),
        "RandomTimeReversal": lambda: layers.RandomTimeReversal(),
        "RandomQuantisation": lambda: layers.RandomQuantisation(),
        "RandomMuLaw": lambda: layers.RandomMuLaw(),
        "RandomTimeShift": lambda: layers.RandomTimeShift(rate),
        "RandomCyclicShift": lambda: layers.RandomCyclicShift(),
        "RandomSpeed": lambda: layers.RandomSpeed(),
        "RandomLowPass": lambda: layers.RandomLowPass(),
        "RandomHighPass": lambda: layers.RandomHighPass(),
        "RandomNoise white": lambda: noises("white"),
        "RandomNoise pink": lambda: noises("pink"),
        "RandomNoise uniform": lambda: noises("uniform"),
        "RandomSine": lambda: layers.RandomSine(rate),
        "RandomPhaseNoise": lambda: layers.RandomPhaseNoise(),
        "RandomOrder of two": lambda: layers.RandomOrder([layers.RandomGain(), layers.RandomMuLaw()]),
        "RandomChoice of two": lambda: layers.RandomChoice([layers.RandomGain(), layers.RandomMuLaw()]),
    }


def _pools():
    return {
        "AntiAliasPool binomial 5": lambda: layers.AntiAliasPool(),
        "AntiAliasPool trainable 5": lambda: layers.AntiAliasPool(filter="trainable"),
        "AdaptivePolyphasePool": lambda: layers.AdaptivePolyphasePool(),
        "AdaptivePolyphasePool trainable 5": lambda: layers.AdaptivePolyphasePool(filter="trainable"),
    }


SUBJECTS = {
    "max-pool": Subject(
        (101, 96, 48),
        {
            "keras MaxPooling2D": lambda: keras.layers.MaxPooling2D(2, padding="same"),
            **_pools(),
            "TimeMelPool": lambda: layers.TimeMelPool("mean_mel_max_time"),
        },
    ),
    "average-pool": Subject(
        (101, 96, 48),
        {
            "keras AveragePooling2D": lambda: keras.layers.AveragePooling2D(2, padding="same"),
            "AntiAliasPool binomial 5": lambda: layers.AntiAliasPool(pool_mode="average"),
            "AdaptivePolyphasePool": lambda: layers.AdaptivePolyphasePool(pool_mode="average"),
        },
    ),
    "max-pool-1d": Subject(
        (4096, 48), {"keras MaxPooling1D": lambda: keras.layers.MaxPooling1D(2, padding="same"), **_pools()}
    ),
    "global-pool": Subject(
        (12, 12, 256),
        {
            "keras GlobalAveragePooling2D": lambda: keras.layers.GlobalAveragePooling2D(),
            "GlobalTimeMelPool": lambda: layers.GlobalTimeMelPool("mean_mel_max_time"),
        },
    ),
    "padding": Subject(
        (101, 96, 48),
        {
            "keras ZeroPadding2D": lambda: keras.layers.ZeroPadding2D(1),
            "SpatialPadding reflect": lambda: layers.SpatialPadding(3, "reflect"),
            "SpatialPadding circular": lambda: layers.SpatialPadding(3, "circular"),
        },
    ),
    # The same transform, bands and range on both sides; only the floor of the range is of the example, not the batch.
    "log-mel": Subject(
        (16480,),
        {
            "keras MelSpectrogram": lambda: keras.layers.MelSpectrogram(
                fft_length=512,
                sequence_stride=160,
                sequence_length=480,
                sampling_rate=SAMPLE_RATE,
                num_mel_bins=96,
                min_freq=0.0,
            ),
            "LogMelSpectrogram": lambda: layers.LogMelSpectrogram(SAMPLE_RATE),
            "LogMelSpectrogram decibel": lambda: layers.LogMelSpectrogram(
                SAMPLE_RATE, compression="decibel", top_db=80.0, center=True
            ),
        },
    ),
    "learned-front-end": Subject(
        (SAMPLE_RATE,),
        {
            "keras Conv1D, squares, AveragePooling1D": _Filterbank,
            "TDFilterbanks": lambda: layers.TDFilterbanks(SAMPLE_RATE),
            "SincFilters": lambda: layers.SincFilters(SAMPLE_RATE),
            "LEAF": lambda: layers.LEAF(SAMPLE_RATE),
            "LEAF filter_stride 4": lambda: layers.LEAF(SAMPLE_RATE, filter_stride=4),
            "LogMelSpectrogram": lambda: layers.LogMelSpectrogram(SAMPLE_RATE, 0.025, num_mels=40),
        },
    ),
    # The smoother alone, step by step.
    "pcen": Subject(
        (1000, 40),
        {
            "keras SimpleRNN": lambda: keras.layers.SimpleRNN(40, None, return_sequences=True),
            "PCEN": lambda: layers.PCEN(),
        },
        inputs=lambda _, x: abs(x),
        plain_xla=False,
    ),
    "spec-augment": Subject(
        (1056, 128),
        {
            "keras SpatialDropout1D": lambda: keras.layers.SpatialDropout1D(0.2),
            "SpecAugment": lambda: layers.SpecAugment(),
        },
        training=True,
    ),
    "fit-length": Subject(
        (110250, 1),
        {
            "keras ZeroPadding1D": lambda: keras.layers.ZeroPadding1D((0, 342)),
            "FitLength": lambda: layers.FitLength(1024),
        },
    ),
    "time-convolution": Subject(
        (28672, 32),
        {
            "keras Conv1D, BatchNormalization, LeakyReLU": lambda: keras.Sequential(
                [
                    keras.layers.Conv1D(64, 5, padding="same", use_bias=False),
                    keras.layers.BatchNormalization(),
                    keras.layers.LeakyReLU(0.2),
                ]
            ),
            "TimeConvolution": lambda: layers.TimeConvolution(64, 5),
        },
    ),
    "time-convolution-by-channel": Subject(
        (28672, 32),
        {
            "keras DepthwiseConv1D, BatchNormalization, LeakyReLU": lambda: keras.Sequential(
                [
                    keras.layers.DepthwiseConv1D(15, padding="same", use_bias=False),
                    keras.layers.BatchNormalization(),
                    keras.layers.LeakyReLU(0.2),
                ]
            ),
            "TimeConvolution by channel": lambda: layers.TimeConvolution(None, 15),
            "TimeResidualBlock": lambda: layers.TimeResidualBlock(15),
            "TimeResidualBlock dilated": lambda: layers.TimeResidualBlock(15, 9),
        },
    ),
    "transformer": Subject(
        (113, 128),
        {
            "keras MultiHeadAttention": _SelfAttention,
            "TransformerBlock": lambda: layers.TransformerBlock(8, 512),
            "ClassToken": lambda: layers.ClassToken(),
        },
    ),
    "mixing": Subject(
        (16480,),
        {"keras MixUp": lambda: keras.layers.MixUp(alpha=0.9), "MixUp": lambda: layers.MixUp(alpha=0.9)},
        inputs=_mixing_inputs,
        training=True,
        plain_xla=False,  # `keras.random.beta` does not compile.
    ),
    # Clips of 5 s at 22050 Hz, the sizes of the released code.
    "waveform-mixing": Subject(
        (110250,),
        {
            "keras MixUp": lambda: keras.layers.MixUp(alpha=1.0),
            "MixUp gain-aware": lambda: layers.MixUp(alpha=1.0, gain_aware=True),
            "TimeMix": lambda: layers.TimeMix(),
            **_spectral_mixings(layers.FreqMix),
            **_spectral_mixings(layers.PhaseMix),
        },
        inputs=_mixing_inputs,
        training=True,
        plain_xla=False,
    ),
    "phase": Subject(
        (110250,),
        {
            "keras STFTSpectrogram": lambda: keras.layers.STFTSpectrogram(
                frame_length=1024, frame_step=256, fft_length=1024, padding="same"
            ),
            "PhaseWaveform": lambda: layers.PhaseWaveform(),
            "PhaseWaveform both": lambda: layers.PhaseWaveform("both"),
        },
        inputs=lambda name, x: x[..., None] if name.startswith("keras") else x,
    ),
    # The nearest that Keras has for waveforms.
    "augmentation": Subject(
        EAT_SHAPE,
        {"keras GaussianNoise": lambda: keras.layers.GaussianNoise(0.1), **_augmentations()},
        inputs=_augmented_inputs,
        training=True,
    ),
    # Draws other kinds in every round, and not all of them cost the same.
    "augmentation-chain": Subject(
        EAT_SHAPE,
        {
            "keras GaussianNoise": lambda: keras.layers.GaussianNoise(0.1),
            "AugmentationChain of Table 1": lambda: layers.eat_augmentations(EAT_SAMPLE_RATE, mixings=()),
            "AugmentationChain of Table 1 and mixing": lambda: layers.eat_augmentations(EAT_SAMPLE_RATE),
        },
        inputs=_augmented_inputs,
        training=True,
    ),
    "scores": Subject(
        (200,),
        {
            "keras Activation": lambda: keras.layers.Activation("sigmoid"),
            "ClassScores": lambda: layers.ClassScores("sigmoid"),
        },
    ),
}


def bench_layers(names=tuple(SUBJECTS), batch_size=32, rounds=9, jit=None, precision="float32", json_path=None):
    """Compare layers to the plain Keras layer that does the nearest thing: forward, and with the gradient.

    Args:
        names: What to compare, some of `SUBJECTS`.
        batch_size: Examples in a batch.
        rounds: Number of timed rounds.
        jit: Whether TensorFlow compiles by XLA, where both sides can be; None: yes. JAX always does, PyTorch never.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts as of `compare`, with `subject` and `pass` ("forward" or "gradient") as well; also printed as a
        table.

    Raises:
        ValueError: If a name is unknown; the message has the nearest known one.
    """
    for name in names:
        if name not in SUBJECTS:
            raise ValueError(f"unknown layers {name!r}; {did_you_mean(name, SUBJECTS)}")
    jit, how = compilation(False if keras.backend.backend() == "torch" else jit)
    check_json_path(json_path)
    settings = {"names": names, "batch_size": batch_size, "rounds": rounds, "jit": jit, "precision": precision}
    rows = []
    for name in names:
        subject = SUBJECTS[name]
        x = np.random.default_rng(0).uniform(-1, 1, (batch_size, *subject.shape)).astype("float32")
        passes = {"forward": forward_pass} if subject.training else {"forward": forward_pass, "gradient": gradient_pass}
        for kind, build_pass in passes.items():
            with precision_policy(precision):
                functions = {
                    label: build_pass(
                        build(),
                        subject.inputs(label, x) if subject.inputs else x,
                        jit and (subject.plain_xla or label != next(iter(subject.layers))),
                        subject.training,
                    )
                    for label, build in subject.layers.items()
                }
            rows += [{"subject": name, "pass": kind, **row} for row in compare(functions, rounds)]
    report("layers", rows, settings, f"{how}, {precision}, batch {batch_size}", json_path)
    return rows
