"""Trained models that come with the package, by name; each has a card beside it in `pretrained_models/`."""

import difflib
import pathlib

from keras_audio_si.checks import check_choice
from keras_audio_si.models.loading import load_model

FOLDER = pathlib.Path(__file__).parent.parent / "pretrained_models"
PRETRAINED = {"vgg41-esc10": "VGG41 on the ten classes of ESC-10, from barking dogs to chain saws."}
DEFAULT = "vgg41-esc10"  # What files are tagged by unless a model is named.


def pretrained(name):
    """Loads a trained model that comes with the package.

    Args:
        name: One of `PRETRAINED`. The model's card, `pretrained_models/NAME.md` of the package, has its data, figures
            and limits.

    Input shape:
        `(batch, samples)`, float32 in [-1, 1], at the rate `models.front_end_of(model).sample_rate`.

    Output shape:
        `(batch, classes)`, scores of `models.class_names_of(model)`.

    Returns:
        `keras.Model` from waveforms to scores. To train it on other classes: `models.with_classes`.

    Raises:
        ValueError: If there is no such model.

    Example:

    >>> model = pretrained("vgg41-esc10")
    >>> keras_audio_si.models.class_names_of(model)[:3]
    ('dog', 'rooster', 'rain')
    """
    check_choice("name", name, PRETRAINED)
    return load_model(FOLDER / f"{name}.keras")


def model_file(model):
    """Returns the path of a saved model.

    Args:
        model: Path of a `.keras` file, or a name in `PRETRAINED` where no file has that path.

    Raises:
        FileNotFoundError: If it is neither.

    Example:

    >>> model_file("vgg41-esc10").name
    'vgg41-esc10.keras'
    """
    path = pathlib.Path(model)
    if path.is_file():
        return path
    if str(model) in PRETRAINED:
        return FOLDER / f"{model}.keras"
    names = difflib.get_close_matches(str(model), PRETRAINED, n=1) or PRETRAINED
    raise FileNotFoundError(f"there is no model file {path}, nor a model of that name, such as {next(iter(names))!r}")
