"""DiffRes: a layer that learns the time resolution of a spectrogram (liu2022)."""

import typing

import keras
from keras import ops

from keras_audio_si.checks import check_choice, check_choices, check_interval
from keras_audio_si.layers.importance import ImportanceNetwork
from keras_audio_si.layers.resolution_layer import ResolutionLayer, within
from keras_audio_si.ops import guide
from keras_audio_si.ops.warp import (
    RESCALES,
    merge_frames,
    positional_encoding,
    rescale_scores,
    warp_matrix,
    warp_of,
)

AGGREGATIONS = ("mean", "max")

_FLOOR = 1e-12


class Warped(typing.NamedTuple):
    """Result of `DiffResLayer.warp`, for figures.

    Attributes:
        scores: float32 tensor of rescaled importance scores, `(batch, T)`.
        matrix: float32 tensor of weights, `(batch, t, T)`.
        features: The output of the layer in float32, `(batch, t, mel, channels)`.
    """

    scores: typing.Any
    matrix: typing.Any
    features: typing.Any


@keras.saving.register_keras_serializable(package="keras_audio_si")
class DiffResLayer(ResolutionLayer):
    """Merges the frames of a spectrogram by learned importance scores (DiffRes).

    A small network computes an importance score for every frame: the fraction of an output frame that it fills.
    Computed in float32 under every dtype policy; only the output is cast. Time and memory are linear in the number of
    frames.

    In training the layer adds a guide loss, which reduces the scores of empty frames. It accumulates the guide loss and
    the activeness of the scores for `training.activeness.ActivenessLog`.

    Args:
        reduction_rate: Share of the frames to save, from 0 to below 1: `t = int(T * (1 - reduction_rate))`, but at
            least 1. 0.75 if no target is given.
        num_frames: Or the number of output frames.
        frames_per_second: Or the output frames per second.
        input_frames_per_second: Input frames per second, for a target in output frames per second.
        aggregations: Some of "mean" and "max", a channel each.
        resolution_encoding: Whether the last channel is the encoding of the resolution.
        rescale: "released" (scores are raised until the output frames are filled) or "paper"; see
            `ops.warp.rescale_scores`.
        even: True divides frames so that every output frame has a total weight of 1 (Algorithm 1). False is the
            ablation without it: frames stay whole (eq. 5).
        guide_weight: Factor on the guide loss; 0 for none.
        guide_threshold: λ of the guide loss.
        guide_form: "hinge", "paper" or "released"; see `ops.guide.guide_loss`. "released" is that form of the
            activeness as well.
        guide_emptiness: Which frames are empty: "rms" (the paper: a root mean square below 1e-4) or "released" (next to
            the smallest mean of the whole batch, so that the guide loss of an example depends on its batch). None for
            "released" with that form, else "rms".
        dilations: Dilation of each of the five blocks of the importance network.
        negative_slope: Of its ReLU: 0 as released, or above for the leaky one of the paper.
        batch_norm_momentum: Momentum of its moving statistics.
        **kwargs: Keyword arguments of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `(batch, T, mel)`, natural logarithms of levels. `T` may be None. A mask of shape `(batch, T)` marks padding at
        the end of clips, see `ResolutionLayer`.

    Output shape:
        `(batch, t, mel, num_channels)`: the logarithm of the aggregations, then the encoding.

    Raises:
        ValueError: If an argument is out of range or unknown, or there is more than one target.

    Example:

    >>> layer = DiffResLayer(reduction_rate=0.75)
    >>> tuple(layer(np.zeros((2, 1000, 128), "float32")).shape)
    (2, 250, 128, 3)
    >>> DiffResLayer(frames_per_second=25, input_frames_per_second=100).output_frames(98)
    24

    Reference:
        Liu et al.: Learning the Spectrogram Temporal Resolution for Audio Classification, 2022, Algorithm 3.
    """

    def __init__(
        self,
        reduction_rate=None,
        num_frames=None,
        frames_per_second=None,
        input_frames_per_second=None,
        aggregations=AGGREGATIONS,
        resolution_encoding=True,
        rescale="released",
        even=True,
        guide_weight=1.0,
        guide_threshold=0.5,
        guide_form="hinge",
        guide_emptiness=None,
        dilations=(1, 1, 1, 1, 1),
        negative_slope=0.0,
        batch_norm_momentum=0.9,
        **kwargs,
    ):
        super().__init__(reduction_rate, num_frames, frames_per_second, input_frames_per_second, **kwargs)
        aggregations = tuple(aggregations)
        check_choices("aggregations", aggregations, AGGREGATIONS)
        if len(set(aggregations)) < len(aggregations):
            raise ValueError(f"`aggregations` must differ. Received: aggregations={aggregations!r}")
        check_choice("rescale", rescale, RESCALES)
        check_choice("guide_form", guide_form, guide.GUIDE_FORMS)
        check_choice("guide_emptiness", guide_emptiness, (None, *guide.EMPTINESS))
        check_interval("[0, inf)", guide_weight=guide_weight, guide_threshold=guide_threshold)
        self.aggregations, self.resolution_encoding = aggregations, resolution_encoding
        self.rescale, self.even = rescale, even
        self.guide_weight, self.guide_threshold = guide_weight, guide_threshold
        self.guide_form, self.guide_emptiness = guide_form, guide_emptiness
        self.importance = ImportanceNetwork(
            dilations, negative_slope, batch_norm_momentum, dtype="float32", name="importance"
        )

    @property
    def num_channels(self):
        return len(self.aggregations) + self.resolution_encoding

    def build(self, input_shape):
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.importance.build(input_shape)
        self.activeness_sum, self.guide_loss_sum, self.batch_count = (
            self.add_weight(
                name=name, shape=(), initializer="zeros", trainable=False, dtype="float32", aggregation="mean"
            )
            for name in ("activeness_sum", "guide_loss_sum", "batch_count")
        )

    def resample(self, x, mask, counts, training):
        scores = self._scores(x, mask, counts, training)
        if training:
            self._guide(x, scores, mask, counts)
        return self._features(x, warp_of(scores, self.even), counts)

    def warp(self, x, mask=None):
        """Returns the importance scores, the warp matrix and the output for spectrograms, as in inference.

        Args:
            x: Spectrograms, `(batch, T, mel)`.
            mask: bool tensor of shape `(batch, T)`, or None.

        Returns:
            `Warped`. The matrix has `batch * t * T` elements.
        """
        x, mask, counts = self._prepared(x, mask)
        scores = self._scores(x, mask, counts, training=False)
        warp = warp_of(scores, self.even)
        return Warped(scores, warp_matrix(warp, counts.output_frames), self._features(x, warp, counts))

    def importance_scores(self, x, mask=None):
        """Returns the rescaled importance scores of frames alone, as in inference.

        Args:
            x: Spectrograms, `(batch, T, mel)`.
            mask: bool tensor of shape `(batch, T)`, or None.

        Returns:
            float32 tensor of shape `(batch, T)`.
        """
        return self._scores(*self._prepared(x, mask), training=False)

    def _prepared(self, x, mask):
        """Spectrograms in float32, with zeros for padding, their mask and their `FrameCounts`."""
        if not self.built:
            self.build(x.shape)
        x = ops.cast(x, "float32")
        if mask is not None:
            x = ops.where(ops.expand_dims(mask, -1), x, 0.0)
        return x, mask, self.frame_counts(x, mask)

    def _scores(self, x, mask, counts, training):
        scores = ops.sigmoid(self.importance(x, mask=mask, training=training))
        if mask is not None:
            scores = ops.where(mask, scores, 0.0)
        wanted = ops.reshape(ops.cast(counts.output_lengths, "float32"), (-1, 1))
        return rescale_scores(scores, wanted, self.rescale, mask)

    def _features(self, x, warp, counts):
        encoding = positional_encoding(counts.frames, x.shape[-1]) if self.resolution_encoding else None
        merged = merge_frames(ops.exp(x), warp, counts.output_frames, self.aggregations, encoding)
        inside = within(counts.output_frames, counts.output_lengths)
        if inside is not None:
            merged = [ops.where(inside, y, 0.0) for y in merged]
        if "max" in self.aggregations:
            # A weight is `kept` on the average: this makes up for it.
            place = self.aggregations.index("max")
            merged[place] = merged[place] / ops.reshape(self._kept(counts), (-1, 1, 1))
        levels = len(self.aggregations)
        return ops.stack([*(ops.log(y + _FLOOR) for y in merged[:levels]), *merged[levels:]], axis=-1)

    def _kept(self, counts):
        """Output frames per input frame, `1 - δ`: as asked for, or of each example, whose one frame may be more."""
        kept = ops.cast(counts.output_lengths, "float32") / ops.maximum(ops.cast(counts.lengths, "float32"), 1.0)
        if "reduction_rate" in self.target:
            return ops.maximum(kept, 1 - self.target["reduction_rate"])
        if "frames_per_second" in self.target:
            return ops.maximum(kept, self.target["frames_per_second"] / self.target["input_frames_per_second"])
        return kept

    def _guide(self, x, scores, mask, counts):
        kept = self._kept(counts)
        form = "released" if self.guide_form == "released" else "paper"
        emptiness = self.guide_emptiness or ("released" if form == "released" else "rms")
        empty, active = guide.empty_frames(ops.exp(x), emptiness, mask)
        loss = ops.mean(guide.guide_loss(scores, empty, kept, self.guide_threshold, self.guide_form))
        if self.guide_weight:
            self.add_loss(self.guide_weight * loss)
        spread = ops.mean(guide.activeness(scores, empty, active, kept, form))
        self.activeness_sum.assign_add(ops.stop_gradient(spread))
        self.guide_loss_sum.assign_add(ops.stop_gradient(loss))
        self.batch_count.assign_add(1.0)

    def get_config(self):
        names = ("aggregations", "resolution_encoding", "rescale", "even")
        names += ("guide_weight", "guide_threshold", "guide_form")
        # Left out where it is None: a training by a version without it can be continued.
        names += () if self.guide_emptiness is None else ("guide_emptiness",)
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "dilations": self.importance.dilations,
            "negative_slope": self.importance.negative_slope,
            "batch_norm_momentum": self.importance.batch_norm_momentum,
        }
