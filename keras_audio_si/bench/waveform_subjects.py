"""Subjects of `keras-audio-si bench layers`: layers on waveforms."""

import functools

import keras
import numpy as np

from keras_audio_si import layers
from keras_audio_si.bench.feature_subjects import Subject
from keras_audio_si.layers.spectral_mixing import stft_sizes

SAMPLE_RATE = 16000
EAT_SAMPLE_RATE = 22050
EAT_SHAPE = (5 * EAT_SAMPLE_RATE,)


def _mixing_inputs(name, x):
    labels = np.eye(10, dtype="float32")[np.arange(len(x)) % 10]
    if name == "keras MixUp":
        return {"images": x[:, :, None, None], "labels": labels}
    return x, labels


class _Filterbank(keras.layers.Layer):
    """Convolutions, squares and averages of the sizes of LEAF, by layers of Keras."""

    def __init__(self):
        super().__init__(name="filterbank")
        self.filters = keras.layers.Conv1D(80, 401, use_bias=False)
        self.window = keras.layers.AveragePooling1D(401, 160)

    def call(self, x):
        return self.window(keras.ops.square(self.filters(x[:, :, None])))


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
        "PolarityInversion": lambda: layers.PolarityInversion(),
        "Reverse": lambda: layers.Reverse(),
        "BitCrush": lambda: layers.BitCrush(),
        "RandomMuLaw": lambda: layers.RandomMuLaw(),
        "RandomTimeShift": lambda: layers.RandomTimeShift(rate),
        "Roll": lambda: layers.Roll(),
        "RandomSpeed": lambda: layers.RandomSpeed(),
        "RandomLowPass": lambda: layers.RandomLowPass(),
        "RandomHighPass": lambda: layers.RandomHighPass(),
        "RandomNoise white": lambda: noises("white"),
        "RandomNoise pink": lambda: noises("pink"),
        "RandomNoise uniform": lambda: noises("uniform"),
        "RandomSine": lambda: layers.RandomSine(rate),
        "RandomPhaseNoise": lambda: layers.RandomPhaseNoise(rate),
        "RandomOrder of two": lambda: layers.RandomOrder([layers.RandomGain(), layers.RandomMuLaw()]),
        "RandomChoice of two": lambda: layers.RandomChoice([layers.RandomGain(), layers.RandomMuLaw()]),
    }


class _OnWaveforms(keras.layers.Layer):
    def __init__(self, layer):
        super().__init__(name="on_waveforms")  # As `feature_subjects._SelfAttention`.
        self.layer = layer

    def call(self, x):
        return self.layer(x[:, :, None])


WAVEFORMS = {
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
    # 40 complex filters of 401 taps at every sample, or at every fourth.
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
            "AugmentationChain of Table 1": lambda: layers.eat_augmentations(EAT_SAMPLE_RATE, "table1", mixings=()),
            "AugmentationChain of Table 1 and mixing": lambda: layers.eat_augmentations(EAT_SAMPLE_RATE, "table1"),
            "AugmentationChain as released": lambda: layers.eat_augmentations(EAT_SAMPLE_RATE, mixings=()),
            "AugmentationChain, light": lambda: layers.eat_augmentations(EAT_SAMPLE_RATE, "light", mixings=()),
        },
        inputs=_augmented_inputs,
        training=True,
    ),
    # The front parts of DeepFourier, of a segment of 20992 samples.
    "deep-fourier": Subject(
        (20992,),
        {
            "keras Conv1D": lambda: _OnWaveforms(keras.layers.Conv1D(512, 1024, 512)),
            "WaveformConvolution": lambda: layers.WaveformConvolution(512, 1024, 512),
            "ConvolutionFrontEnd": lambda: layers.ConvolutionFrontEnd(22050, (512, 60), (1024, 3), (512, 1)),
            "HeuriFrontEnd": lambda: layers.HeuriFrontEnd(),
            "MSTFrontEnd": lambda: layers.MSTFrontEnd(),
            "MelConvolution": lambda: layers.MelConvolution(22050, num_mels=60),
            "RescaledFrontEnd": lambda: layers.RescaledFrontEnd(layers.LogMelSpectrogram(22050), 0.1, 1.0),
        },
    ),
}
