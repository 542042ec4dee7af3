"""Prints how often the augmentations of EAT change the spectrum of a clip, for the table in docs/augmentations.md.

    python docs/measure_augmentations.py DATA [clips]

DATA is the folder of a data set. The spectrum is the long-term power in 64 mel bands, and its change the mean over the
bands of the absolute difference in dB. Power 50 dB below the loudest band is added to both, so that bands which cannot
be heard do not count. Takes about ten minutes for 240 clips.
"""

import sys

import keras
import numpy as np

from keras_audio_si import layers
from keras_audio_si.data import ClipCache, read_dataset
from keras_audio_si.data.patches import filled, scaled_to_peak
from keras_audio_si.layers.eat_augmentations import STRENGTHS
from keras_audio_si.ops.mel import mel_filterbank

SAMPLE_RATE = 22050
SECONDS = 5
BATCH = 8  # Small, since a filter is drawn for the batch.
ROUNDS = 4
LIMIT_DECIBELS = 6.0
FLOOR = 1e-5  # Power relative to the loudest band.
FRAME, HOP = 1024, 512


def long_term_spectrum(waveforms, sample_rate):
    """Power in mel bands, averaged over time, `(clips, 64)`."""
    frames = np.lib.stride_tricks.sliding_window_view(waveforms, FRAME, axis=1)[:, ::HOP] * np.hanning(FRAME)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=1)
    return power @ mel_filterbank(64, FRAME, sample_rate)


def spectral_change(before, after, sample_rate):
    """Change of the long-term spectrum of each clip in dB, `(clips,)`."""
    before, after = (long_term_spectrum(waveforms, sample_rate) for waveforms in (before, after))
    floor = FLOOR * before.max(axis=1, keepdims=True)
    return np.abs(10 * np.log10((after + floor) / (before + floor))).mean(axis=1)


def changes(augmentation, waveforms, sample_rate, rounds=ROUNDS):
    """Changes of all clips in all rounds, augmented in small batches."""
    batches = [waveforms[start : start + BATCH] for start in range(0, len(waveforms), BATCH)] * rounds
    after = [keras.ops.convert_to_numpy(augmentation(batch, training=True)) for batch in batches]
    return np.concatenate([spectral_change(one, other, sample_rate) for one, other in zip(batches, after, strict=True)])


if __name__ == "__main__":
    cache = ClipCache.build(read_dataset(sys.argv[1]), SAMPLE_RATE, "runs/cache")
    count = min(int(sys.argv[2]) if len(sys.argv) > 2 else 240, len(cache))
    chosen = np.random.default_rng(0).permutation(len(cache))[:count]
    clips = np.stack([filled(cache.waveform(i)[: SECONDS * SAMPLE_RATE], SECONDS * SAMPLE_RATE) for i in chosen])
    clips = scaled_to_peak(clips, 0.95)
    for strength in STRENGTHS:
        augmentation = layers.eat_augmentations(SAMPLE_RATE, strength, mixings=(), seed=0)
        values = changes(augmentation, clips, SAMPLE_RATE)
        share, median = 100 * np.mean(values > LIMIT_DECIBELS), np.median(values)
        print(f"{strength}: {share:.1f} % of {len(values)} above {LIMIT_DECIBELS:g} dB, median {median:.2f} dB")
