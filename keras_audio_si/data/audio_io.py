"""Audio files decoded by libsndfile and resampled by soxr, with errors that name the file."""

import contextlib
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from keras_audio_si.checks import check_positive
from keras_audio_si.data.shards import ShardClip, file_of, is_clip_of_shard

AUDIO_SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64 .voc .sph".split()
)
BLOCK_FRAMES = 1 << 20
LARGEST_SAMPLE = 2.0**31  # 32-bit integers that were saved as floats. Larger values may overflow in float32 power.
# Bytes that a header claims and that there are, as libsndfile logs them where they differ.
_CLAIMED = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_OPEN_LENGTH = 0x7FFFFF00  # Bytes: what writes to a stream cannot go back to fill in the length.
_VARIABLE_RATE = ("VORBIS", "OPUS", "MPEG", "ALAC")  # Encodings, beside FLAC, whose silence takes next to nothing.
_SYSTEM_ERROR = 2  # Code of libsndfile for what the operating system refuses.
_MOST_SAMPLES_PER_BYTE = 16  # Of all others; GSM has 5. libsndfile goes on decoding GSM behind the end of a file.
_SEEKABLE = ("WAV", "FLAC")
_UNKNOWN_FRAMES = (1 << 63) - 1  # As libsndfile counts a FLAC file whose encoder wrote to a pipe.
LARGEST_RESAMPLED = 1 << 30  # Samples: 18 hours at 16 kHz. A damaged header may claim 1 Hz and ask for days.


class AudioError(ValueError):
    """Raised for a file without usable audio.

    Args:
        path: Path of the file.
        reason: What is wrong with it.
        passing: Whether it may pass while the file stays as it is, as a missing permission or an error of the disk.
    """

    def __init__(self, path, reason, passing=False):
        super().__init__(str(path), reason, passing)
        self.path = str(path)
        self.reason = reason
        self.passing = passing

    def __str__(self):
        return f"{self.path}: {self.reason}"


class AudioInfo(NamedTuple):
    """Header of an audio file.

    Args:
        sample_rate: In Hz.
        channels: Number of channels.
        frames: Number of samples per channel, decoded to count them where the header leaves it open.
        format: Name of the container, such as "WAV" or "FLAC".
        subtype: Name of the encoding, such as "PCM_16" or "VORBIS".
    """

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self):
        """Duration in seconds."""
        return self.frames / self.sample_rate


def audio_info(path):
    """Reads the header of an audio file.

    A FLAC file that was written to a pipe has no number of samples in its header: it is decoded to count them.

    Args:
        path: Path of a file in any format of libsndfile (WAV, FLAC, OGG, MP3, AIFF, ...).

    Returns:
        An `AudioInfo`.

    Raises:
        AudioError: If the file is missing, empty, not audio, or damaged where it must be decoded.
    """
    with open_audio(path) as file:
        frames = sum(map(len, _blocks(file, path))) if file.frames == _UNKNOWN_FRAMES else file.frames
        return AudioInfo(file.samplerate, file.channels, frames, file.format, file.subtype)


def read_audio(path, sample_rate=None, mono=True):
    """Decodes an audio file.

    Integers are scaled to [-1, 1); floats are not scaled, also beyond 1. NaN, infinities and samples beyond 2^31 raise
    an error, so that they never reach a model.

    Args:
        path: Path of a file in any format of libsndfile (WAV, FLAC, OGG, MP3, AIFF, ...).
        sample_rate: Rate to resample to, in Hz; None keeps the file's.
        mono: Whether to return the mean of the channels.

    Returns:
        `(waveform, sample_rate)`: float32, `(samples,)` if `mono`, else `(samples, channels)`; the rate in
        Hz.

    Raises:
        AudioError: If the file is missing, may not be read, is empty, not audio, damaged, without samples (also
            at the new rate), or has samples that are NaN, infinite or beyond 2^31.
        ValueError: If `sample_rate` is not positive.

    Example:

    >>> import os, tempfile
    >>> import numpy as np, soundfile
    >>> from keras_audio_si.data.audio_io import read_audio
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "stereo.wav")
    ...     soundfile.write(path, np.zeros((44100, 2)), 44100)
    ...     waveform, sample_rate = read_audio(path, sample_rate=16000)
    >>> waveform.shape, sample_rate
    ((16000,), 16000)
    """
    if sample_rate is not None:
        check_positive(sample_rate=sample_rate)
    with memory_of(path):
        with open_audio(path) as file:
            waveform = decode(file, path, mono)
            file_rate = file.samplerate
        return conformed(waveform, file_rate, path, sample_rate)


@contextlib.contextmanager
def memory_of(path):
    """Raises an `AudioError` of a file in place of a `MemoryError`."""
    try:
        yield
    except MemoryError as error:
        raise AudioError(path, f"needs more memory than there is ({error})", passing=True) from error


def read_section(path, sample_rate, start, samples):
    """Decodes a part of an audio file, equal to that part of `read_audio(path, sample_rate)`.

    Of WAV and FLAC at that rate nothing else is decoded, unless libsndfile cannot seek in the encoding (GSM 6.10,
    G.721, ADPCM) or to that place (of FLAC behind a tag); formats of blocks are not exact at any sample, and a
    resampler needs what comes before.

    Args:
        path: Path of a file, as of `read_audio`.
        sample_rate: Rate of the result in Hz.
        start: First sample of the part, at that rate.
        samples: Length of the part in samples; fewer are returned where the file ends.

    Returns:
        `(at most samples,)` float32.

    Raises:
        AudioError: As for `read_audio`.
    """
    with open_audio(path) as file:
        exact = file.samplerate == sample_rate and file.format in _SEEKABLE and file.seekable()
        if exact and "ADPCM" not in file.subtype and start + samples <= file.frames:
            with contextlib.suppress(soundfile.SoundFileError):
                file.seek(start)
                waveform = file.read(samples, dtype="float32", always_2d=True).mean(axis=1)
                return conformed(waveform, sample_rate, path)[0]
    return read_audio(path, sample_rate)[0][start : start + samples]


