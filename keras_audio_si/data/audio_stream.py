"""Audio files and raw samples of any length, resampled block by block, with the samples that `read_audio` gives."""

import numpy as np
import soundfile
import soxr

from keras_audio_si.checks import check_choice, check_integer, check_positive
from keras_audio_si.data.audio_io import LARGEST_SAMPLE, AudioError, audio_error, missing_seconds, open_audio

BLOCK_FRAMES = 1 << 16
PCM_TYPES = ("int16", "int32", "float32")


def stream_audio(path, sample_rate, block_frames=BLOCK_FRAMES, cut_off=None):
    """Decodes an audio file in blocks, so that memory does not grow with its length.

    The concatenated blocks are bit-identical to the waveform that `read_audio(path, sample_rate)` returns.

    Args:
        path: Path of a file in any format of libsndfile (WAV, FLAC, OGG, MP3, AIFF, ...).
        sample_rate: Rate to resample to, in Hz.
        block_frames: Largest number of samples per channel that are read, or are made by resampling, at a time. soxr
            gives what it holds in bursts, so that from 1 Hz upwards a block can be larger.
        cut_off: Function that is called with the seconds that are missing, as of `data.audio_io.missing_seconds`,
            before the first block, if there are any.

    Yields:
        Mono float32 arrays, `(samples,)`, none of them empty.

    Raises:
        AudioError: If the file is missing, empty, not audio, damaged, without samples, or has samples that are NaN,
            infinite or beyond 2^31. What was yielded before is then a part of the file.

    Example:

    >>> import os, tempfile
    >>> import numpy as np, soundfile
    >>> from keras_audio_si.data.audio_stream import stream_audio
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "stereo.wav")
    ...     soundfile.write(path, np.zeros((100000, 2)), 44100)
    ...     blocks = list(stream_audio(path, sample_rate=22050))
    >>> len(blocks) > 1, sum(map(len, blocks))
    (True, 50000)
    """
    check_positive(sample_rate=sample_rate, block_frames=block_frames)
    with open_audio(path) as file:
        if cut_off is not None and (missing := missing_seconds(file)):
            cut_off(missing)
        yield from _resampled(
            lambda frames, start: _read(file, path, frames, start), path, file.samplerate, sample_rate, block_frames
        )


def stream_pcm(file, file_rate, sample_rate, channels=1, dtype="int16", name="-", block_frames=BLOCK_FRAMES):
    """Reads samples without a header, such as those of a pipe, and resamples them as `stream_audio` does.

    Args:
        file: Binary file that is open to read.
        file_rate: Its rate in Hz.
        sample_rate: Rate to resample to, in Hz.
        channels: Number of interleaved channels.
        dtype: "int16", "int32" or "float32", little-endian.
        name: Name for the errors.
        block_frames: As for `stream_audio`.

    Yields:
        Mono float32 arrays, `(samples,)`, none of them empty.

    Raises:
        AudioError: If there are no samples, the last one is not complete, or one is NaN, infinite or beyond 2^31.

    Example:

    >>> import io
    >>> from keras_audio_si.data.audio_stream import stream_pcm
    >>> (block,) = stream_pcm(io.BytesIO(np.int16([16384, -32768]).tobytes()), 8000, 8000)
    >>> block.tolist()
    [0.5, -1.0]
    """
    check_positive(file_rate=file_rate, sample_rate=sample_rate, block_frames=block_frames)
    check_integer(1, channels=channels)
    check_choice("dtype", dtype, PCM_TYPES)
    kind = np.dtype(dtype).newbyteorder("<")
    scale = np.float32(1.0 if kind.kind == "f" else 2.0 ** (1 - 8 * kind.itemsize))
    frame_bytes = channels * kind.itemsize

    def block(frames, start):
        data = file.read(frames * frame_bytes)
        if len(data) % frame_bytes:
            raise AudioError(name, f"ends within a sample of {channels} x {dtype}: are `channels` and `dtype` right?")
        samples = np.frombuffer(data, kind).reshape(-1, channels).astype("float32") * scale
        return _checked(samples.mean(axis=1), name, start / file_rate, file_rate)

    yield from _resampled(block, name, file_rate, sample_rate, block_frames)


def _resampled(block_of, path, file_rate, sample_rate, block_frames):
    """Blocks of `block_of(frames, start)`, until one is empty, at another rate."""
    samples = read = 0
    # Of a file of 1 Hz, one sample makes a whole second.
    frames = max(1, min(block_frames, int(block_frames * file_rate / sample_rate)))
    resample = _resampler(path, file_rate, sample_rate)
    while True:
        block = block_of(frames, read)
        read += len(block)
        resampled = resample(block, last=not len(block))
        samples += len(resampled)
        if len(resampled):
            yield resampled
        if not len(block):
            break
    if not read:
        raise AudioError(path, "holds no samples")
    if not samples:
        raise AudioError(path, f"its {read} samples at {file_rate} Hz are none at {sample_rate} Hz")


def _read(file, path, frames, start):
    try:
        block = file.read(frames, dtype="float32", always_2d=True).mean(axis=1)
    except soundfile.SoundFileError as error:
        raise audio_error(path, "is damaged", error) from error
    return _checked(block, path, start / file.samplerate, file.samplerate)  # Some encodings cannot tell where they are.


def _checked(block, path, start_seconds, file_rate):
    finite = np.isfinite(block)
    if not finite.all():
        seconds = start_seconds + int(finite.argmin()) / file_rate
        raise AudioError(path, f"has samples that are NaN or infinite, the first of them at {seconds:.3f} s")
    if len(block) and (peak := np.abs(block).max()) > LARGEST_SAMPLE:
        raise AudioError(path, f"has samples up to {peak:.3g}, where full scale is 1: that is no audio")
    return block


def _resampler(path, file_rate, sample_rate):
    if file_rate == sample_rate:
        return lambda block, last: block

    def failure(error):
        return AudioError(path, f"cannot be resampled from {file_rate} to {sample_rate} Hz: {error}")

    try:
        stream = soxr.ResampleStream(file_rate, sample_rate, 1, dtype="float32")
    except (ValueError, RuntimeError) as error:
        raise failure(error) from error

    def resample(block, last):
        try:
            return stream.resample_chunk(block, last=last)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise failure(error) from error

    return resample
