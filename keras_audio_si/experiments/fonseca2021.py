"""Tables I to III of fonseca2021: pooling mechanisms in VGG41 and VGG42 on FSD50K.

Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in Convolutional Neural
Networks, 2021. Rows are named by the pooling, then "+ibp" (intra-block pooling), "+mixup" and "+vgg42".
"""

import dataclasses

from keras_audio_si.checks import check_choice
from keras_audio_si.evaluation.report import Estimate
from keras_audio_si.evaluation.shift import PAPER_PROTOCOLS
from keras_audio_si.experiments.recipe import Recipe
from keras_audio_si.experiments.settings import Settings

SOURCES = ("default", "paper", "released")

# Section III. The defaults of `TrainingSettings` are the paper's.
SETTINGS = Settings().changed(
    network="vgg41", frames=101, sample_rate=22050, protocols=PAPER_PROTOCOLS, shared_validation_groups=True
)
MIXUP_ALPHA = 1.25

# mAP on the evaluation set of FSD50K, mean and deviation of three runs (Tables I and II).
PAPER_MAP = {
    "baseline": (0.457, 0.003),
    "blur3": (0.475, 0.002),
    "blur5": (0.476, 0.003),
    "tlpf3": (0.476, 0.003),
    "tlpf5": (0.479, 0.003),
    "tlpf6": (0.477, 0.001),
    "aps": (0.480, 0.001),
    "aps-l2": (0.460, 0.002),
    "ibp": (0.472, 0.002),
    "blur5+ibp": (0.479, 0.003),
    "tlpf5+ibp": (0.481, 0.002),
    "tlpf5+aps": (0.484, 0.002),
    "aps+ibp": (0.478, 0.001),
    "tlpf3+ibp": (0.478, 0.002),
    "tlpf4+ibp": (0.480, 0.004),
    "tlpf6+ibp": (0.480, 0.001),
    "tlpf1x4+ibp": (0.475, 0.005),
    "tlpf1x5+ibp": (0.480, 0.001),
    "tlpf1x6+ibp": (0.480, 0.002),
    "tlpf4x1+ibp": (0.469, 0.004),
    "tlpf5x1+ibp": (0.470, 0.004),
    "tlpf6x1+ibp": (0.472, 0.002),
    "baseline+mixup": (0.497, 0.003),
    "aps+mixup": (0.513, 0.003),
    "tlpf5+ibp+mixup": (0.511, 0.003),
    "tlpf5+aps+mixup": (0.514, 0.003),
    "baseline+mixup+vgg42": (0.523, 0.002),
    "aps+mixup+vgg42": (0.538, 0.004),
    "tlpf5+ibp+mixup+vgg42": (0.539, 0.002),
    "tlpf5+aps+mixup+vgg42": (0.541, 0.002),
}


def changes_of(row, source="default"):
    """Returns the settings that a row of the tables changes.

    Args:
        row: Such as "baseline", "tlpf1x5+ibp" or "tlpf5+aps+mixup+vgg42".
        source: What counts where the paper and its released code differ in APS. "paper": the entrywise norm of eq. (2).
            "released": the code's norm, the largest of a single channel, and where the row has no filter the 5x5 blur
            that its APS mode always applies. Both start trainable filters near a box. "default": the code's norm
            without that blur, as the row's name says, and trainable filters that start binomial.

    Example:

    >>> changes_of("tlpf5+ibp+mixup")
    {'network': 'vgg41', 'pooling': 'tlpf5', 'intra_block_pooling': True, 'mixup_alpha': 1.25}
    >>> [changes_of(row, "paper")["pooling"] for row in ("aps", "tlpf5+aps", "aps-l2")]
    ['aps-l1', 'tlpf5-box+aps-l1', 'aps-l2']
    >>> [changes_of(row, "released")["pooling"] for row in ("aps", "tlpf5+aps", "aps-l2")]
    ['blur5+aps', 'tlpf5-box+aps', 'blur5+aps-l2']
    """
    check_choice("source", source, SOURCES)
    pooling, traits = row.split("+"), set()
    while pooling and pooling[-1] in ("ibp", "mixup", "vgg42"):
        traits.add(pooling.pop())
    if pooling in ([], ["baseline"]):
        pooling = ["max"]
    if source != "default" and pooling[0].startswith("tlpf"):
        pooling[0] += "-box"
    if source == "paper" and pooling[-1] == "aps":
        pooling[-1] = "aps-l1"
    if source == "released" and pooling[0].startswith("aps"):
        pooling.insert(0, "blur5")
    changes = {"network": "vgg42" if "vgg42" in traits else "vgg41", "pooling": "+".join(pooling)}
    changes |= {"intra_block_pooling": True} if "ibp" in traits else {}
    return changes | ({"mixup_alpha": MIXUP_ALPHA} if "mixup" in traits else {})


def tables(source="default"):
    """Returns the rows of Tables I to III; the column of Table II without mixup is in Table I."""
    rows = {row: (changes_of(row, source), Estimate(*values)) for row, values in PAPER_MAP.items()}
    return {
        "I": {row: entry for row, entry in rows.items() if "mixup" not in row},
        "II": {row: entry for row, entry in rows.items() if "mixup" in row},
        "III": {row: rows[row] for row in ("baseline", "tlpf5+aps")},
    }


def _recipe(source):
    how = {"default": "", "paper": " (APS by eq. 2)", "released": " (APS as released)"}[source]
    return Recipe(
        "fonseca2021" if source == "default" else f"fonseca2021-{source}",
        f"Pooling mechanisms in VGG41 and VGG42 on FSD50K, Tables I to III{how}.",
        SETTINGS,
        tables(source),
        default_table="III",
    )


RECIPES = [_recipe(source) for source in SOURCES]

# The same rows on data of some hundred clips, by training settings that arrive in few steps.
SMALL = dataclasses.replace(
    RECIPES[0],
    name="fonseca2021-small",
    summary="The same rows with a training for some hundred clips, such as ESC-10: 18 minutes a pair on two cores.",
    settings=SETTINGS.changed(
        learning_rate=1e-3, batch_size=32, epochs=10, batch_norm_momentum=0.9, shared_validation_groups=False
    ),
)
RECIPES.append(SMALL)
