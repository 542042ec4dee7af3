"""Draws docs/images/augmentations-*.png: what augmentations and mixings do to a sound, for the pages in docs/.

    python docs/make_augmentations.py [folder]

The sound is one of the built-in synthetic ones; nothing is downloaded. Draws are given, and stronger than the defaults
where those could not be seen. Takes about a minute.
"""

import os
import pathlib
import sys

import numpy as np
from keras import ops
from matplotlib.figure import Figure

from keras_audio_si import layers
from keras_audio_si.data.synthetic import synthesize_clip
from keras_audio_si.ops.signal import power_spectrum, stft

SAMPLE_RATE = 16000
SECONDS = 1.0
FFT_LENGTH, HOP_LENGTH = 512, 128
DECIBELS = (-80.0, 0.0)  # Below the loudest bin of the sound before.
KEY = np.int32([[1, 2], [3, 4]])


def both(value, dtype="float32"):
    return np.array([value, value], dtype)


def noise(kind):
    layer = layers.RandomNoise(kind)
    return layer, {**layer.draw(2, 1), "decibels": both(10), "key": KEY}


def mixing(layer, weight, **draws):
    return layer, {"weight": both(weight), "partner": np.int32([1, 0]), **draws}


# Title, layer, draws for two examples: the sound that is shown and its partner in mixings.
FIGURES = {
    "levels": [
        ("gain 0.5", layers.RandomGain(), {"gain": both(0.5)}),
        (
            "fragment gain 0.3",
            layers.RandomFragmentGain(SAMPLE_RATE),
            {"gain": both(0.3), "start": both(5000, "int32"), "length": both(4000, "int32")},
        ),
        ("polarity", layers.PolarityInversion(), {}),
        (
            "time mask 0.1 s",
            layers.RandomTimeMask(SAMPLE_RATE),
            {"start": both(6000, "int32"), "length": both(1600, "int32")},
        ),
        ("linear, 4 bits", layers.BitCrush(), {"bits": both(4)}),
        ("mu-law, 4 bits", layers.RandomMuLaw(), {"bits": both(4)}),
    ],
    "time": [
        (
            "time shift 0.1 s",
            layers.RandomTimeShift(SAMPLE_RATE),
            {"samples": both(1600, "int32"), "fraction": both(0.37)},
        ),
        ("cyclic shift 0.4 s", layers.Roll(), {"samples": both(6400, "int32"), "fraction": both(0.37)}),
        ("time reversal", layers.Reverse(), {}),
        ("speed: length x 0.8", layers.RandomSpeed(), {"factor": both(0, "int32")}),
        ("speed: length x 1.2", layers.RandomSpeed(), {"factor": both(3, "int32")}),
    ],
    "filters": [
        ("low pass 0.3", layers.RandomLowPass(), {"cutoff": both(0.3)}),
        ("high pass 0.4", layers.RandomHighPass(), {"cutoff": both(0.4)}),
        ("high pass 0.4, 101 taps", layers.RandomHighPass(num_taps=101), {"cutoff": both(0.4)}),
        (
            "phase noise, 1.5 rad",
            layers.RandomPhaseNoise(SAMPLE_RATE, sizes=((FFT_LENGTH, HOP_LENGTH),)),
            {"key": KEY, "radians": both(1.5), "size": both(0, "int32")},
        ),
    ],
    "noise": [
        ("white, 10 dB", *noise("white")),
        ("uniform", *noise("uniform")),
        ("pink", *noise("pink")),
        ("red", *noise("red")),
        ("blue", *noise("blue")),
        ("violet", *noise("violet")),
        (
            "sine, 50 Hz",
            layers.RandomSine(SAMPLE_RATE),
            {"hertz": both(50), "phase": both(0), "decibels": both(10)},
        ),
    ],
    "mixing": [
        ("MixUp, w = 0.5", *mixing(layers.MixUp(), 0.5)),
        ("TimeMix, w = 0.6", *mixing(layers.TimeMix(), 0.6, position=both(1))),
        ("FreqMix, w = 0.6", *mixing(layers.FreqMix(SAMPLE_RATE), 0.6, high=both(True, "bool"), size=1)),
        ("FreqMix, low, w = 0.9", *mixing(layers.FreqMix(SAMPLE_RATE), 0.9, high=both(False, "bool"), size=1)),
        ("PhaseMix, w = 0", *mixing(layers.PhaseMix(SAMPLE_RATE), 0.0, size=2)),
    ],
}


def sounds():
    """The sound that is shown, and its partner in mixings."""
    rng = np.random.default_rng(3)
    return np.stack(
        [
            synthesize_clip(classes, SECONDS, SAMPLE_RATE, rng, signal_to_noise_decibels=(40.0, 40.0))
            for classes in (["chirp_up", "clicks"], ["bell"])
        ]
    )


def draw(figures, folder):
    before = sounds()
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in figures.items():
        columns = [("before", before[0])]
        if name == "mixing":
            columns.append(("the partner", before[1]))
        columns += [(title, after(layer, before, params)) for title, layer, params in rows]
        path = folder / f"augmentations-{name}.png"
        temporary = path.with_suffix(".part")
        picture(columns).savefig(temporary, dpi=72, format="png")
        os.replace(temporary, path)
        print(path)


def after(layer, before, params):
    """The first sound behind a layer, which takes waveforms, or of mixings pairs with labels."""
    if "partner" in params:
        return ops.convert_to_numpy(layer.apply((before, np.eye(2, dtype="float32")), params)[0])[0]
    return ops.convert_to_numpy(layer.apply(before, params))[0]


def picture(columns):
    """A waveform above a spectrogram for each of `(title, waveform)`."""
    figure = Figure(figsize=(1.75 * len(columns), 3.2), layout="constrained")
    axes = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=(1, 1.6))
    loudest = 10 * np.log10(spectrum(columns[0][1]).max())
    for (title, waveform), (above, below) in zip(columns, axes.T, strict=True):
        above.plot(np.arange(len(waveform)) / SAMPLE_RATE, waveform, linewidth=0.3, color="black", rasterized=True)
        above.set_title(title, fontsize=9)
        # In steps of 5 dB, which a PNG file holds in half the space.
        level = 5 * np.round(2 * np.log10(spectrum(waveform) + 1e-20) - loudest / 5)
        below.imshow(
            level.T,
            aspect="auto",
            origin="lower",
            extent=(0, len(waveform) / SAMPLE_RATE, 0, SAMPLE_RATE / 2000),
            vmin=DECIBELS[0],
            vmax=DECIBELS[1],
            cmap="Greys",
            interpolation="nearest",
        )
        below.set_xlabel("s", fontsize=8)
        for axis in (above, below):
            axis.tick_params(labelsize=7)
    axes[0, 0].set_ylim(-0.4, 0.4)
    axes[1, 0].set_ylabel("kHz", fontsize=8)
    return figure


def spectrum(waveform):
    real, imag = stft(np.float32(waveform)[None], FFT_LENGTH, HOP_LENGTH, center=True)
    return ops.convert_to_numpy(power_spectrum(real, imag))[0]


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "images"
    draw(FIGURES, pathlib.Path(target))
