"""Tables 2 to 7 of gazneli2022: EAT on ESC-50, UrbanSound8K, Speech Commands and AudioSet.

Gazneli, Zimerman, Ridnik, Sharir, Noy: End-to-End Audio Strikes Back: Boosting Augmentations Towards an Efficient Audio
Classification Network, 2022. The paper does not say how it chose the epoch; here validation clips choose it.
"""

from keras_audio_si.experiments.recipe import Recipe
from keras_audio_si.experiments.settings import MIXINGS, Settings

# Section 4, and from the released code and its commands what the paper does not state: order and ranges of the
# augmentations, the first epoch with mixed labels, the loss as a sum over the batch, gradients clipped to a norm of 1,
# epsilon and the second beta of AdamW, the form of the averages, the numbers of epochs, and clips at 22.05 kHz scaled
# to a peak of 0.95 and padded with silence.
SETTINGS = Settings().changed(
    network="eat-s",
    augment="eat-released",
    mixings=MIXINGS,
    mixing_from_epoch=12,
    sample_rate=22050,
    input_samples=114688,
    crops="random",
    short="zero",
    peak=0.95,
    learning_rate=5e-4,
    optimizer="adamw",
    weight_decay=1e-5,
    beta_2=0.99,
    epsilon=1e-4,
    gradient_clip_norm=1.0,
    schedule="one-cycle",
    early_stopping_patience=None,
    loss="softmax-or-bce",
    loss_reduction="sum",
    label_smoothing=0.1,
    ema_decay=0.995,
    ema_update="released",
    monitor="val_accuracy",
    epochs=3500,
    batch_size=128,
)
# The paper does not give the settings of its fine-tuning: a fifth of the learning rate, 100 epochs, no averages.
FINE_TUNING = {"learning_rate": 1e-4, "epochs": 100, "ema_decay": None}

# Each row of Table 6a has the mixings of those above it; 6b replaces parts of the network one after the other.
TABLE_6A = {
    f"a{number} {('no mixing', *MIXINGS)[number]}": ({"mixings": MIXINGS[:number]}, paper)
    for number, paper in enumerate((0.83, 0.865, 0.87, 0.901, 0.91))
}
TABLE_6B = {
    "b0 common blocks": ({"residual": "common", "aggregation": "convolution"}, 0.805),
    "b1 modified blocks": ({"residual": "modified", "aggregation": "convolution"}, 0.823),
    "b2 dilated blocks": ({"residual": "dilated", "aggregation": "convolution"}, 0.888),
    "b3 transformer": ({"residual": "dilated", "aggregation": "transformer"}, 0.908),
}
# Appendix A: without noise and mixings, as the paper says.
TABLE_7 = {
    content: ({"content": content, "augment_noise": False, "mixings": ()}, paper)
    for content, paper in {"phase": 0.6, "magnitude": 0.785, "both": 0.805, "waveform": 0.81}.items()
}


def _both_sizes(small, medium):
    return {"EAT-S": ({}, small), "EAT-M": ({"network": "eat-m"}, medium)}


RECIPES = [
    Recipe(
        "gazneli2022-esc50",
        "EAT on ESC-50, five folds: Table 2, the mixings (6a) and parts (6b), phase and magnitude (7).",
        SETTINGS,
        {"2": _both_sizes(0.9215, None), "6a": TABLE_6A, "6b": TABLE_6B, "7": TABLE_7},
        quantity="accuracy",
    ),
    Recipe(
        "gazneli2022-esc50-pretrained",
        "A trained EAT (--initial), such as one of AudioSet, on ESC-50: Table 2, pre-trained.",
        SETTINGS.changed(**FINE_TUNING),
        {"2": {"EAT-S": ({}, 0.9525)}},
        quantity="accuracy",
        needs_initial=True,
    ),
    Recipe(
        "gazneli2022-urbansound8k",
        "EAT on UrbanSound8K, ten folds: Table 3.",
        SETTINGS.changed(input_samples=90112),
        {"3": _both_sizes(0.855, None)},
        quantity="accuracy",
    ),
    Recipe(
        "gazneli2022-urbansound8k-pretrained",
        "A trained EAT (--initial), such as one of AudioSet, on UrbanSound8K: Table 3, pre-trained.",
        SETTINGS.changed(**FINE_TUNING, input_samples=90112),
        {"3": {"EAT-S": ({}, 0.881)}},
        quantity="accuracy",
        needs_initial=True,
    ),
    Recipe(
        "gazneli2022-speech-commands",
        "EAT on Speech Commands V2, 35 words: Table 4.",
        SETTINGS.changed(sample_rate=16000, input_samples=16384, factors=(4, 4, 4), epochs=1500),
        {"4": _both_sizes(0.9815, None)},
        quantity="accuracy",
    ),
    Recipe(
        "gazneli2022-audioset",
        "EAT on AudioSet, 527 classes: Table 5. Noises are classes, so none is added.",
        SETTINGS.changed(
            input_samples=221184,
            augment_noise=False,
            mixing_from_epoch=2,
            sampling="class_balanced",
            validation_split=0.05,
            loss="bce",
            label_smoothing=0.0,
            monitor="val_mAP",
            epochs=250,
            batch_size=208,
        ),
        {"5": _both_sizes(0.405, 0.426)},
    ),
]
