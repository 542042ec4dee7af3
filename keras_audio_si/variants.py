"""The rows of the paper's tables by name: a pooling mechanism, and what else the row changes."""

import dataclasses
import difflib

from keras_audio_si.layers.pooling_names import EXAMPLES, build_pooling

MODELS = {"vgg41": 1.0, "vgg42": 2.0}  # Factor on the number of filters.

# mAP on the evaluation set of FSD50K, mean and deviation of three runs (fonseca2021, Tables I and II).
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

TABLES = {  # Rows by table. The column of Table II without mixup is in Table I.
    "I": tuple(name for name in PAPER_MAP if "mixup" not in name),
    "II": tuple(name for name in PAPER_MAP if "mixup" in name),
    "III": ("baseline", "tlpf5+aps"),
}
SOURCES = ("default", "paper", "released")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A network with a pooling mechanism, and how it is trained.

    Args:
        pooling: Name of the pooling; see `layers.build_pooling`.
        intra_block_pooling: Whether a dense 3x3 max pooling stands between the convolutions of a block.
        mixup: Whether the training mixes examples.
        model: `"vgg41"` or `"vgg42"`.

    Raises:
        ValueError: If the pooling or the model is unknown; the message names the nearest known one.

    Example:

    >>> Variant(pooling="tlpf5+aps", mixup=True).name
    'tlpf5+aps+mixup'

    Reference:
        Fonseca et al., 2021, Tables I to III.
    """

    pooling: str = "max"
    intra_block_pooling: bool = False
    mixup: bool = False
    model: str = "vgg41"

    def __post_init__(self):
        if self.model not in MODELS:
            raise ValueError(f"unknown model {self.model!r}; {did_you_mean(self.model, MODELS)}")
        build_pooling(self.pooling)

    @classmethod
    def parse(cls, name):
        """Reads a name: "baseline" or a pooling, then "+ibp", "+mixup" and "+vgg42" where they apply.

        Args:
            name: Such as `"baseline"`, `"tlpf1x5+ibp"` or `"tlpf5+aps+mixup+vgg42"`.

        Returns:
            A `Variant`.

        Raises:
            ValueError: If the name is unknown; the message names the nearest known one.

        Example:

        >>> Variant.parse("ibp+mixup")
        Variant(pooling='max', intra_block_pooling=True, mixup=True, model='vgg41')
        """
        pooling, traits = name.split("+"), set()
        while pooling and pooling[-1] in {"ibp", "mixup", *MODELS} - traits:
            traits.add(pooling.pop())
        pooling = "+".join(pooling) or ("baseline" if traits else "")
        try:
            return cls(
                pooling="max" if pooling == "baseline" else pooling,
                intra_block_pooling="ibp" in traits,
                mixup="mixup" in traits,
                model="vgg42" if "vgg42" in traits else "vgg41",
            )
        except ValueError:
            hint = did_you_mean(name, [*PAPER_MAP, *EXAMPLES])
            raise ValueError(f"unknown variant {name!r}; {hint}") from None

    def as_in(self, source):
        """The same row, with APS as one of the sources has it where the paper and its released code differ.

        Args:
            source: `"paper"`: the entrywise norm of eq. (2). `"released"`: the code's norm, the largest one of a single
                channel, and where the row has no filter the 5x5 blur that its APS mode always applies. `"default"`: the
                code's norm without that blur, as the name of the row says.

        Returns:
            A `Variant`.

        Raises:
            ValueError: If the source is none of these.

        Example:

        >>> [Variant.parse(name).as_in("paper").name for name in ("aps", "tlpf5+aps", "aps-l2")]
        ['aps-l1', 'tlpf5+aps-l1', 'aps-l2']
        >>> [Variant.parse(name).as_in("released").name for name in ("aps", "tlpf5+aps", "aps-l2")]
        ['blur5+aps', 'tlpf5+aps', 'blur5+aps-l2']
        """
        if source not in SOURCES:
            raise ValueError(f"unknown source {source!r}; {did_you_mean(source, SOURCES)}")
        *filters, last = self.pooling.split("+")
        if source == "paper" and last == "aps":
            last = "aps-l1"
        if source == "released" and last.startswith("aps") and not filters:
            filters = ["blur5"]
        return dataclasses.replace(self, pooling="+".join([*filters, last]))

    @property
    def name(self):
        """The name that `parse` reads."""
        parts = [] if self.pooling == "max" else [self.pooling]
        parts += ["ibp"] if self.intra_block_pooling else []
        parts = parts or ["baseline"]
        parts += ["mixup"] if self.mixup else []
        return "+".join(parts + ([] if self.model == "vgg41" else [self.model]))


def did_you_mean(name, known):
    """Words that name the nearest of the known names.

    Example:

    >>> did_you_mean("vgg43", ["vgg42", "other"])
    "did you mean 'vgg42'? Known: vgg42, other"
    """
    known = list(dict.fromkeys(known))
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"did you mean {nearest!r}? Known: {', '.join(known)}"
