"""The augmentations against recorded outputs of the released code of gazneli2022."""

import math

import numpy as np
import pytest
from harness import computed, numpy

from keras_audio_si import layers
from keras_audio_si.ops.fir import band_taps
from keras_audio_si.ops.noise import COLOURS, add_noise, add_sine, coloured_noise, perturb_phase
from keras_audio_si.ops.resampling import resample, resample_to_length
from keras_audio_si.ops.shifts import delay, shift_samples


def changed(layer, x, **params):
    params = {name: np.asarray([value]) for name, value in params.items()}
    return computed(layer.apply, x[None].astype("float32"), params)[0]


def close(got, wanted, atol=1e-5, rtol=0.0):
    np.testing.assert_allclose(got, wanted, atol=atol, rtol=rtol)


def test_levels(golden):
    arrays = golden("eat_audio_augs_a")
    x, rate, gain = arrays["x"], int(arrays["fs"][0]), arrays["amp_gain"][0]
    close(changed(layers.RandomGain(), x, gain=gain), arrays["amp"])
    close(changed(layers.PolarityInversion(), x), arrays["neg"])
    close(changed(layers.Reverse(), x), arrays["flip"])
    close(changed(layers.RandomMuLaw(), x, bits=8.0), arrays["mulaw256"])
    start, length = arrays["ampsegment_start_len"]
    fragment = changed(layers.RandomFragmentGain(rate), x, start=start, length=length, gain=gain)
    close(fragment, arrays["ampsegment"])
    start, length = arrays["tmask_start_len"]
    close(changed(layers.RandomTimeMask(rate), x, start=start, length=length), arrays["tmask"])


def test_fragments_last_as_long_as_the_released_ones(golden):
    arrays = golden("eat_audio_augs_a")
    drawn = layers.RandomTimeMask(int(arrays["fs"][0])).draw(3, 8192)
    assert set(numpy(drawn["length"])) == {arrays["tmask_start_len"][1]}


def test_shifts(golden):
    arrays = golden("eat_audio_augs_a")
    x = arrays["x"][None]
    close(numpy(shift_samples(x, arrays["cycshift_d"], circular=True))[0], arrays["cycshift"], atol=0)
    for number in range(3):
        whole, fraction = arrays[f"tshift_{number}_int_frac"]
        layer = layers.RandomTimeShift(22050, interpolation="fourier")
        got = changed(layer, arrays["x"], samples=int(whole), fraction=np.float32(fraction))
        close(got, arrays[f"tshift_{number}"])


def test_sinc_delay_is_the_released_one_below_the_highest_frequencies(golden):
    x = golden("eat_audio_augs_a")["x"]
    spectrum = np.fft.rfft(x)
    spectrum[int(0.8 * len(spectrum)) :] = 0
    x = np.fft.irfft(spectrum, len(x)).astype("float32")[None]
    exact, sinc = (
        computed(delay, x, np.int32([-20]), np.float32([0.37]), circular=True, interpolation=interpolation)
        for interpolation in ("fourier", "sinc")
    )
    close(sinc, exact, atol=1e-3 * np.abs(x).max())


@pytest.mark.parametrize("name, band", [("lp_0", "low"), ("lp_1", "low"), ("hp_2", "high"), ("hp_3", "high")])
def test_filters(golden, name, band):
    arrays = golden("eat_audio_augs_filters")
    cutoff = arrays[f"{name}_fc"].astype("float32")
    close(computed(band_taps, cutoff, band=band)[0], arrays[f"{name}_taps_firwin"], atol=1e-6)
    released = computed(band_taps, cutoff, band=band, scale="sum")
    close(released[0], arrays[f"{name}_taps_used"], atol=1e-4 * np.abs(arrays[f"{name}_taps_used"]).max())
    wanted = arrays[name]
    layer = layers.RandomHighPass(scale="sum") if band == "high" else layers.RandomLowPass()
    close(changed(layer, arrays["x"], cutoff=cutoff[0]), wanted, 1e-4 * np.abs(wanted).max(), rtol=1e-4)


def added(x, noise, decibels):
    """What comes on top of the first 2048 samples, as it was recorded."""
    return (computed(add_noise, x[None], noise, decibels)[0] - x)[:2048]


def test_noises(golden):
    arrays = golden("eat_audio_augs_noise")
    x, gauss, decibels = arrays["x"], arrays["gauss"], arrays["snr_db_used_30_35"]
    assert decibels[0] == pytest.approx(30 + 5 * arrays["u_snr"][0])
    close(added(x, gauss[None], decibels), arrays["awgn"], atol=2e-6)
    uniform = (2 * arrays["unif"] - 1) * math.sqrt(3)
    close(added(x, uniform[None], decibels), arrays["aun"], atol=2e-6)
    spectrum = np.fft.rfft(gauss.astype("float64"))[None].astype("complex64")
    recorded = {"pink": "apgn", "blue": "abgn", "red": "argn", "violet": "avgn"}
    for colour, name in recorded.items():
        place = np.int32([COLOURS.index(colour)])
        settings = {"num_samples": len(x), "fft_length": len(x), "variant": "released"}
        noise = computed(coloured_noise, spectrum.real, spectrum.imag, place, **settings)
        close(added(x, noise, decibels), arrays[name], atol=2e-6)
    assert {*recorded, "white"} == set(COLOURS)


def test_sine(golden):
    arrays = golden("eat_audio_augs_noise")
    x, (u, n, snr, phase) = arrays["x"], arrays["sine_u"].astype("float64")
    hertz, phase, decibels = (np.float32([value]) for value in (50 * u + 3 * n, np.pi * phase, 30 + 5 * snr))
    y = computed(add_sine, x[None], hertz, phase, decibels, sample_rate=int(arrays["fs"][0]))[0]
    close((y - x)[:2048], arrays["sine_added"], atol=2e-6)


def test_phase_noise(golden):
    arrays = golden("eat_audio_augs_phn")
    x, (fft_length, hop_length), radians = arrays["x"], arrays["stft"].tolist(), arrays["sgm"][0]
    draws = np.random.default_rng(int(arrays["rng_seed"][0]))
    frames = 1 + len(x) // hop_length
    phase, damping = (radians * draws.random((fft_length // 2 + 1, frames)).T[None].astype("f4") for _ in range(2))
    settings = {"fft_length": fft_length, "hop_length": hop_length, "damping": damping}
    y = computed(perturb_phase, x[None], phase, **settings)[0]
    close(y, arrays["phn"])


@pytest.mark.parametrize("percent", [80, 90, 110, 120])
def test_resampling(golden, percent):
    arrays = golden("eat_resampler")
    x, wanted = arrays["x"], arrays[f"y_{percent}"]
    got = computed(resample, x, length_factor=percent / 100)
    assert got.shape == wanted.shape
    close(got, wanted)
    close(computed(resample_to_length, x, length_factor=percent / 100), arrays[f"batch_resample_{percent}"][:, 0])


def test_speed_takes_each_example_by_its_own_factor(golden):
    arrays = golden("eat_resampler")
    x = np.repeat(arrays["x"][:1], 5, axis=0)
    params = {"factor": np.int32([0, 1, 2, 3, 3]), "applied": np.array([True] * 4 + [False])}
    wanted = [*(arrays[f"batch_resample_{percent}"][0, 0] for percent in (80, 90, 110, 120)), x[0]]
    close(computed(layers.RandomSpeed().apply, x, params), np.stack(wanted))
