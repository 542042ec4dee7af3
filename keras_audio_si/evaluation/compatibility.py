"""Do a model and the data that it is given speak of the same thing: the same sampling rate, the same classes?"""

from keras_audio_si.layers.heads import class_names_of
from keras_audio_si.layers.nested import nested_layers


def check_sample_rate(model, sample_rate):
    """Raises if a model of waveforms was made for another sampling rate.

    Args:
        model: Keras model. One that has no layer with a `sample_rate`, as `LogMelSpectrogram` and `FitLength` have,
            says nothing about its rate.
        sample_rate: Of the data, in Hz.

    Raises:
        ValueError: If a layer of the model has another rate.
    """
    for layer in nested_layers(model):
        rate = getattr(layer, "sample_rate", None)
        if rate is not None and rate != sample_rate:
            raise ValueError(
                f"The model {model.name!r} takes audio at {rate} Hz, the data are at {sample_rate} Hz. "
                f"Decode them at the model's rate: ClipCache.build(manifest, sample_rate={rate}, ...)."
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
