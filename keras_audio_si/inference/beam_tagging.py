"""Scores of a corpus by the workers of Apache Beam (RunInference), the same as `tag_files` gives in one process."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import threading

import keras

from keras_audio_si.beam import check_folder, check_written, run_pipeline
from keras_audio_si.data.shards import file_state
from keras_audio_si.files import write_json, written_whole
from keras_audio_si.inference.part_file import digest_of, packed, unpacked
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import GROUP_FILES, FoundFile, tag_files
from keras_audio_si.locks import locked

try:
    from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
except ImportError:  # `run_pipeline` says so.
    ModelHandler = object

# What is written into a folder has a digest in its name, which nothing else there has.
_OWN = re.compile(r"(\.\d+-[0-9a-f]{8}-)?(model-[0-9a-f]{16}\.keras|\d{6}-[0-9a-f]{16}\.json)")
_ONE_AT_A_TIME = threading.Lock()  # Keras models keep state when they predict, and a worker may have several threads.


class TagHandler(ModelHandler):
    """What RunInference does in a worker: loads a saved model, and scores groups of files by `tag_files`.

    An element is a list of `FoundFile`, and its result the list of their `FileScores`.

    Args:
        model_path: Path of the `.keras` file.
        backend: Name of the Keras backend that workers must have.
        by_window: See `tag_files`, and so the others.
        window_seconds: Length of the windows.
        hop_seconds: From one window to the next.
        batch_size: Windows that are read before they are scored.
    """

    def __init__(self, model_path, backend, by_window=False, window_seconds=None, hop_seconds=None, batch_size=64):
        super().__init__()
        self.model_path, self.backend = model_path, backend
        self.options = (by_window, window_seconds, hop_seconds, batch_size)

    def load_model(self):
        if keras.backend.backend() != self.backend:
            raise ValueError(
                f"This worker runs Keras on {keras.backend.backend()}, and the one who asks on {self.backend}: set "
                f"KERAS_BACKEND={self.backend} for the workers."
            )
        return keras.models.load_model(self.model_path)

    def run_inference(self, batch, model, inference_args=None):
        with _ONE_AT_A_TIME:
            return [list(tag_files(model, files, *self.options)) for files in batch]

    def batch_elements_kwargs(self):
        return {"min_batch_size": 1, "max_batch_size": 1}  # An element is a group of files already.


def tag_files_by_beam(
    model,
    files,
    folder,
    pipeline_options,
    by_window=False,
    window_seconds=None,
    hop_seconds=None,
    batch_size=64,
):
    """Scores the classes of a model on audio files by the workers of Apache Beam, as `tag_files` does.

    The workers take groups of `GROUP_FILES` files. The results of a group are kept in a file of the folder, by a name
    that the model, the options and the files decide: a run that was cut off continues, and groups with an error are
    done again. Whoever does what and when, the results are the same and in the order of the files.

    Args:
        model: Classifier of waveforms, see `tag_files`.
        files: List of `FoundFile`.
        folder: Folder for the results and a copy of the model, made if need be and left there. The workers must find
            it, and the files, under the same paths as this process.
        pipeline_options: List of flags of Apache Beam, such as `["--runner=FlinkRunner"]`.
        by_window: See `tag_files`, and so the others.
        window_seconds: Length of the windows.
        hop_seconds: From one window to the next.
        batch_size: Windows that are read before they are scored.

    Yields:
        A `FileScores` for every file, in order, when the pipeline has ended.

    Raises:
        ImportError: If Apache Beam is not installed.
        ValueError: If the model is not such a classifier, or an argument is out of its range.
        BlockingIOError: If another process tags into the folder.
        OSError: If the pipeline fails.
    """
    check_folder(folder)
    patch_layout(model, window_seconds, hop_seconds)  # Refuses here what the workers would.
    folder, options = pathlib.Path(folder).resolve(), (by_window, window_seconds, hop_seconds, batch_size)
    with locked(folder, "keras-audio-si-tag.lock"):
        digest = digest_of(model)
        model_path, run = folder / f"model-{digest[:16]}.keras", (digest, keras.backend.backend(), *options)
        with written_whole(model_path) as temporary:
            model.save(temporary)
        groups = [files[first : first + GROUP_FILES] for first in range(0, len(files), GROUP_FILES)]
        paths = [_path_of(folder, number, group, run) for number, group in enumerate(groups)]
        waiting = [
            (str(path), [FoundFile(os.path.abspath(file.path), file.problem) for file in group])
            for path, group in zip(paths, groups, strict=True)
            if not _complete(path)
        ]
        handler = TagHandler(str(model_path), keras.backend.backend(), *options)
        run_pipeline(
            waiting,
            lambda beam: RunInference(KeyedModelHandler(handler)) | beam.MapTuple(_write),
            pipeline_options,
        )
        check_written(paths)
        for path, group in zip(paths, groups, strict=True):
            for file, entry in zip(group, json.loads(path.read_text(encoding="utf-8")), strict=True):
                yield unpacked(file.path, entry)[0]


def remove_results(folder):
    """Removes what `tag_files_by_beam` has written into a folder, and the folder unless it has other files.

    Args:
        folder: As for `tag_files_by_beam`.
    """
    folder = pathlib.Path(folder)
    for path in [path for path in folder.iterdir() if _OWN.fullmatch(path.name)]:
        path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _path_of(folder, number, group, run):
    """Where the results of a group are: by what they depend on."""
    files = [(os.path.abspath(file.path), file.problem, file_state(file.path)) for file in group]
    return folder / f"{number:06d}-{hashlib.sha256(repr((run, files)).encode()).hexdigest()[:16]}.json"


def _write(path, results):
    write_json(path, [packed(result) for result in results])


def _complete(path):
    if not path.exists():
        return False
    return all(entry["error"] is None for entry in json.loads(path.read_text(encoding="utf-8")))
