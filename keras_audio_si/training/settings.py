"""The settings of a training."""

import dataclasses
import math

from keras_audio_si.training.ema import UPDATES
from keras_audio_si.training.losses import LOSSES, REDUCTIONS

SEGMENT_MONITORS = ("val_segment_balanced_accuracy", "val_vote_balanced_accuracy", "val_mean_balanced_accuracy")
FORCING_MONITOR = "val_explained_variance"
MONITORS = ("val_mAP", "val_d_prime", "val_accuracy", *SEGMENT_MONITORS, FORCING_MONITOR)
OPTIMIZERS = ("adam", "adam-l2", "adamw", "sgd")
SCHEDULES = ("plateau", "one-cycle", "warm-up-and-decay", "constant")
CLIPPED = ("global", "variable")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of `fit`; the defaults are those of fonseca2021. `docs/training.md` has the formulas.

    Mixed precision is none of them: it is fixed when the model is built, by `keras.config.set_dtype_policy`.
    Under `"mixed_float16"` the loss is scaled by itself.

    Args:
        learning_rate: of the optimizer, at the start; with the one-cycle schedule its largest value.
        batch_size: patches per batch, in training and validation.
        epochs: largest number of epochs.
        plateau_patience: epochs without improvement after which the learning rate is multiplied by
            `plateau_factor`.
        plateau_factor: above 0 and below 1.
        early_stopping_patience: epochs without improvement after which the training ends; None to train all
            `epochs`, as a one-cycle schedule wants.
        mixup_alpha: parameter of the Beta distribution of `MixUp`; None for no mixing.
        mixup_probability: chance that an example is mixed.
        monitor: value that improvement is measured by: `"val_mAP"`, `"val_d_prime"` or `"val_accuracy"`; for clips of
            one label each `"val_segment_balanced_accuracy"`, `"val_vote_balanced_accuracy"` or
            `"val_mean_balanced_accuracy"` (`evaluation.segments`); with the loss `"mse"`
            `"val_explained_variance"`.
        seed: sets the order of the patches and the mixing. The initial weights are set where the model is
            built.
        jit_compile: whether the step is compiled, by XLA or `torch.compile`; `"auto"` compiles under JAX, and under
            TensorFlow with a GPU.
        optimizer: `"adam"`; `"adamw"`, whose weight decay is decoupled and spares all variables of one axis;
            `"adam-l2"`, whose weight decay is a term of the gradient of all variables, as in PyTorch's Adam; or
            `"sgd"`, with Nesterov's momentum.
        weight_decay: of AdamW, a factor on the learning rate; with L2, a factor on the variable.
        beta_1: decay of Adam's mean of gradients; the one-cycle schedule has its own.
        beta_2: decay of Adam's mean of squares.
        momentum: of SGD.
        gradient_clip_norm: largest L2 norm of the gradients; None for no limit.
        gradient_clip_by: `"global"`, the limit is for the norm of all gradients together, or `"variable"`, for that of
            each.
        gradient_norms: whether the norm of each layer's gradients is logged, its mean and maximum over every epoch.
        schedule: `"plateau"` lowers the learning rate by the rules above, `"one-cycle"` moves it, and the
            momentum of Adam against it, by a function of the step, and so does `"warm-up-and-decay"`, by
            `schedules.WarmUpAndDecay`, whose arguments the next four are; `"constant"` leaves it.
        warm_up_steps: steps until the learning rate is `learning_rate`.
        decay_start_epoch: first epoch with a lower one, counted from 0.
        decay_every_epochs: epochs from one decay to the next.
        decay_factor: what each decay multiplies by.
        loss: `"score-bce"`, binary cross-entropy of scores in [0, 1], for any model; or one of the logits, for
            a model that ends in `layers.ClassScores`: `"bce"`, `"softmax"` (one label per example), or
            `"softmax-or-bce"`, the latter for the examples that an augmentation has mixed. `"mse"` is the squared
            error against the target that `fit` then needs.
        loss_reduction: `"mean"` over batch and classes, `"batch-mean"` sums over the classes, `"sum"` over both.
        label_smoothing: share of a label that the softmax losses spread over the other classes; examples that
            `"softmax-or-bce"` finds mixed keep theirs.
        ema_decay: of moving averages of the weights, which are then what is validated and saved; None for none.
        ema_update: `"step"`, `ema_decay` is that of a step; `"released"`, that of an epoch, in updates every
            fifth step, as in the released code of gazneli2022.
        teacher_weight: factor on the loss against the logits of a teacher.
        teacher_temperature: that both logits are divided by for it.
        auxiliary_layers: names of layers of the model after which classifiers are trained beside it (deep
            supervision); they learn from the labels and from the model, and are not saved.
        auxiliary_weight: share of an auxiliary classifier's loss that is against the model's logits.
        auxiliary_feature_weight: factor on the squared distance of its features from those of the model.
        auxiliary_temperature: that both logits are divided by.

    Raises:
        ValueError: if a value is out of its range, or does not go with another.

    Example:

    >>> TrainingSettings(learning_rate=1e-3, epochs=5).batch_size
    128

    Reference:
        Fonseca et al., "Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
        Neural Networks", 2021, section III. gazneli2022, section 4. juettner, section 2.3.3.
    """

    learning_rate: float = 3e-5
    batch_size: int = 128
    epochs: int = 150
    plateau_patience: int = 10
    plateau_factor: float = 0.5
    early_stopping_patience: int | None = 20
    mixup_alpha: float | None = 1.25
    mixup_probability: float = 1.0
    monitor: str = "val_mAP"
    seed: int = 0
    jit_compile: bool | str = "auto"
    optimizer: str = "adam"
    weight_decay: float = 1e-5
    beta_1: float = 0.9
    beta_2: float = 0.999
    momentum: float = 0.9
    gradient_clip_norm: float | None = None
    gradient_clip_by: str = "global"
    gradient_norms: bool = False
    schedule: str = "plateau"
    warm_up_steps: int = 1000
    decay_start_epoch: int = 10
    decay_every_epochs: int = 5
    decay_factor: float = 0.5
    loss: str = "score-bce"
    loss_reduction: str = "mean"
    label_smoothing: float = 0.0
    ema_decay: float | None = None
    ema_update: str = "step"
    teacher_weight: float = 1.0
    teacher_temperature: float = 1.0
    auxiliary_layers: tuple[str, ...] = ()
    auxiliary_weight: float = 0.3
    auxiliary_feature_weight: float = 0.03
    auxiliary_temperature: float = 3.0

    def __post_init__(self):
        object.__setattr__(self, "auxiliary_layers", tuple(self.auxiliary_layers))
        for name in ("batch_size", "epochs", "plateau_patience", "early_stopping_patience", "decay_every_epochs"):
            value = getattr(self, name)
            if value is None and name == "early_stopping_patience":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1; received {value!r}.")
        for name in ("seed", "warm_up_steps", "decay_start_epoch"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be an integer of at least 0; received {getattr(self, name)!r}.")
        for name in ("learning_rate", "teacher_temperature", "auxiliary_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be a positive number; received {getattr(self, name)!r}.")
        for name in ("mixup_alpha", "gradient_clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be a positive number or None; received {value!r}.")
        for name in ("weight_decay", "teacher_weight", "auxiliary_feature_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` must be a number of at least 0; received {getattr(self, name)!r}.")
        if not 0 < self.plateau_factor < 1:
            raise ValueError(f"`plateau_factor` must be above 0 and below 1; received {self.plateau_factor!r}.")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"`ema_decay` must be above 0 and below 1, or None; received {self.ema_decay!r}.")
        for name in ("mixup_probability", "decay_factor"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be above 0 and at most 1; received {getattr(self, name)!r}.")
        for name in ("beta_1", "beta_2", "momentum", "label_smoothing", "auxiliary_weight"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 0 and below 1; received {getattr(self, name)!r}.")
        for name, values in {
            "monitor": MONITORS,
            "jit_compile": (True, False, "auto"),
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "gradient_clip_by": CLIPPED,
            "gradient_norms": (True, False),
            "loss": LOSSES,
            "loss_reduction": REDUCTIONS,
            "ema_update": UPDATES,
        }.items():
            if getattr(self, name) not in values:
                raise ValueError(f"`{name}` must be one of {values}; received {getattr(self, name)!r}.")
        if self.optimizer == "adam-l2" and self.schedule == "one-cycle":
            raise ValueError("`optimizer`='adam-l2' has no cycle of beta 1: take 'adamw' with `schedule`='one-cycle'.")
        self._check_loss()

    def _check_loss(self):
        if self.optimizer == "sgd" and self.schedule == "one-cycle":
            raise ValueError("`schedule` must be 'plateau' or 'constant' with `optimizer`='sgd'; received 'one-cycle'.")
        if (self.loss == "mse") != (self.monitor == FORCING_MONITOR):
            raise ValueError(
                f"`loss`='mse' and `monitor`={FORCING_MONITOR!r} need each other; received {self.loss!r} and "
                f"{self.monitor!r}."
            )
        if self.label_smoothing and "softmax" not in self.loss:
            raise ValueError(f"`label_smoothing` must be 0 with `loss`={self.loss!r}; the softmax losses take it.")
        if self.loss in ("score-bce", "mse"):
            if self.loss_reduction != "mean":
                raise ValueError(f"`loss_reduction` must be 'mean' with `loss`={self.loss!r}; 'bce' takes any.")
            if self.auxiliary_layers:
                raise ValueError("`auxiliary_layers` need a `loss` of logits: 'bce', 'softmax' or 'softmax-or-bce'.")


def take_training_settings(settings):
    """Takes what `TrainingSettings` has out of flat keyword arguments.

    Args:
        settings: dict of settings by name, which loses them.

    Returns:
        Dict of those of `TrainingSettings`.

    Example:

    >>> settings = {"width": 0.5, "epochs": 3}
    >>> take_training_settings(settings), settings
    ({'epochs': 3}, {'width': 0.5})
    """
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    return {name: settings.pop(name) for name in names & settings.keys()}


def check_seeds(seeds):
    """Raises a `ValueError` unless seeds are different ones, at least one."""
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"`seeds` must be different integers, at least one. Received: {seeds!r}")
