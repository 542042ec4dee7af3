"""Metadata of saved models: class names, thresholds, front-end and sampling rate, and checks of data against them."""

from keras_audio_si.layers.fit_length import FitLength
from keras_audio_si.layers.frontend import FrontEnd
from keras_audio_si.layers.heads import ClassScores
from keras_audio_si.layers.nested import nested_layers


def class_names_of(model):
    """Returns the class names that a model carries in its `ClassScores` layer, or None.

    Args:
        model: A Keras model; models inside it are searched as well.

    Returns:
        Tuple of names, or None.

    Example:

    >>> logits = keras.Input((2,))
    >>> scores = keras_audio_si.layers.ClassScores(class_names=("dog", "rain"))(logits)
    >>> class_names_of(keras.Model(logits, scores))
    ('dog', 'rain')
    """
    names = [getattr(layer, "class_names", None) for layer in nested_layers(model)]
    return next((known for known in reversed(names) if known is not None), None)


def thresholds_of(model):
    """Returns the thresholds of the classes that a model carries in its `ClassScores` layer, or None.

    Args:
        model: A Keras model; models inside it are searched as well.

    Returns:
        Tuple of scores in the order of the classes, or None.

    Example:

    >>> logits = keras.Input((2,))
    >>> scores = keras_audio_si.layers.ClassScores(class_names=("dog", "rain"), thresholds=(0.5, 0.2))(logits)
    >>> thresholds_of(keras.Model(logits, scores))
    (0.5, 0.2)
    """
    layer = _class_scores_of(model)
    return None if layer is None else layer.thresholds


def set_thresholds(model, thresholds):
    """Sets the thresholds of the classes of a model, which are saved with it.

    Args:
        model: A Keras model that ends in `ClassScores`, or has a model in the end that does.
        thresholds: One score for each class, or None for none.

    Raises:
        ValueError: If the model has no `ClassScores`, or the number is another.
    """
    layer = _class_scores_of(model)
    if layer is None:
        raise ValueError(f"The model {model.name!r} has no `ClassScores` layer that could keep thresholds.")
    if thresholds is not None and len(thresholds) != model.output_shape[-1]:
        raise ValueError(f"`thresholds` must be {model.output_shape[-1]} numbers. Received: {len(thresholds)}")
    layer.thresholds = thresholds


def _class_scores_of(model):
    found = [layer for layer in nested_layers(model) if isinstance(layer, ClassScores)]
    return found[-1] if found else None


def front_end_of(model, any_length=False):
    """The layer of a classifier of waveforms that has its `sample_rate` and `hop_length`.

    It is the front-end, such as a `LogMelSpectrogram`, or the `FitLength` of a network on waveforms.

    Args:
        model: Keras model.
        any_length: Whether its input may be of open length.

    Raises:
        ValueError: If the model has neither, does not say its sample rate, or takes other inputs.
    """
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 2 and (any_length or shape[1] is not None):
        for layer in model.layers:
            if isinstance(layer, FrontEnd):
                return layer
        if fit_length := fit_length_of(model):
            if fit_length.sample_rate is None:
                raise ValueError(
                    f"The model {model.name!r} does not say its sample rate: set "
                    "`models.fit_length_of(model).sample_rate`, in Hz, and save it again."
                )
            return fit_length
    raise ValueError(
        f"The model {model.name!r} must take waveforms{'' if any_length else ' of a fixed length'} and have a "
        f"front-end (`LogMelSpectrogram`) or a `FitLength` among its layers. Its input shape is {shape}."
    )


def fit_length_of(model):
    """Returns the `FitLength` of a model, or None.

    Its attributes can be set, and are saved with the model: `fit_length_of(model).sample_rate = 16000`.

    Args:
        model: A Keras model; models inside it are searched as well.

    Example:

    >>> fit_length_of(keras_audio_si.models.EATSmall(50, sample_rate=22050)).sample_rate
    22050
    """
    return next((layer for layer in nested_layers(model) if isinstance(layer, FitLength)), None)


def sample_rate_of(model):
    """Returns the sampling rate in Hz that a model of waveforms was made for, or None if it does not say it.

    Args:
        model: Keras model; its front-end or `FitLength`, which may be in a model inside it, has the rate.

    Example:

    >>> sample_rate_of(keras_audio_si.models.EATSmall(50, sample_rate=22050))
    22050
    """
    rates = (getattr(layer, "sample_rate", None) for layer in nested_layers(model))
    return next((rate for rate in rates if rate is not None), None)


def check_sample_rate(model, sample_rate):
    """Raises if a model of waveforms was made for another sampling rate.

    Args:
        model: Keras model, as for `sample_rate_of`. One that does not say its rate takes any.
        sample_rate: Of the data, in Hz.

    Raises:
        ValueError: If the model has another rate.
    """
    rate = sample_rate_of(model)
    if rate not in (None, sample_rate):
        raise ValueError(
            f"The model {model.name!r} takes audio at {rate} Hz, the data are at {sample_rate} Hz. "
            f"Decode them at the model's rate: ClipCache.build(manifest, sample_rate={rate}, ...), or "
            f"`--sample-rate {rate}`."
        )


def check_class_names(model, class_names):
    """Raises if the scores of a model are of other classes than the labels, or come in another order.

    Args:
        model: Keras model. One that does not end in `ClassScores` with class names says nothing about them.
        class_names: Of the columns of the labels.

    Raises:
        ValueError: If the classes or their order differ; the message names the first that do.
    """
    known, given = class_names_of(model), tuple(class_names)
    if known is None or known == given:
        return
    if set(known) == set(given):
        place = next(i for i, pair in enumerate(zip(known, given, strict=True)) if pair[0] != pair[1])
        difference = f"in another order: class {place} is {known[place]!r} there and {given[place]!r} here"
    else:
        lacking, unknown = sorted(set(known) - set(given)), sorted(set(given) - set(known))
        difference = " and ".join(
            f"{what} {', '.join(map(repr, names[:5]))}{' ...' if len(names) > 5 else ''}"
            for what, names in (("without", lacking), ("with unknown", unknown))
            if names
        )
    raise ValueError(
        f"The data's classes are not those of the model {model.name!r}, but {difference}. Read the data with the "
        "model's classes: Manifest.read(path, class_names=class_names_of(model))."
    )
