"""Decoding of audio files by tensorflow-io in a tf.data graph (the extra `tfio`), checked against libsndfile."""

import functools
import os
import pathlib
import struct
import tempfile

import numpy as np
import soundfile

from keras_audio_si.data.audio_io import AudioError, audio_info, conformed, read_audio
from keras_audio_si.data.shards import is_clip_of_shard

# By container and encoding, as libsndfile calls them: type and step of the numbers that tensorflow-io gives, and what
# it gives for silence. Of all others soundfile takes care: integers of 32 bits would be read as floats, mu-law and
# ADPCM not at all.
ENCODINGS = {
    ("WAV", "PCM_U8"): ("uint8", 2.0**-7, 128.0),
    ("WAV", "PCM_16"): ("int16", 2.0**-15, 0.0),
    ("WAV", "PCM_24"): ("int32", 2.0**-31, 0.0),
    ("WAV", "FLOAT"): ("float32", 1.0, 0.0),
    ("FLAC", "PCM_16"): ("int16", 2.0**-15, 0.0),
    ("FLAC", "PCM_24"): ("int32", 2.0**-31, 0.0),
    ("OGG", "VORBIS"): ("float32", 1.0, 0.0),
}
GRAPH_FILES = 1024  # That one graph decodes: their headers are read before.


@functools.cache
def tensorflow_io_problem():
    """Decodes a test file with tensorflow-io, because it can be imported where decoding fails.

    Returns:
        None if it decodes the file as soundfile does, else the reason, str.

    Example:

    >>> problem = tensorflow_io_problem()
    >>> problem is None or isinstance(problem, str)
    True
    """
    signal = (0.5 * np.sin(np.arange(600.0))).reshape(-1, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "probe.flac")
        soundfile.write(path, signal, 16000)
        try:
            (got,) = _decoded_in_graph([(path, audio_info(path))], 1)
        except Exception as error:  # Whatever a library that does not fit this TensorFlow raises.
            got = error
        if isinstance(got, Exception):
            return f"{type(got).__name__}: {got}".splitlines()[0]
        if not np.allclose(got, read_audio(path)[0], rtol=0, atol=2.0**-15):
            return "what it decodes differs from what soundfile decodes"
    return None


def decoded(paths, sample_rate, num_workers):
    """Decodes audio files in a tf.data graph, and those that tensorflow-io does not decode correctly by soundfile.

    Args:
        paths: Paths of audio files.
        sample_rate: Rate to resample to, in Hz.
        num_workers: Number of files that are decoded at the same time.

    Yields:
        For each path its waveform, `(samples,)` float32, equal to that of `read_audio` to a step of 16 bits, or an
        `AudioError`.
    """
    for first in range(0, len(paths), GRAPH_FILES):
        some = paths[first : first + GRAPH_FILES]
        infos = [_info(path) for path in some]
        known = [(path, info) for path, info in zip(some, infos, strict=True) if info is not None]
        in_graph = _decoded_in_graph(known, num_workers)
        for path, info in zip(some, infos, strict=True):
            waveform = None if info is None else next(in_graph)
            try:
                if isinstance(waveform, np.ndarray) and len(waveform) == info.frames:
                    yield conformed(waveform, info.sample_rate, path, sample_rate)[0]
                else:
                    yield np.ascontiguousarray(read_audio(path, sample_rate)[0])
            except AudioError as error:
                yield error


def _info(path):
    """What the header of a file says, if tensorflow-io decodes it as soundfile does, else None."""
    if is_clip_of_shard(path):
        return None
    try:
        info = audio_info(path)
    except AudioError:
        return None  # Reading it says why.
    alike = (info.format, info.subtype) in ENCODINGS and (info.format != "WAV" or _chunks_fit(path))
    return info if alike else None


def _chunks_fit(path):
    """Whether the sizes in the header of a WAV file are true: where they are not, tensorflow-io ends the process."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        end = 8 + struct.unpack("<4sI", file.read(8))[1]
        place = 12
        while place + 8 <= size:
            file.seek(place)
            length = struct.unpack("<4sI", file.read(8))[1]
            place += 8 + length + length % 2
    return place == end == size


def _decoded_in_graph(files, num_workers):
    """Yields the waveform of each `(path, AudioInfo)` at its own rate, or the exception that TensorFlow raised."""
    import tensorflow_io as tfio

    from keras_audio_si.data.pipeline import import_tensorflow

    tf = import_tensorflow()

    def branch(dtype, step, silence):
        def decode(path):
            samples = tfio.audio.AudioIOTensor(path, dtype=tf.as_dtype(dtype)).to_tensor()
            return tf.reduce_mean((tf.cast(samples, tf.float32) - silence) * step, axis=1)

        return decode

    branches = [branch(*encoding) for encoding in ENCODINGS.values()]
    kinds = np.array([list(ENCODINGS).index((info.format, info.subtype)) for _, info in files], "int32")
    listed = tf.data.Dataset.from_tensor_slices(([os.fsencode(path) for path, _ in files], kinds))

    def decode(path, kind):
        return tf.switch_case(kind, [functools.partial(branch, path) for branch in branches])

    waveforms = iter(listed.map(decode, num_parallel_calls=num_workers, deterministic=True))
    for _ in files:
        try:
            yield next(waveforms).numpy()
        except tf.errors.OpError as error:
            yield error
