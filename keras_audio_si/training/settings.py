"""Settings of a training."""

import dataclasses

from keras_audio_si.checks import check_choice, check_integer, check_interval, new_names

LOSSES = ("score-bce", "bce", "softmax", "softmax-or-bce", "mse")
REDUCTIONS = ("mean", "batch-mean", "sum")
UPDATES = ("step", "released")  # Of the averages of weights.
PATCH_MONITORS = ("val_patch_balanced_accuracy", "val_vote_balanced_accuracy", "val_mean_balanced_accuracy")
FORCING_MONITOR = "val_explained_variance"
MONITORS = ("val_mAP", "val_d_prime", "val_accuracy", *PATCH_MONITORS, FORCING_MONITOR)
OPTIMIZERS = ("adam", "adam-l2", "adamw", "sgd")
SCHEDULES = ("plateau", "one-cycle", "warm-up-and-decay", "constant")
CLIPPED = ("global", "variable")

_OPTIONAL = ("early_stopping_patience", "mixup_alpha", "gradient_clip_norm", "epsilon", "ema_decay")  # May be None.
_INTEGERS = {  # By the least of them.
    1: ("batch_size", "epochs", "plateau_patience", "early_stopping_patience", "decay_every_epochs"),
    0: ("seed", "mixing_from_epoch", "warm_up_steps", "decay_start_epoch"),
}
_INTERVALS = {
    "(0, inf)": (
        "learning_rate",
        "teacher_temperature",
        "auxiliary_temperature",
        "mixup_alpha",
        "gradient_clip_norm",
        "epsilon",
    ),
    "[0, inf)": ("weight_decay", "teacher_weight", "auxiliary_feature_weight"),
    "(0, 1)": ("plateau_factor", "ema_decay"),
    "(0, 1]": ("mixup_probability", "decay_factor"),
    "[0, 1)": ("beta_1", "beta_2", "momentum", "label_smoothing", "auxiliary_weight"),
}


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Settings of `fit`; the defaults are those of fonseca2021. `docs/training.md` has the formulas.

    Mixed precision is not a setting of the training: it is set when the model is built, by
    `keras.config.set_dtype_policy`. Under `"mixed_float16"` the loss is scaled automatically.

    Args:
        learning_rate: Learning rate at the start; of a one-cycle schedule the largest.
        batch_size: Patches per batch, in training and validation.
        epochs: Largest number of epochs.
        plateau_patience: Epochs without improvement after which the learning rate is lowered.
        plateau_factor: Factor on the learning rate then; above 0 and below 1.
        early_stopping_patience: Epochs without improvement after which the training ends; None trains all `epochs`, as
            a one-cycle schedule needs.
        mixup_alpha: Parameter of the Beta distribution of mixup; None for no mixing. fonseca2021 has 1.25.
        mixup_probability: Probability that an example is mixed.
        mixup_gain_aware: Whether mixup levels the two clips first, so that its labels say how loud each is heard
            (`layers.MixUp` with `labels_by="loudness"`). For clips or augmentations of different levels.
        monitor: Logged value that measures improvement: val_mAP, val_d_prime or val_accuracy. For clips of one label
            each also `"val_patch_balanced_accuracy"`, `"val_vote_balanced_accuracy"` or `"val_mean_balanced_accuracy"`
            (`evaluation.patches`); with the loss `"mse"` `"val_explained_variance"`.
        mixing_from_epoch: First epoch with mixed labels, counted from 0. Before it, layers of the augmentation that may
            change labels are left out.
        restore_best_weights: Whether the model after the training, and its file, have the weights of the epoch with the
            best `monitor`; otherwise of the last epoch, which suits a one-cycle schedule and few validation clips.
        seed: Seed of the order of the patches and of the mixing. The initial weights are set where the model is built.
        jit_compile: Whether the step is compiled, by XLA or `torch.compile`; `"auto"` compiles under JAX, and under
            TensorFlow with a GPU.
        optimizer: Optimizer: adam, adamw, adam-l2 or sgd. The weight decay of `"adamw"` is decoupled and spares all
            variables of one axis; that of `"adam-l2"` is a term of the gradient of all variables, as in PyTorch's Adam;
            `"sgd"` has Nesterov's momentum.
        weight_decay: Weight decay: of adamw a factor on the learning rate, of adam-l2 one on the variable.
        beta_1: Decay of Adam's mean of gradients. The one-cycle schedule has its own.
        beta_2: Decay of Adam's mean of squares.
        epsilon: Adam's epsilon; None for 1e-7 of adam, 1e-8 of adamw and adam-l2. adamw, and adam with a one-cycle
            schedule, add it after the correction of bias, as PyTorch does, the others before it, as Keras does.
        momentum: Momentum of SGD.
        gradient_clip_norm: Largest L2 norm of the gradients; None for no limit.
        gradient_clip_by: Norm that is limited: "global", of all gradients together, or "variable", of each one.
        gradient_norms: Whether the norm of each layer's gradients is logged, its mean and maximum over every epoch.
        schedule: Learning rate over time: plateau, one-cycle, warm-up-and-decay or constant. `"plateau"` lowers it by
            the rules above; `"one-cycle"` moves it, and the momentum of Adam against it, by a function of the step, and
            so does `"warm-up-and-decay"`, by `schedules.WarmUpAndDecay`, whose arguments the next four are.
        warm_up_steps: Steps until the learning rate is `learning_rate`.
        decay_start_epoch: First epoch with a lower learning rate, counted from 0.
        decay_every_epochs: Epochs from one decay to the next.
        decay_factor: Factor on the learning rate at each decay.
        loss: Loss: score-bce, bce, softmax, softmax-or-bce or mse. `"score-bce"` is the binary cross-entropy of scores
            in [0, 1], for any model. Those of logits are for a model that ends in `layers.ClassScores`: `"bce"`,
            `"softmax"` (one label per example), or `"softmax-or-bce"`, the latter for the examples that an augmentation
            has mixed. `"mse"` is the squared error against the target that `fit` then needs.
        loss_reduction: Reduction of the loss: `"mean"` over the batch, and of `"bce"` over the classes as well;
            `"batch-mean"` sums over the classes, `"sum"` over both.
        label_smoothing: Share of a label that the softmax losses spread over the other classes. Examples that
            `"softmax-or-bce"` finds mixed keep theirs.
        ema_decay: Decay of moving averages of the weights, which are then validated and saved; None for none.
        ema_update: Period of `ema_decay`: `"step"`, a step; `"released"`, an epoch, with updates every fifth step, as
            in the released code of gazneli2022.
        teacher_weight: Factor on the loss against the logits of a teacher.
        teacher_temperature: Temperature that both logits are divided by for it.
        auxiliary_layers: Names of layers of the model after which classifiers are trained beside it (deep supervision).
            They learn from the labels and from the model, and are not saved.
        auxiliary_weight: Share of an auxiliary classifier's loss that is against the model's logits.
        auxiliary_feature_weight: Factor on the squared distance of its features from those of the model.
        auxiliary_temperature: Temperature that both logits are divided by for it.

    Raises:
        ValueError: If a value is out of its range, or does not go with another.

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
    mixup_alpha: float | None = None
    mixup_probability: float = 1.0
    mixup_gain_aware: bool = False
    mixing_from_epoch: int = 0
    monitor: str = "val_mAP"
    restore_best_weights: bool = True
    seed: int = 0
    jit_compile: bool | str = "auto"
    optimizer: str = "adam"
    weight_decay: float = 1e-5
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float | None = None
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
        for least, names in _INTEGERS.items():
            check_integer(least, **self._given(names))
        for interval, names in _INTERVALS.items():
            check_interval(interval, **self._given(names))
        for name, values in {
            "monitor": MONITORS,
            "jit_compile": (True, False, "auto"),
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "gradient_clip_by": CLIPPED,
            "gradient_norms": (True, False),
            "mixup_gain_aware": (True, False),
            "loss": LOSSES,
            "loss_reduction": REDUCTIONS,
            "ema_update": UPDATES,
        }.items():
            check_choice(name, getattr(self, name), values)
        self._check_optimizer()
        self._check_loss()

    @property
    def needs_validation(self):
        """Whether validation clips decide on the epoch, the learning rate or the end of the training."""
        chosen = self.restore_best_weights or self.early_stopping_patience is not None
        return chosen or self.schedule == "plateau" or self.loss == "mse"

    def _given(self, names):
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None or name not in _OPTIONAL}

    def _check_optimizer(self):
        if self.schedule == "one-cycle" and self.optimizer in ("adam-l2", "sgd"):
            raise ValueError(
                "`optimizer` must be 'adam' or 'adamw' with `schedule`='one-cycle', which cycles beta 1. "
                f"Received: optimizer={self.optimizer!r}"
            )
        if self.optimizer == "sgd" and self.epsilon is not None:
            raise ValueError(f"`epsilon` must be None with `optimizer`='sgd'. Received: epsilon={self.epsilon!r}")

    def _check_loss(self):
        if (self.loss == "mse") != (self.monitor == FORCING_MONITOR):
            raise ValueError(
                f"`loss`='mse' and `monitor`={FORCING_MONITOR!r} need each other. "
                f"Received: loss={self.loss!r}, monitor={self.monitor!r}"
            )
        if self.label_smoothing and "softmax" not in self.loss:
            raise ValueError(
                f"`label_smoothing` must be 0 with `loss`={self.loss!r}; the softmax losses take it. "
                f"Received: label_smoothing={self.label_smoothing}"
            )
        if self.loss in ("score-bce", "mse"):
            if self.loss_reduction != "mean":
                raise ValueError(
                    f"`loss_reduction` must be 'mean' with `loss`={self.loss!r}; 'bce' takes any. "
                    f"Received: loss_reduction={self.loss_reduction!r}"
                )
            if self.auxiliary_layers:
                raise ValueError(
                    "`auxiliary_layers` need a `loss` of logits: 'bce', 'softmax' or 'softmax-or-bce'. "
                    f"Received: loss={self.loss!r}"
                )


# An argument under its old name is an error that has the new one.
TrainingSettings.__init__ = new_names(TrainingSettings.__init__)
