"""Waveforms of phase and of magnitude against the formula of the paper's appendix, by NumPy."""

import numpy as np
import pytest
from test_signal import run, vjp
from test_spectral_mixing import analysed, noise, synthesised

from keras_audio_si.layers import PhaseWaveform


@pytest.mark.parametrize("samples, fft, hop, window", [(1001, 128, 32, "rectangular"), (777, 45, 11, "hann")])
def test_equations_2_and_3(rng, samples, fft, hop, window):
    x = noise(rng, 3, samples)
    spectra, taps = analysed(x, fft, hop, window)
    filters = np.exp(-1j * np.angle(spectra))
    np.testing.assert_allclose(spectra * filters, np.abs(spectra), atol=1e-9)
    expected = [synthesised(part, taps, samples, hop) for part in (filters, spectra * filters)]
    both = run(PhaseWaveform("both", fft, hop, window), x)
    np.testing.assert_allclose(both, np.stack(expected, axis=-1), atol=1e-4)
    content = "phase" if fft % 2 else "magnitude"
    alone = run(PhaseWaveform(content, fft, hop, window), x)
    np.testing.assert_allclose(alone, both[..., 0 if content == "phase" else 1], atol=1e-6)


def test_silence_stays_silent(rng):
    x = noise(rng, 3, 200)
    x[0] = 0.0
    x[1, 50:] = 0.0
    layer = PhaseWaveform("both", 32, 8)
    waveforms = run(layer, x)
    assert np.isfinite(waveforms).all() and not waveforms[0].any() and not waveforms[1, 100:].any()
    assert np.isfinite(vjp(layer, x, noise(rng, 3, 200, 2))).all()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`content` must be one of"):
        PhaseWaveform("angle")
    with pytest.raises(ValueError, match="`hop_length` must be at most `fft_length`, 64. Received: hop_length=65"):
        PhaseWaveform(fft_length=64, hop_length=65)
    with pytest.raises(ValueError, match="`window` must be one of"):
        PhaseWaveform(window="kaiser")
    with pytest.raises(ValueError, match=r"one channel, \(batch, samples\).*100, 2"):
        PhaseWaveform()(np.zeros((4, 100, 2), "float32"))
