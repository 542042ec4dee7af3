"""Decoding and resampling against what was written, scipy and known sines; files that are broken."""

import os
import pickle
import struct

import numpy as np
import pytest
import scipy.signal
import soundfile

from keras_audio_si.data import Clip, ClipFiles, Manifest, clip_statistics
from keras_audio_si.data.audio_io import AudioError, audio_info, missing_seconds, open_audio, read_audio
from keras_audio_si.data.audio_stream import stream_audio

pytestmark = pytest.mark.once

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


def test_a_flac_file_that_was_written_to_a_pipe(tmp_path, rng):
    """The 36 bits of its header that count the samples are 0; so it is decoded to count them."""
    path = tmp_path / "a.flac"
    soundfile.write(path, rng.uniform(-0.9, 0.9, 90000), 16000)
    whole, content = read_audio(path)[0], bytearray(path.read_bytes())
    content[21:26] = bytes((content[21] & 0xF0, 0, 0, 0, 0))
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(path)[0], whole)
    np.testing.assert_array_equal(np.concatenate(list(stream_audio(path, 16000))), whole)
    assert audio_info(path).frames == 90000
    manifest = Manifest([Clip("a.flac", ("dog",))], root=tmp_path)
    assert clip_statistics(manifest).median_seconds == 90000 / 16000
    clips = ClipFiles.build(manifest, 16000, progress=False)
    assert clips.lengths.tolist() == [90000]
    np.testing.assert_array_equal(clips.section(0, 70000, 500), whole[70000:70500])


@pytest.mark.parametrize("subtype", ["DWVW_16", "DWVW_24"])
def test_an_encoding_that_libsndfile_cannot_seek_in(tmp_path, rng, subtype):
    written = rng.uniform(-0.9, 0.9, 90000)
    soundfile.write(tmp_path / "a.aiff", written, 16000, subtype)
    np.testing.assert_allclose(read_audio(tmp_path / "a.aiff")[0], written, rtol=0, atol=2**-15)
    assert sum(map(len, stream_audio(tmp_path / "a.aiff", 8000))) == 45000


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


def wav(data, sample_rate=16000, channels=1, bits=16, data_bytes=None, riff_bytes=None):
    """The bytes of a WAV file of PCM samples, with sizes in its header that may be wrong."""
    width = bits // 8 * channels
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * width, width, bits)
    sizes = (len(data) + 36 if riff_bytes is None else riff_bytes), (len(data) if data_bytes is None else data_bytes)
    return (
        b"RIFF"
        + struct.pack("<I", sizes[0])
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + struct.pack("<I", sizes[1])
        + data
    )


def pcm(samples):
    return np.round(np.asarray(samples) * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


NOISE = np.random.default_rng(1).uniform(-0.5, 0.5, 3000)
WHOLE = [0.25, -0.5, 0.125, 0.0]

# Bytes of a file as they come, and what it holds or a part of the reason why it cannot be used.
GENERATED = {
    "sizes in the header too large": (wav(pcm(WHOLE), data_bytes=0xFFFFFFF0, riff_bytes=0xFFFFFFFF), WHOLE),
    "broken off in its data": (wav(pcm(NOISE))[:5001], NOISE[: (5001 - 44) // 2]),
    "broken off in its header": (wav(pcm(NOISE))[:20], "not audio"),
    "one sample": (wav(pcm([0.5])), [0.5]),
    "no samples": (wav(b""), "no samples"),
    "no bytes": (b"", "empty"),
    "text": (b"not audio " * 30, "not audio"),
    "noise": (np.random.default_rng(2).bytes(4000), "not audio"),
    "OGG in its first bytes only": (b"OggS" + np.random.default_rng(3).bytes(4000), "not audio"),
    "silence": (wav(pcm(np.zeros(100))), np.zeros(100)),
    "clipped, with an offset": (wav(pcm(np.full(100, 1.0))), np.full(100, 1 - 2**-15)),
    "one sample per second": (wav(pcm(WHOLE), sample_rate=1), WHOLE),
    "192000 samples per second": (wav(pcm(NOISE), sample_rate=192000), NOISE),
    "eight channels": (wav(pcm(np.repeat(WHOLE, 8)), channels=8), WHOLE),
    "24 bits": (wav(b"\x00\x00\x40\x00\x00\xe0", bits=24), [0.5, -0.25]),
}


@pytest.mark.parametrize("case", GENERATED)
@pytest.mark.parametrize("name", ["clip.wav", "a name, with blanks; ä ünd\n.WAV"])
def test_odd_files_give_what_they_hold_or_a_reason(tmp_path, case, name):
    content, expected = GENERATED[case]
    path = tmp_path / name
    path.write_bytes(content)
    if isinstance(expected, str):
        with pytest.raises(AudioError, match=expected) as caught:
            read_audio(path)
        assert str(path) in str(caught.value)
    else:
        np.testing.assert_allclose(read_audio(path)[0], expected, rtol=0, atol=2**-15)
        resampled, _ = read_audio(path, sample_rate=22050)
        assert len(resampled) >= 1 and np.isfinite(resampled).all()


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1e30, -1e10])
def test_samples_that_are_no_audio_never_leave_the_reader(tmp_path, subtype, value):
    """The power of 1e30 is infinite in float32, and the score of an infinite power is NaN."""
    samples = np.zeros((50, 2))
    samples[7, 1] = value
    with np.errstate(over="ignore"):
        soundfile.write(tmp_path / "a.wav", samples, 16000, subtype)
    for mono in (True, False):
        with pytest.raises(AudioError, match="a.wav: .*(NaN or infinite|full scale is 1)"):
            read_audio(tmp_path / "a.wav", sample_rate=8000, mono=mono)


def test_integers_that_were_saved_as_floats_are_left_as_they_are(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, -(2.0**31), 32767.0]), 16000, "FLOAT")
    assert read_audio(tmp_path / "a.wav")[0].tolist() == [0.0, -(2.0**31), 32767.0]


