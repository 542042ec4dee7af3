"""Reader of Speech Commands: word folders, the official validation and test lists, background noise."""

import pathlib

from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.text_files import read_text

LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}  # All else is to train on.
BACKGROUND_NOISE = "_background_noise_"


def read_speech_commands(root):
    """Reads Speech Commands V2: a folder per word, `validation_list.txt` and `testing_list.txt`.

    The classes are the word folders that exist: 35 in the full data set. Entries of the lists for other words are
    ignored. A listed file that is missing from its folder is kept in the manifest, so that `ClipCache` can report it.

    Args:
        root: Folder of the data set.

    Returns:
        A `Manifest` with the official splits. There are no groups: the lists keep each speaker on one side.

    Raises:
        ValueError: If there is no folder with words, a list is missing, or a file is listed twice.

    Reference:
        P. Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition", 2018.
    """
    root = pathlib.Path(root)
    words = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))):
        names = [path.name for path in folder.iterdir() if path.suffix.lower() == ".wav"]
        if names:
            words[folder.name] = names
    if not words:
        raise ValueError(f"{root} must have a folder of .wav files for each word. Found: none")
    splits = {f"{word}/{name}": "train" for word, names in words.items() for name in names}
    splits |= {path: split for path, split in _listed(root).items() if path.split("/")[0] in words}
    clips = [Clip(path, (path.split("/")[0],), splits[path]) for path in sorted(splits)]
    return Manifest(clips, tuple(words), root)


def background_noise_files(root):
    """The recordings of noise that come with Speech Commands.

    Args:
        root: Folder of the data set.

    Returns:
        Sorted list of paths.

    Raises:
        ValueError: If there are none.
    """
    folder = pathlib.Path(root, BACKGROUND_NOISE)
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() == ".wav")
    if not found:
        raise ValueError(f"{root} must have .wav files in {BACKGROUND_NOISE}/ to train with background noise.")
    return found


def _listed(root):
    """The split of each listed file."""
    splits = {}
    for split, name in LISTS.items():
        if not (root / name).is_file():
            raise ValueError(f"{root} lacks {name}. Without both lists it can be read with the layout 'class_folders'.")
        for line, text in enumerate(read_text(root / name).splitlines(), start=1):
            path = text.strip()
            if path in splits:
                raise ValueError(f"{root / name}, line {line}: {path!r} is listed before, in {LISTS[splits[path]]}.")
            if path:
                splits[path] = split
    return splits
