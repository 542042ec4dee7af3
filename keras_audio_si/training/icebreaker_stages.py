"""The stages of the IceBreaker of juettner: PiczakNet on spectrograms, then behind a front-end that is trained."""

import dataclasses

from keras_audio_si.models.metadata import front_end_of
from keras_audio_si.training.settings import FORCING_MONITOR, TrainingSettings
from keras_audio_si.training.stages import Stage

HEURI_SETTINGS = TrainingSettings(
    learning_rate=2e-3,
    batch_size=1000,
    epochs=100,
    early_stopping_patience=None,
    mixup_alpha=None,
    monitor="val_patch_balanced_accuracy",
    optimizer="sgd",
    schedule="constant",
    loss="softmax",
    gradient_norms=True,
)
MST_SETTINGS = dataclasses.replace(
    HEURI_SETTINGS, learning_rate=5e-3, gradient_clip_norm=3.0, gradient_clip_by="variable"
)


def forcing_settings(settings, epochs, learning_rate=3e-4):
    """The settings of spectrogram forcing: Adam against the squared error.

    Args:
        settings: `TrainingSettings` for the rest, such as the batch size; what is for losses of labels is left out.
        epochs: number of epochs; the paper has none.
        learning_rate: of Adam.

    Returns:
        `TrainingSettings`

    Example:

    >>> forcing_settings(MST_SETTINGS, epochs=50).optimizer
    'adam'

    Reference:
        juettner, section 2.3.2.
    """
    return dataclasses.replace(
        settings,
        epochs=epochs,
        optimizer="adam",
        learning_rate=learning_rate,
        gradient_clip_norm=None,
        loss="mse",
        loss_reduction="mean",
        label_smoothing=0.0,
        auxiliary_layers=(),
        monitor=FORCING_MONITOR,
    )


def icebreaker(spectrogram_model, model, settings=MST_SETTINGS, first_epochs=300, forced=None, frozen="training"):
    """The four phases as stages, after a stage of spectrogram forcing where there is one.

    - "phase0": `spectrogram_model` alone;
    - "phase1": the front-end of `model`, before the network of phase 0;
    - "phase2": the first convolution of that network as well;
    - "phase3": everything.

    Each begins with the best weights of the one before.

    Args:
        spectrogram_model: `models.Classifier` of a spectrogram and a PiczakNet.
        model: `models.Classifier` of a front-end and a PiczakNet of the same name and sizes, such as `models.MSTNet`.
        settings: `TrainingSettings` of the phases; `epochs` are those of phases 1 to 3. `MST_SETTINGS` and
            `HEURI_SETTINGS` are the paper's.
        first_epochs: epochs of phase 0.
        forced: `Stage` that trains the front-end alone, by a model in which it has the same name; None to begin with
            the front-end as it is.
        frozen: how the frozen layers run in training. As released `"training"`: with dropout.

    Returns:
        List of `Stage`.

    Example:

    >>> from keras_audio_si import models
    >>> net = models.HeuriNet(10, dense_units=5)
    >>> piczak = models.PiczakNet(10, dense_units=5)
    >>> alone = models.Classifier(models.piczak_spectrogram(), piczak, input_samples=20992)
    >>> for stage in icebreaker(alone, net, HEURI_SETTINGS):
    ...     print(stage.name, stage.settings.epochs, stage.trains, stage.start)
    phase0 300 None None
    phase1 100 ('heuri_front_end',) {'piczak_net': 'phase0'}
    phase2 100 ('heuri_front_end', 'piczak_net/conv1') phase1
    phase3 100 None phase2

    Reference:
        juettner, section 2.3.1.
    """
    front_end, backbone = front_end_of(model).name, model.layers[-1].name
    begin = {backbone: "phase0"} | ({front_end: forced.name} if forced is not None else {})
    phases = [
        Stage("phase0", spectrogram_model, dataclasses.replace(settings, epochs=first_epochs)),
        Stage("phase1", model, settings, (front_end,), begin, frozen),
        Stage("phase2", model, settings, (front_end, f"{backbone}/conv1"), "phase1", frozen),
        Stage("phase3", model, settings, None, "phase2"),
    ]
    return phases if forced is None else [forced, *phases]
