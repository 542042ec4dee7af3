"""Decoding and resampling against what was written, scipy and known sines; files that are broken."""

import pickle

import numpy as np
import pytest
import scipy.signal
import soundfile

from keras_audio_si.data.audio_io import AudioError, audio_info, read_audio

LOSSLESS = {
    ("WAV", "PCM_16"): 2**-15,
    ("WAV", "PCM_24"): 2**-22,
    ("WAV", "FLOAT"): 0.0,
    ("FLAC", "PCM_16"): 2**-15,
}


def sine(hertz, seconds, sample_rate, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate)


def spectral_peak(waveform, sample_rate):
    """Frequency and amplitude of the strongest sine, from a window without the edges."""
    middle = waveform[len(waveform) // 4 : -len(waveform) // 4]
    window = np.hanning(len(middle))
    spectrum = np.abs(np.fft.rfft(middle * window)) * 2 / window.sum()
    return spectrum.argmax() * sample_rate / len(middle), spectrum.max()


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("encoding", LOSSLESS, ids="-".join)
def test_lossless_formats_give_back_what_was_written(tmp_path, rng, encoding, channels):
    container, subtype = encoding
    written = rng.uniform(-0.9, 0.9, (3000, channels)).astype("float32")
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, written, 22050, subtype=subtype)
    everything, sample_rate = read_audio(path, mono=False)
    mono, _ = read_audio(path)
    assert sample_rate == 22050
    assert everything.dtype == mono.dtype == np.float32
    assert everything.shape == (3000, channels)
    np.testing.assert_allclose(everything, written, rtol=0, atol=LOSSLESS[encoding])
    np.testing.assert_allclose(mono, everything.mean(axis=1), rtol=0, atol=1e-6)
    assert audio_info(path) == (22050, channels, 3000, container, subtype)
    assert audio_info(path).seconds == pytest.approx(3000 / 22050)


@pytest.mark.parametrize(("suffix", "channels"), [("ogg", 1), ("ogg", 2), ("ogg", 8), ("mp3", 1), ("mp3", 2)])
def test_lossy_formats_keep_pitch_level_and_length(tmp_path, suffix, channels):
    tone = sine(1000, 2, 44100)
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.tile(tone[:, None], channels), 44100)
    decoded, sample_rate = read_audio(path)
    hertz, amplitude = spectral_peak(decoded, sample_rate)
    assert sample_rate == 44100
    assert abs(len(decoded) - len(tone)) <= 2304  # Two MP3 frames: a file may keep its encoder's padding.
    assert hertz == pytest.approx(1000, abs=1)
    assert amplitude == pytest.approx(0.5, rel=0.02)


