"""Warnings of settings that cannot do what they are for in a training of so many steps."""

import numpy as np
from keras import ops

from keras_audio_si.training.ema import decay_after

_START_EPOCHS = 2  # As long as the released averages forget at once.
_START_SHARE = 0.1
_FEW_STEPS = 300


def plan_warnings(settings, steps_per_epoch, augmented=False, mixed=False):
    """Lists what does not work in a training of this length.

    Args:
        settings: `TrainingSettings`.
        steps_per_epoch: Number of steps of an epoch.
        augmented: Whether waveforms are augmented.
        mixed: Whether labels are mixed.

    Returns:
        List of strings, each with the number that is wrong and what to set instead; empty if all is well.

    Example:

    >>> from keras_audio_si.training.settings import TrainingSettings
    >>> settings = TrainingSettings(epochs=35, ema_decay=0.995, ema_update="released")
    >>> print(*plan_warnings(settings, steps_per_epoch=13))
    `ema_decay`=0.995 per epoch is too slow for 35 epochs: at the end 85 % of the averages, which are validated and \
saved, are the weights after epoch 2. Set `ema_decay` to at most 0.86 or to None, or `ema_update` to 'step'.
    >>> plan_warnings(TrainingSettings(epochs=3500, ema_decay=0.995, ema_update="released"), steps_per_epoch=13)
    []
    """
    warnings = []
    steps = settings.epochs * steps_per_epoch
    if settings.ema_decay is not None and settings.ema_update == "released":
        share = start_share(settings.ema_decay, settings.ema_update, steps_per_epoch, settings.epochs)
        if share > _START_SHARE:
            enough = int(100 * 0.01 ** (1 / (settings.epochs - _START_EPOCHS))) / 100
            warnings.append(
                f"`ema_decay`={settings.ema_decay} per epoch is too slow for {settings.epochs} epochs: at the end "
                f"{100 * share:.0f} % of the averages, which are validated and saved, are the weights after epoch "
                f"{_START_EPOCHS}. Set `ema_decay` to at most {enough:g} or to None, or `ema_update` to 'step'."
            )
    if mixed and settings.mixing_from_epoch >= settings.epochs:
        warnings.append(
            f"`mixing_from_epoch`={settings.mixing_from_epoch} is after the last of {settings.epochs} epochs: no batch "
            "is mixed. Lower it, or leave the mixings out."
        )
    if settings.schedule == "warm-up-and-decay" and steps < settings.warm_up_steps:
        warnings.append(
            f"`warm_up_steps`={settings.warm_up_steps} are more than the {steps} steps of the training, in which the "
            "learning rate never reaches `learning_rate`. Lower it, or train for longer."
        )
    if settings.optimizer in ("adam", "sgd") and settings.weight_decay not in (0.0, type(settings).weight_decay):
        warnings.append(
            f"`weight_decay`={settings.weight_decay} has no effect with `optimizer`={settings.optimizer!r}: take "
            "'adamw' or 'adam-l2', or leave it out."
        )
    if augmented and mixed and steps < _FEW_STEPS:
        warnings.append(
            f"{steps} steps are too few for augmentation and mixing together: the network will underfit. Train for "
            f"{_FEW_STEPS} or more, or leave one of them out."
        )
    return warnings


def start_share(decay, update, steps_per_epoch, epochs):
    """Share that the average after the first two epochs has in that at the end of a training.

    Args:
        decay: As in `ema.decay_after`.
        update: As in `ema.decay_after`.
        steps_per_epoch: Number of steps of an epoch.
        epochs: Number of epochs.

    Returns:
        Number from 0 to 1; 0 if there are no more than two epochs.

    Example:

    >>> round(start_share(0.995, "released", steps_per_epoch=20, epochs=102), 3)
    0.606
    """
    steps = np.arange(_START_EPOCHS * steps_per_epoch, epochs * steps_per_epoch, dtype="int32")
    if not len(steps):
        return 0.0
    return float(np.prod(ops.convert_to_numpy(decay_after(steps, decay, update, steps_per_epoch)).astype("float64")))
