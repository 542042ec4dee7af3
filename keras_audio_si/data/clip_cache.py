"""Cache of the decoded clips of a manifest, in one memory-mapped file."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

import numpy as np

from keras_audio_si.checks import check_choice
from keras_audio_si.data import graph_decoder
from keras_audio_si.data.audio_io import AudioError, read_audio
from keras_audio_si.data.decoded_clips import DecodedClips, report_failures
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.parallel import in_threads, with_progress
from keras_audio_si.data.shards import file_state
from keras_audio_si.data.text_files import read_json
from keras_audio_si.files import AGAIN, writing

FORMAT = 1  # Part of the key of a cache; to be increased when the format of its files changes.
SAMPLES_FILE = "samples.float32"
INDEX_FILE = "index.json"


class ClipCache(DecodedClips):
    """Mono waveforms of clips at one sampling rate, concatenated in one flat float32 array.

    `ClipCache.build` makes it from audio files, `ClipCache.from_waveforms` from arrays. `select` gives the
    clips of a split or of some folds as another view of the same array.

    Args:
        manifest: `Manifest` of the clips that are here.
        sample_rate: In Hz.
        samples: Flat float32 array with the samples of all clips.
        starts: `(num_clips,)` place in `samples` at which each clip starts.
        lengths: `(num_clips,)` length of each clip in samples.
        failures: `(path, reason)` of the files that were left out.

    Raises:
        ValueError: If a clip has no samples, or the numbers of clips disagree.

    Example:

    >>> import numpy as np
    >>> from keras_audio_si.data.clip_cache import ClipCache
    >>> cache = ClipCache.from_waveforms([np.zeros(3), np.ones(5)], [("dog",), ("rain",)], sample_rate=16000)
    >>> cache.waveform(1).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    >>> cache.lengths.tolist()
    [3, 5]
    """

    def __init__(self, manifest, sample_rate, samples, starts, lengths, failures=()):
        super().__init__(manifest, sample_rate, lengths, failures)
        self.samples = np.asarray(samples)  # Slices of a plain array are faster than slices of a memmap.
        self.starts = np.asarray(starts, "int64")
        if len(self.starts) != len(self.lengths):
            raise ValueError(
                f"`starts` and `lengths` must be of one length. Received: {len(self.starts)} and {len(self.lengths)}"
            )

    def section(self, index, start, samples):
        """Some samples of one clip from `start` on, fewer where the clip ends: a float32 view."""
        first = self.starts[index]
        return self.samples[first + start : first + min(start + samples, self.lengths[index])]

    def _view(self, manifest, kept):
        starts, lengths = self.starts[kept], self.lengths[kept]
        return ClipCache(manifest, self.sample_rate, self.samples, starts, lengths, self.failures)

    @classmethod
    def from_waveforms(cls, waveforms, labels, sample_rate, class_names=None):
        """Puts waveforms that are in memory into a cache.

        Args:
            waveforms: One `(samples,)` array per clip.
            labels: One tuple of class names per clip.
            sample_rate: In Hz.
            class_names: Names of all classes, in order. If None, the labels that occur, sorted.

        Returns:
            A `ClipCache` whose clips are called "clip-0", "clip-1", ...

        Raises:
            ValueError: If a clip has no samples, or some that are NaN or infinite.
        """
        clips = [Clip(f"clip-{index}", names) for index, names in enumerate(labels)]
        lengths = np.array([len(waveform) for waveform in waveforms], "int64")
        samples = np.concatenate(waveforms).astype("float32", copy=False)
        if not np.isfinite(samples).all():
            bad = [
                clip.clip_id for clip, waveform in zip(clips, waveforms, strict=True) if not np.isfinite(waveform).all()
            ]
            raise ValueError(f"`waveforms` must be finite; NaN or infinite samples are in: {', '.join(bad[:10])}")
        return cls(Manifest(clips, class_names), sample_rate, samples, np.cumsum(lengths) - lengths, lengths)

    @classmethod
    def build(cls, manifest, sample_rate, cache_dir, num_workers=None, progress=True, decoder="soundfile"):
        """Decodes and resamples the clips of a manifest, or opens the cache of an earlier call.

        The files lie in a folder of `cache_dir` whose name depends on the path, size and time of change of
        every clip and on the rate: other labels or splits use the same folder, other audio does not. The
        folder appears when it is complete. Files that give no audio are left out and reported. Those that could not be
        read for a reason that may pass, such as a missing permission, are tried again; if one is audio now, all are
        decoded anew.

        Args:
            manifest: The `Manifest`.
            sample_rate: In Hz.
            cache_dir: Folder for the caches, made if need be.
            num_workers: Number of decoding threads; the number of processors if None.
            progress: Whether to show progress on stderr.
            decoder: `"soundfile"`, or `"tensorflow-io"` (the extra `tfio`), which decodes in a graph of tf.data what it
                decodes as soundfile does, to a step of 16 bits. Where it does not work a message says so, and
                soundfile decodes.

        Returns:
            A `ClipCache`; its `manifest` has the clips that could be read, its `failures` names the others.

        Raises:
            ValueError: If no clip of a split could be read, the decoder is unknown, or the files of the cache are
                damaged.
            OSError: If they cannot be written.
        """
        check_choice("decoder", decoder, DECODERS)
        folder, paths = pathlib.Path(cache_dir) / _key(manifest, sample_rate), manifest.paths()
        with writing(cache_dir, AGAIN):
            if (folder / INDEX_FILE).is_file() and not _still_complete(folder, paths, sample_rate):
                with contextlib.suppress(FileNotFoundError):  # Another process may do the same.
                    shutil.rmtree(folder)
            if not (folder / INDEX_FILE).is_file():
                _decode_all(paths, sample_rate, folder, num_workers or os.cpu_count() or 1, progress, decoder)
        index = read_json(folder / INDEX_FILE)
        lengths = np.array(index.get("lengths", ()), "int64")
        if os.path.getsize(folder / SAMPLES_FILE) != 4 * lengths.sum():
            raise ValueError(f"{folder / SAMPLES_FILE} is damaged: delete {folder} to decode the audio again.")
        failures = {number: (paths[number], reason) for number, reason in index["failures"]}
        report_failures(manifest, failures)
        samples = np.memmap(folder / SAMPLES_FILE, "float32", mode="r")
        starts = np.cumsum(lengths) - lengths
        kept = np.flatnonzero(lengths)
        return cls(manifest.subset(kept), sample_rate, samples, starts[kept], lengths[kept], failures.values())


def _key(manifest, sample_rate):
    digest = hashlib.sha256(f"{FORMAT} {sample_rate}".encode())
    for path in manifest.paths():
        digest.update(repr((os.path.abspath(path), file_state(path))).encode())
    return digest.hexdigest()[:16]


def _still_complete(folder, paths, sample_rate):
    """Whether none of the files that could not be read for a reason that may pass has another result now."""
    tried = [paths[number] for number in read_json(folder / INDEX_FILE).get("passing", ())]
    return all(isinstance(got := _decoded(path, sample_rate), AudioError) and got.passing for path in tried)


def _decode_all(paths, sample_rate, folder, num_workers, progress, decoder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="part-") as temporary:
        part = pathlib.Path(temporary) / folder.name
        part.mkdir()
        lengths, failures, passing = [], [], []
        try:
            with open(part / SAMPLES_FILE, "wb") as file:
                clips = DECODERS[decoder](paths, sample_rate, num_workers)
                clips = with_progress(clips, len(paths), f"Decoding to {sample_rate} Hz", progress)
                for number, decoded in enumerate(clips):
                    if isinstance(decoded, AudioError):
                        failures.append((number, decoded.reason))
                        passing += [number] * decoded.passing
                        lengths.append(0)
                    else:
                        file.write(decoded.data)
                        lengths.append(len(decoded))
            index = {"sample_rate": sample_rate, "lengths": lengths, "failures": failures, "passing": passing}
            (part / INDEX_FILE).write_text(json.dumps(index), encoding="utf-8")
        except OSError as error:  # A full disk does not say which one it is, nor how much was wanted.
            reason = (
                f"{error.strerror} after {len(lengths)} of {len(paths)} decoded clips ({4 * sum(lengths) >> 20} MiB)"
            )
            raise OSError(error.errno, reason) from error
        try:
            os.rename(part, folder)
        except OSError:
            # Another process may have built the same cache meanwhile.
            if not (folder / INDEX_FILE).is_file():
                raise


def _by_soundfile(paths, sample_rate, num_workers):
    """Each path's waveform, or its `AudioError`, in order."""
    return in_threads(lambda path: _decoded(path, sample_rate), paths, num_workers)


def _decoded(path, sample_rate):
    try:
        return np.ascontiguousarray(read_audio(path, sample_rate)[0])
    except AudioError as error:
        return error


def _by_tensorflow_io(paths, sample_rate, num_workers):
    problem = graph_decoder.tensorflow_io_problem()
    if problem is None:
        return graph_decoder.decoded(paths, sample_rate, num_workers)
    print(f"tensorflow-io cannot decode here ({problem}): soundfile does.", file=sys.stderr)
    return _by_soundfile(paths, sample_rate, num_workers)


DECODERS = {"soundfile": _by_soundfile, "tensorflow-io": _by_tensorflow_io}
