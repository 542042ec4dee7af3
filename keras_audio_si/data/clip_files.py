"""Clips that are decoded whenever they are read, for corpora whose decoded audio has no room on the disk."""

import numpy as np

from keras_audio_si.checks import check_positive
from keras_audio_si.data.audio_io import AudioError, audio_info, read_section, resampled_length
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.decoded_clips import DecodedClips, report_failures
from keras_audio_si.data.manifest import read_rows
from keras_audio_si.data.parallel import in_threads, with_progress
from keras_audio_si.data.preparation import CLIPS_FILE
from keras_audio_si.data.prepared import INDEX_FILE, PLAN_FILE
from keras_audio_si.data.text_files import read_json
from keras_audio_si.files import plain_text


class ClipFiles(DecodedClips):
    """Mono waveforms of clips at one sampling rate, decoded anew at each reading: those of `ClipCache`.

    A section of a clip in a WAV or FLAC file of the wanted rate, as shards of `prepare` have them, is read alone; of
    others the whole file is decoded. `ClipFiles.build` reads the headers of the files, or what `prepare` knows of them.

    Args:
        manifest: `Manifest` of the clips.
        sample_rate: In Hz.
        lengths: `(num_clips,)` length of each clip in samples at that rate.
        failures: `(path, reason)` of the files that were left out.

    Raises:
        ValueError: If a clip has no samples, or the numbers of clips disagree.
    """

    def __init__(self, manifest, sample_rate, lengths, failures=()):
        super().__init__(manifest, sample_rate, lengths, failures)
        self._paths = manifest.paths()

    def section(self, index, start, samples):
        """As for `ClipCache`.

        Raises:
            AudioError: If the file is damaged or has another length than its header says.
        """
        path, length = self._paths[index], self.lengths[index]
        wanted = min(int(samples), int(length - start))
        section = read_section(path, self.sample_rate, int(start), wanted)
        if len(section) != wanted:
            remedy = "leave it out, or use a cache or `prepare`, which take what there is"
            raise AudioError(path, f"ends before its {length} samples: {remedy}")
        return section

    def _view(self, manifest, kept):
        return ClipFiles(manifest, self.sample_rate, self.lengths[kept], self.failures)

    @classmethod
    def build(cls, manifest, sample_rate, num_workers=None, progress=True):
        """Reads how long the clips of a manifest are.

        Args:
            manifest: The `Manifest`.
            sample_rate: In Hz.
            num_workers: Number of threads; the number of processors if None.
            progress: Whether to show progress on stderr.

        Returns:
            `ClipFiles`; its `manifest` has the clips with a header that can be read, its `failures` names the others.

        Raises:
            ValueError: If none of a split is left.
        """
        check_positive(sample_rate=sample_rate)
        lengths, failures, paths = _known_lengths(manifest, sample_rate), {}, manifest.paths()
        if lengths is None:
            found = in_threads(lambda path: _length(path, sample_rate), paths, num_workers)
            lengths = []
            for number, length in enumerate(with_progress(found, len(paths), "Reading headers", progress)):
                if isinstance(length, AudioError):
                    failures[number] = (paths[number], length.reason)
                lengths.append(0 if isinstance(length, AudioError) else length)
        report_failures(manifest, failures)
        lengths = np.array(lengths, "int64")
        kept = np.flatnonzero(lengths)
        return cls(manifest.subset(kept), sample_rate, lengths[kept], failures.values())


def read_clips(manifest, sample_rate, cache_dir, decoder="soundfile"):
    """The clips of a manifest, decoded once for all in a folder, or anew each time they are read.

    Args:
        manifest: `Manifest`
        sample_rate: In Hz.
        cache_dir: Folder for decoded audio, as of `ClipCache.build`; None for `ClipFiles`.
        decoder: As of `ClipCache.build`; without a folder only "soundfile".

    Returns:
        `ClipCache` or `ClipFiles`.

    Raises:
        ValueError: If no clip of a split could be read, or the decoder is unknown or needs a folder.
    """
    if cache_dir is None:
        if decoder != "soundfile":
            raise ValueError(
                "`decoder` must be 'soundfile' where clips are decoded each time they are read: leave it out, or use a "
                f"cache. Received: decoder={decoder!r}"
            )
        return ClipFiles.build(manifest, sample_rate)
    return ClipCache.build(manifest, sample_rate, cache_dir, decoder=decoder)


def _length(path, sample_rate):
    try:
        info = audio_info(path)
    except AudioError as error:
        return error
    length = resampled_length(info.frames, info.sample_rate, sample_rate)
    return length or AudioError(path, f"holds no samples at {sample_rate} Hz")


def _known_lengths(manifest, sample_rate):
    """Lengths that `prepare` has written beside its shards, if they are of this rate; else None."""
    files = [manifest.root / name for name in (INDEX_FILE, PLAN_FILE, CLIPS_FILE)]
    if not all(file.is_file() for file in files):
        return None
    if read_json(files[1]).get("sample_rate") != sample_rate:
        return None
    rows = read_rows(files[2], ("clip_id", "seconds"), errors="surrogateescape")  # As earlier versions wrote.
    try:
        seconds = {plain_text(row["clip_id"]): float(row["seconds"]) for _, row in rows}
        return [round(seconds[clip.clip_id] * sample_rate) for clip in manifest.clips]
    except KeyError:
        return None
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{files[2]} has a duration that is no number: {error}. Run `prepare` again.") from None