def test_a_file_longer_than_one_block_is_read_to_its_end(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("keras_audio_si.data.audio_io.BLOCK_FRAMES", 1000)
    written = rng.uniform(-0.9, 0.9, (3500, 2)).astype("float32")
    soundfile.write(tmp_path / "a.wav", written, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", mono=False)[0], written)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "up", "down"), [(44100, 22050, 1, 2), (48000, 16000, 1, 3), (8000, 16000, 2, 1)]
)
def test_resampling_agrees_with_scipy_in_the_common_band(tmp_path, rate_in, rate_out, up, down):
    band = 0.3 * min(rate_in, rate_out)
    signal = sum(sine(part * band, 1, rate_in, amplitude=0.2) for part in (0.1, 0.37, 0.81))
    soundfile.write(tmp_path / "a.wav", signal, rate_in, subtype="FLOAT")
    resampled, sample_rate = read_audio(tmp_path / "a.wav", sample_rate=rate_out)
    expected = scipy.signal.resample_poly(signal, up, down, window=("kaiser", 12.0))
    assert sample_rate == rate_out
    assert len(resampled) == len(expected)
    inner = slice(rate_out // 10, -rate_out // 10)
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=2e-3)


def test_resampling_keeps_a_sine_and_removes_what_would_alias(tmp_path):
    soundfile.write(tmp_path / "low.wav", sine(3000, 1, 44100), 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "high.wav", sine(10000, 1, 44100), 44100, subtype="FLOAT")
    low, _ = read_audio(tmp_path / "low.wav", sample_rate=16000)
    high, _ = read_audio(tmp_path / "high.wav", sample_rate=16000)
    hertz, amplitude = spectral_peak(low, 16000)
    assert len(low) == 16000
    assert hertz == pytest.approx(3000, abs=2)
    assert amplitude == pytest.approx(0.5, rel=1e-3)
    assert np.abs(high[1600:-1600]).max() < 1e-4


def test_channels_are_resampled_one_by_one(tmp_path, rng):
    written = rng.uniform(-0.5, 0.5, (4410, 3)).astype("float32")
    soundfile.write(tmp_path / "all.wav", written, 44100, subtype="FLOAT")
    together, _ = read_audio(tmp_path / "all.wav", sample_rate=16000, mono=False)
    assert together.shape == (1600, 3)
    for channel in range(3):
        soundfile.write(tmp_path / "one.wav", written[:, channel], 44100, subtype="FLOAT")
        alone, _ = read_audio(tmp_path / "one.wav", sample_rate=16000)
        np.testing.assert_allclose(together[:, channel], alone, atol=1e-6)


def write_text(path):
    path.write_text("this is not audio\n" * 20)


def write_nothing(path):
    path.write_bytes(b"")


def write_zero_frames(path):
    soundfile.write(path, np.zeros((0, 1)), 16000)


def write_nan(path):
    soundfile.write(path, np.array([0, np.nan, np.inf, 1]), 16000, subtype="FLOAT")


def write_too_short_to_resample(path):
    soundfile.write(path, np.zeros(3), 192000)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "folder"),
        (write_nothing, "empty"),
        (write_text, "not audio"),
        (write_zero_frames, "no samples"),
        (write_nan, "2 of 4 samples are NaN"),
        (write_too_short_to_resample, "3 samples at 192000 Hz are none at 16000 Hz"),
    ],
)
def test_errors_name_the_file_and_the_reason(tmp_path, write, reason):
    path = tmp_path / "clip.wav"
    write(path)
    with pytest.raises(AudioError, match=reason) as caught:
        read_audio(path, sample_rate=16000)
    assert str(path) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_rate_that_is_not_positive_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="`sample_rate` must be positive.*-1"):
        read_audio(tmp_path / "a.wav", sample_rate=-1)


def test_a_file_that_breaks_off_while_decoding_is_damaged(tmp_path, rng):
    soundfile.write(tmp_path / "whole.flac", rng.uniform(-0.9, 0.9, 50000), 16000)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match="cut.flac: is damaged .flac decoder lost sync"):
        read_audio(tmp_path / "cut.flac")


# Frames and peak of what each file holds, or a part of the reason why it cannot be used.
HOSTILE = {
    "dc_clipped.wav": (8000, 1.0),
    "eight_channels.wav": (4000, None),
    "empty.wav": "empty",
    "garbage.flac": "not audio",
    "garbage.ogg": "not audio",
    "loud_float.wav": (8000, 12.160127),
    "name with spaces, and comma.wav": (8000, 0.243195),
    "nan_inf.wav": "NaN",
    "ok.wav": (16000, 0.811737),
    "one_sample.wav": (1, 0.5),
    "rate_1.wav": (200, 0.001587),
    "rate_192k.wav": (19200, 0.811737),
    "riff_huge_size.wav": (16000, 0.811737),
    "silent.wav": (16000, 0.0),
    "text.wav": "not audio",
    "truncated_data.wav": (7989, 0.227814),
    "truncated_header.wav": "not audio",
    "zero_frames.wav": "no samples",
}


def test_hostile_files_give_what_they_hold_or_a_reason(shared_data):
    folder = shared_data / "hostile"
    assert sorted(path.name for path in folder.iterdir()) == sorted(HOSTILE)
    for name, expected in HOSTILE.items():
        if isinstance(expected, str):
            with pytest.raises(AudioError, match=expected) as caught:
                read_audio(folder / name, sample_rate=16000)
            assert name in str(caught.value)
            continue
        frames, peak = expected
        waveform, sample_rate = read_audio(folder / name)
        assert len(waveform) == frames, name
        if peak is not None:
            assert np.abs(waveform).max() == pytest.approx(peak, abs=1e-4), name
        resampled, _ = read_audio(folder / name, sample_rate=16000)
        assert len(resampled) == pytest.approx(frames * 16000 / sample_rate, abs=1), name
        assert np.isfinite(resampled).all(), name
