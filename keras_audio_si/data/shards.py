"""Shards: files of many audio clips, each a FLAC file, read by number.

A clip of a shard has the path `shard/number`, such as `train-00000-of-00004.array_record/000017`, wherever a path of
audio is expected. ArrayRecord needs the extra `shards`. TFRecord is written by TensorFlow, and read without it.
"""

import array
import contextlib
import functools
import io
import os
import pathlib
import struct
import threading

import numpy as np
import soundfile

from keras_audio_si.files import FULL

SUFFIXES = {"arrayrecord": ".array_record", "tfrecord": ".tfrecord"}
_OPEN_SHARDS = 16  # ArrayRecords that a process keeps open.
_SCALE = "scale="  # In the comment of a clip with samples beyond full scale, which FLAC has not.


def is_clip_of_shard(path):
    """Whether a path is `shard/number`.

    Example:

    >>> is_clip_of_shard("a/train-00000-of-00004.array_record/000017"), is_clip_of_shard("a/17.wav")
    (True, False)
    """
    path = pathlib.Path(path)
    return is_shard(path.parent) and path.name.isdecimal()


def is_shard(path):
    """Whether a path is that of a shard, by its suffix."""
    return pathlib.Path(path).suffix in SUFFIXES.values()


def file_of(path):
    """The file on disk that has the audio of a path: the shard of a clip in one, otherwise the path itself."""
    return pathlib.Path(path).parent if is_clip_of_shard(path) else pathlib.Path(path)


def file_state(path):
    """Size and time of change of the file that has the audio of a path; None if there is none."""
    try:
        status = os.stat(file_of(path))
    except (OSError, ValueError):  # ValueError: what no file can be called.
        return None
    return status.st_size, status.st_mtime_ns


def clips_of(shard):
    """Paths of the clips of a shard, in order.

    Raises:
        ImportError: If the shard is an ArrayRecord and the extra `shards` is not installed.
        ValueError: If it is damaged.
    """
    return [clip_of(shard, number) for number in range(len(_reader(shard)))]


def clip_of(shard, number):
    """Path of a clip of a shard; by name they sort as they lie in it."""
    return pathlib.Path(shard) / f"{number:06d}"


class ShardClip(soundfile.SoundFile):
    """A clip of a shard, open to be read as any file of audio.

    Args:
        path: `shard/number`.

    Raises:
        ImportError: If the shard is an ArrayRecord and the extra `shards` is not installed.
        ValueError: If the shard is damaged or ends before the number.
    """

    def __init__(self, path):
        path = pathlib.Path(path)
        super().__init__(io.BytesIO(_reader(path.parent)[int(path.name)]))
        self._scale = np.float32(self.comment.removeprefix(_SCALE)) if self.comment else None

    def read(self, *args, **kwargs):
        samples = super().read(*args, **kwargs)
        return samples if self._scale is None else samples * self._scale


def encoded(waveform, sample_rate):
    """FLAC of 16 bits of a mono waveform: bytes. Samples beyond full scale are kept by a factor in the comment."""
    file, peak = io.BytesIO(), float(np.abs(waveform).max(initial=0.0))
    with soundfile.SoundFile(file, "w", sample_rate, 1, "PCM_16", format="FLAC") as flac:
        if peak > 1:
            scale = np.float32(peak * 32768 / 32767)  # The largest sample of 16 bits is below 1.
            flac.comment = f"{_SCALE}{scale}"
            waveform = waveform / scale
        flac.write(waveform)
    return file.getvalue()


@contextlib.contextmanager
def shard_writer(path):
    """Opens a shard to write; gives a function that appends the bytes of a record.

    Args:
        path: Path whose suffix says the format, of `SUFFIXES`.

    Raises:
        ImportError: If what writes the format is not installed.
        OSError: If it cannot be written.
    """
    if pathlib.Path(path).suffix == SUFFIXES["tfrecord"]:
        try:
            import tensorflow as tf
        except ImportError as error:
            raise ImportError("TFRecords are written by TensorFlow: install the extra `tensorflow-cpu`.") from error
        writer = tf.io.TFRecordWriter(str(path))
    else:
        # One record per chunk, so that reading one decodes no other; FLAC cannot be compressed further.
        writer = _array_record().ArrayRecordWriter(str(path), "group_size:1,uncompressed")
    try:
        try:
            yield writer.write
        finally:
            writer.close()
    except Exception as error:  # Both writers say what the system says, in errors of their own.
        full = next((number for number in FULL if os.strerror(number) in str(error)), None)
        if full is None or isinstance(error, OSError):
            raise
        raise OSError(full, os.strerror(full)) from error


def _array_record():
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise ImportError(
            "ArrayRecord is not installed: pip install 'keras-audio-si[shards]', or prepare with --format tfrecord."
        ) from error
    return array_record_module


def _reader(shard):
    status = os.stat(shard)
    reader = _tfrecord_reader if pathlib.Path(shard).suffix == SUFFIXES["tfrecord"] else _arrayrecord_reader
    return reader(str(shard), status.st_size, status.st_mtime_ns)


@functools.lru_cache(_OPEN_SHARDS)
def _arrayrecord_reader(shard, size, changed):
    return _ArrayRecords(shard)


@functools.cache  # Of all shards: no file stays open, 16 bytes a record do, and finding them takes long.
def _tfrecord_reader(shard, size, changed):
    return _TFRecords(shard)


class _ArrayRecords:
    def __init__(self, shard):
        with _damage(shard):
            self._reader = _array_record().ArrayRecordReader(shard, "readahead_buffer_size:0")
            self._shard, self._records, self._lock = shard, self._reader.num_records(), threading.Lock()

    def __len__(self):
        return self._records

    def __getitem__(self, number):
        _check_number(number, self)
        with _damage(self._shard), self._lock:
            return self._reader.read([number])[0]


class _TFRecords:
    """Records of a length (8 bytes), its checksum (4), the data and their checksum (4), found by their lengths."""

    def __init__(self, shard):
        self._shard, self._places = shard, array.array("Q")  # Start and length of each record.
        end = os.path.getsize(shard)
        with open(shard, "rb") as file:
            while file.tell() < end:
                header = file.read(12)
                length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else end
                if file.tell() + length + 4 > end:
                    raise ValueError(f"{shard} is damaged: record {len(self)} ends after the file.")
                self._places.extend((file.tell(), length))
                file.seek(length + 4, os.SEEK_CUR)

    def __len__(self):
        return len(self._places) // 2

    def __getitem__(self, number):
        _check_number(number, self)
        start, length = self._places[2 * number : 2 * number + 2]
        with open(self._shard, "rb") as file:
            file.seek(start)
            return file.read(length)


def _check_number(number, records):
    if number >= len(records):
        raise ValueError(f"the shard has {len(records)} clips")


@contextlib.contextmanager
def _damage(shard):
    try:
        yield
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"{shard} is damaged: {error}") from error