def test_the_loudest_samples_give_finite_spectra(tmp_path):
    import keras

    from keras_audio_si.layers import LogMelSpectrogram

    soundfile.write(tmp_path / "a.wav", np.full(4000, 2.0**31), 16000, "FLOAT")
    spectrogram = LogMelSpectrogram(16000)(read_audio(tmp_path / "a.wav")[0][None])
    assert np.isfinite(keras.ops.convert_to_numpy(spectrogram)).all()


def test_a_header_that_asks_for_days_of_audio_is_not_obeyed(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(pcm(np.zeros(100000)), sample_rate=1))
    with pytest.raises(AudioError, match="100000 samples at 1 Hz are 28 hours.*is the rate in its header right"):
        read_audio(tmp_path / "a.wav", sample_rate=16000)


def missing_of(path):
    with open_audio(path) as file:
        return missing_seconds(file)


@pytest.mark.parametrize("container, channels", [("WAV", 1), ("WAVEX", 2), ("AIFF", 1), ("AU", 2)])
def test_data_that_end_before_the_header_says(tmp_path, rng, container, channels):
    path = tmp_path / "cut"
    soundfile.write(path, rng.uniform(-1, 1, (8000, channels)), 8000, "PCM_16", format=container)
    assert missing_of(path) == 0.0
    path.write_bytes(path.read_bytes()[: -2 * channels * 2000])
    assert missing_of(path) == pytest.approx(0.25, abs=1e-3) and audio_info(path).frames == 6000


def test_headers_of_streams_leave_the_length_open(tmp_path, rng):
    path = tmp_path / "stream.wav"
    soundfile.write(path, rng.uniform(-1, 1, 8000), 8000)
    data = bytearray(path.read_bytes())
    for position in (4, data.index(b"data") + 4):
        data[position : position + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert missing_of(path) == 0.0 and audio_info(path).frames == 8000


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="pipe.wav: is a device or a pipe"):
        read_audio(tmp_path / "pipe.wav")


def failing(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ("name", "function", "reason", "passing"),
    [
        ("os.access", lambda path, mode: False, "may not be read: no permission", True),  # Root may read everything.
        ("pathlib.Path.is_dir", failing(OSError(5, "Input/output error")), "cannot be read: Input/output error", True),
        ("soundfile.SoundFile.read", failing(soundfile.LibsndfileError(2)), "System error", True),
        ("soundfile.SoundFile.read", failing(soundfile.LibsndfileError(1)), "is damaged", False),
        ("soxr.resample", failing(MemoryError("none left")), "cannot be resampled .* none left", True),
        ("soxr.resample", failing(RuntimeError("no")), "cannot be resampled .* no", False),
    ],
)
def test_a_file_that_may_not_be_at_fault(tmp_path, monkeypatch, name, function, reason, passing):
    (tmp_path / "a.wav").write_bytes(wav(pcm(WHOLE)))
    monkeypatch.setattr(name, function)
    with pytest.raises(AudioError, match=f"a.wav: .*{reason}") as caught:
        read_audio(tmp_path / "a.wav", 4000)
    assert caught.value.passing is passing


# Frames and peak of what each file holds, or a part of the reason why it cannot be used.
HOSTILE = {
    "dc_clipped.wav": (8000, 1.0),
    "eight_channels.wav": (4000, 0.003326),
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


def test_all_hostile_files_are_known(shared_data):
    assert sorted(path.name for path in (shared_data / "hostile").iterdir()) == sorted(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_give_what_they_hold_or_a_reason(shared_data, name):
    path, expected = shared_data / "hostile" / name, HOSTILE[name]
    if isinstance(expected, str):
        with pytest.raises(AudioError, match=expected) as caught:
            read_audio(path, sample_rate=16000)
        assert name in str(caught.value)
        return
    frames, peak = expected
    waveform, sample_rate = read_audio(path)
    assert len(waveform) == frames
    assert np.abs(waveform).max() == pytest.approx(peak, abs=1e-4)
    if path.read_bytes()[20:22] == b"\x01\x00":  # PCM: 16 bits, in channels, behind 44 bytes of header
        content = path.read_bytes()[44:]
        channels = path.read_bytes()[22]
        samples = np.frombuffer(content[: len(content) // (2 * channels) * 2 * channels], "<i2") / 2**15
        np.testing.assert_allclose(waveform, samples.reshape(-1, channels).mean(axis=1), atol=1e-7)
    resampled, _ = read_audio(path, sample_rate=16000)
    assert len(resampled) == pytest.approx(frames * 16000 / sample_rate, abs=1)
    assert np.isfinite(resampled).all()