def resampled_length(samples, file_rate, sample_rate):
    """Length of what `read_audio` returns of so many samples.

    Example:

    >>> resampled_length(44101, 44100, 16000)
    16000
    """
    # By soxr's own order of the operations: at ties another one would round to the other side.
    return samples if file_rate == sample_rate else int(samples / (file_rate / sample_rate) + 0.5)


def conformed(waveform, file_rate, path, sample_rate=None):
    """Checks what was decoded, and resamples it.

    Args:
        waveform: float32, `(samples,)` or `(samples, channels)`.
        file_rate: Its rate in Hz.
        path: Path of the file it comes from, for the errors.
        sample_rate: Rate to resample to, in Hz; None keeps the file's.

    Returns:
        `(waveform, sample_rate)`.

    Raises:
        AudioError: As for `read_audio`.
    """
    if not len(waveform):
        raise AudioError(path, "holds no samples")
    if not np.isfinite(waveform).all():
        bad = np.count_nonzero(~np.isfinite(waveform))
        raise AudioError(path, f"{bad} of {waveform.size} samples are NaN or infinite")
    peak = np.abs(waveform).max()
    if peak > LARGEST_SAMPLE:
        raise AudioError(path, f"has samples up to {peak:.3g}, where full scale is 1: that is no audio")
    if sample_rate is None or sample_rate == file_rate:
        return waveform, file_rate
    if len(waveform) * sample_rate / file_rate > LARGEST_RESAMPLED:
        hours = len(waveform) / file_rate / 3600
        raise AudioError(
            path,
            f"its {len(waveform)} samples at {file_rate} Hz are {hours:.0f} hours, too much to resample to "
            f"{sample_rate} Hz in one piece: is the rate in its header right?",
        )
    try:
        resampled = soxr.resample(waveform, file_rate, sample_rate)
    except (ValueError, RuntimeError, MemoryError) as error:
        reason = f"cannot be resampled from {file_rate} to {sample_rate} Hz: {error}"
        raise AudioError(path, reason, isinstance(error, MemoryError)) from error
    if not len(resampled):
        raise AudioError(path, f"its {len(waveform)} samples at {file_rate} Hz are none at {sample_rate} Hz")
    return resampled, sample_rate


def open_audio(path):
    """The open `soundfile.SoundFile` or `ShardClip` of a path.

    Raises:
        AudioError: If the file is missing, may not be read, is empty, not audio, or has a header that cannot be true.
    """
    path = pathlib.Path(path)
    file = file_of(path)
    try:
        if not file.exists():
            raise AudioError(path, "there is no such file", passing=True)
        if file.is_dir():
            raise AudioError(path, "is a folder, not a file")
        if not file.is_file():
            raise AudioError(path, "is a device or a pipe, not a file")
        if file.stat().st_size == 0:
            raise AudioError(path, "is empty (0 bytes)")
        if not os.access(file, os.R_OK):
            raise AudioError(path, "may not be read: no permission", passing=True)
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror}", passing=True) from error
    name = os.fsencode(path) if os.name == "posix" else path  # Of text soundfile would make UTF-8.
    try:
        opened = ShardClip(path) if is_clip_of_shard(path) else soundfile.SoundFile(name)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:  # TypeError: ".raw" has no header to read.
        raise audio_error(path, "is not audio that can be read", error) from error
    fixed_rate = opened.format != "FLAC" and not opened.subtype.startswith(_VARIABLE_RATE)
    frames = opened.frames
    if fixed_rate and frames > _MOST_SAMPLES_PER_BYTE * file.stat().st_size:
        opened.close()
        raise AudioError(path, f"is damaged: its header claims {frames} samples, more than its bytes can hold")
    if frames == _UNKNOWN_FRAMES or opened.format not in _SEEKABLE:
        # soundfile seeks after each read to where it is already, which libsndfile does not do exactly in others.
        opened.seekable = lambda: False
    return opened


def missing_seconds(file):
    """How much sooner the data of an open file end than its header says, as of a recording that was cut off.

    Seconds; 0.0 for a whole file, for formats other than WAV, AIFF and AU, and where the header leaves the length open,
    as it does of what was written as a stream.
    """
    claimed = _CLAIMED.search(file.extra_info)
    if claimed is None or not file.frames:
        return 0.0
    stated, present = int(claimed[1]), int(claimed[2])
    if stated >= _OPEN_LENGTH or present >= stated:
        return 0.0
    return (stated - present) / present * file.frames / file.samplerate


def _blocks(file, path):
    """Reads to the end in blocks, so that memory depends on the samples in the file and not on its header."""
    try:
        while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            yield block
    except soundfile.SoundFileError as error:
        raise audio_error(path, "is damaged", error) from error


def decode(file, path, mono):
    """All samples of an open file, as `read_audio` returns them, unchecked."""
    blocks = [block.mean(axis=1) if mono else block for block in _blocks(file, path)]
    return np.concatenate(blocks) if blocks else np.zeros(0, "float32")


def audio_error(path, what, error):
    """An `AudioError` with libsndfile's own words, without the path and the "Error : " that come before them."""
    words = str(getattr(error, "error_string", error)).removeprefix("Error : ").rstrip(".")
    return AudioError(path, f"{what} ({words})", passing=getattr(error, "code", None) == _SYSTEM_ERROR)
