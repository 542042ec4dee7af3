"""Every sample format, rate and number of channels that libsndfile reads, against the signal that was written."""

import numpy as np
import pytest
import soundfile

from keras_audio_si.data.audio_io import audio_info, read_audio

pytestmark = pytest.mark.once

# Largest error of a sample in each encoding of [-1, 1): its step (libsndfile rounds down, not to the nearest).
STEP = {
    "PCM_S8": 2**-7,
    "PCM_U8": 2**-7,
    "PCM_16": 2**-15,
    "ALAC_16": 2**-15,
    "PCM_24": 2**-23,
    "PCM_32": 2**-24,  # Of float32, which waveforms are.
    "FLOAT": 0.0,
    "DOUBLE": 2**-25,
}
LINEAR = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("AIFF", subtype) for subtype in ("PCM_S8", "PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("FLAC", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("CAF", subtype) for subtype in ("PCM_S8", "PCM_32", "ALAC_16")),
    ("AU", "PCM_16"),
    ("W64", "PCM_24"),
    ("RF64", "PCM_16"),
    ("WAVEX", "PCM_24"),
    ("NIST", "PCM_16"),
    ("VOC", "PCM_16"),
]
COMPANDED = [(container, law) for container in ("WAV", "AU", "AIFF", "CAF") for law in ("ULAW", "ALAW")]
# Signal-to-noise ratio of a sine, in dB, that these predictors reach at least once they have settled.
PREDICTED = {
    ("WAV", "IMA_ADPCM"): 30,
    ("WAV", "MS_ADPCM"): 35,
    ("WAV", "G721_32"): 35,
    ("WAV", "GSM610"): 20,
    ("WAV", "NMS_ADPCM_32"): 35,
    ("W64", "IMA_ADPCM"): 30,
    ("AIFF", "IMA_ADPCM"): 30,
    ("AU", "G723_24"): 30,
    ("AU", "G723_40"): 35,
    ("CAF", "ALAC_24"): 90,  # Lossless, but libsndfile 1.2.2 does not give back 24 and 32 bits of white noise.
    ("CAF", "ALAC_32"): 90,
    ("OGG", "OPUS"): 20,
    ("OGG", "VORBIS"): 20,
}


def sine(hertz, frames, sample_rate, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(frames) / sample_rate)


def written(tmp_path, signal, sample_rate, container, subtype):
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, signal, sample_rate, subtype, format=container)
    return path


@pytest.mark.parametrize(("container", "subtype"), LINEAR, ids="-".join)
def test_linear_encodings_give_back_each_sample_to_its_step(tmp_path, rng, container, subtype):
    signal = rng.uniform(-0.99, 0.99, (2000, 2))
    if subtype == "FLOAT":
        signal = signal.astype("float32").astype("float64")
    decoded, _ = read_audio(written(tmp_path, signal, 22050, container, subtype), mono=False)
    assert decoded.shape == signal.shape and decoded.dtype == np.float32
    error = np.abs(decoded - signal).max()
    assert error <= STEP[subtype]
    assert subtype == "FLOAT" or error > STEP[subtype] / 8, "the bound says nothing about this encoding"


@pytest.mark.parametrize(("container", "subtype"), COMPANDED, ids="-".join)
def test_companded_encodings_give_back_each_sample_to_a_32nd_of_its_size(tmp_path, rng, container, subtype):
    # 16 steps per octave: half a step is at most 1/32 of the sample, and a fixed amount next to zero.
    signal = rng.uniform(-0.95, 0.95, 4000) * rng.choice([1.0, 0.1, 0.01], 4000)
    decoded, _ = read_audio(written(tmp_path, signal, 8000, container, subtype))
    assert (np.abs(decoded - signal) <= np.abs(signal) / 32 + 2**-11).all()
    assert np.abs(decoded - signal).max() > 2**-8


@pytest.mark.parametrize("encoding", PREDICTED, ids="-".join)
def test_predictive_and_lossy_encodings_keep_a_sine(tmp_path, encoding):
    signal = sine(440, 24000, 16000)
    decoded, sample_rate = read_audio(written(tmp_path, signal, 16000, *encoding))
    assert sample_rate == 16000 and len(signal) <= len(decoded) <= len(signal) + 1000  # Whole blocks are written.
    # Amplitude and phase by least squares, as a codec may delay; what is left is noise.
    settled = decoded[8000:20000].astype("float64")
    basis = np.stack([sine(440, 12000, 16000, 1.0), np.cos(2 * np.pi * 440 * np.arange(12000) / 16000)], axis=1)
    amplitudes = np.linalg.lstsq(basis, settled, rcond=None)[0]
    noise = settled - basis @ amplitudes
    assert np.hypot(*amplitudes) == pytest.approx(0.5, rel=0.03)
    assert 10 * np.log10((settled**2).mean() / (noise**2).mean()) > PREDICTED[encoding]


@pytest.mark.parametrize("channels", range(1, 9))
def test_one_to_eight_channels(tmp_path, rng, channels):
    signal = rng.uniform(-0.9, 0.9, (500, channels)).astype("float32")
    path = written(tmp_path, signal, 16000, "WAV", "FLOAT")
    np.testing.assert_array_equal(read_audio(path, mono=False)[0], signal)
    np.testing.assert_allclose(read_audio(path)[0], signal.astype("float64").mean(axis=1), atol=1e-7)


@pytest.mark.parametrize(
    "rate", [1, 7, 100, 4000, 8000, 11025, 16000, 22050, 32000, 37800, 44100, 48000, 96000, 192000]
)
def test_rates_from_1_hz_to_192_khz(tmp_path, rate):
    """A sine below every rate's band edge comes out as the same sine, at its place, whatever the ratio."""
    frames = max(40, rate // 4)
    hertz = 0.02 * min(rate, 16000)
    path = written(tmp_path, sine(hertz, frames, rate), rate, "WAV", "FLOAT")
    assert audio_info(path).sample_rate == rate
    decoded, sample_rate = read_audio(path, sample_rate=16000)
    assert sample_rate == 16000 and decoded.dtype == np.float32
    assert abs(len(decoded) - frames * 16000 / rate) <= 0.5 + 1e-9
    # Without the ends, where the filter sees nothing on one side.
    inner = slice(len(decoded) * 2 // 5, len(decoded) * 3 // 5)
    np.testing.assert_allclose(decoded[inner], sine(hertz, len(decoded), 16000)[inner], atol=5e-3)
