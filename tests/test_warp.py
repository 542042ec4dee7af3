"""The warp in closed form against Algorithm 1 walked through frame by frame, its gradients against differences."""

import contextlib
import itertools

import keras
import numpy as np
import pytest
from harness import computed, numpy
from keras import ops

from keras_audio_si.ops import guide, warp
from keras_audio_si.ops.frame_pooling import pooled_frames, scaled_divmod
from keras_audio_si.ops.xla import portable_operations


def walked(scores, num_frames):
    """Algorithm 1 in float64: fill output frames one after the other, dividing what does not fit; `(t, T)`."""
    matrix = np.zeros((num_frames, len(scores)))
    row, room = 0, 1.0
    for frame, score in enumerate(scores):
        while score > 1e-12 and row < num_frames:
            part = min(score, room)
            matrix[row, frame] += part
            score, room = score - part, room - part
            if room < 1e-9:
                row, room = row + 1, 1.0
    return matrix


def rescaled(scores, num_frames, rescale):
    """The formulas of the paper and of the released code, in float64."""
    scores = scores * num_frames / scores.sum()
    scores = scores / max(scores.max(), 1)
    missing = num_frames - scores.sum()
    if rescale == "released" and missing >= 1:
        inside = (scores > 1e-4) & (scores < 1 - 1e-4)
        share = min(missing / max((1 - scores[inside]).sum(), 1e-9), 1)
        scores = np.where(inside, scores + (1 - scores) * share, scores)
    return scores


def features(x, scores, num_frames, rescale, encoding):
    """What DiffRes makes of one example, with dense matrices in float64: mean, maximum and encoding."""
    matrix = walked(rescaled(scores, num_frames, rescale), num_frames)
    linear = np.exp(x)
    return np.stack([matrix @ linear, (matrix[:, :, None] * linear).max(axis=1), matrix @ encoding], axis=-1)


def merged(both, num_frames, rescale, encoding):
    """The same by the package, of features with the scores as the last one."""
    x, scores = both[..., :-1], both[..., -1]
    found = warp.warp_of(warp.rescale_scores(scores, num_frames, rescale))
    return ops.stack(warp.merge_frames(ops.exp(x), found, num_frames, positions=encoding), axis=-1)


def gradient(function, x):
    """The gradient of a scalar function of one array; on JAX compiled."""
    x = ops.convert_to_tensor(x)
    if keras.backend.backend() == "jax":
        import jax

        return numpy(jax.jit(jax.grad(function))(x))
    if keras.backend.backend() == "torch":
        x.requires_grad_()
        function(x).backward()
        return numpy(x.grad)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return numpy(tape.gradient(y, x))


def close(got, wanted, tolerance=1e-4):
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("rescale, num_frames", [("released", 5), ("paper", 11)])
def test_features_and_their_gradients(rng, rescale, num_frames):
    """Differences of the slow formulas in float64 are exact to some 1e-6."""
    both = rng.standard_normal((2, 16, 4))
    both[..., -1] = rng.uniform(0.02, 1, (2, 16)) ** 3
    encoding = warp.positional_encoding(16, 3)
    weights = rng.standard_normal((2, num_frames, 3, 3))

    def slow(both):
        return np.stack([features(e[:, :-1], e[:, -1], num_frames, rescale, encoding) for e in both])

    settings = {"num_frames": num_frames, "rescale": rescale, "encoding": encoding}
    close(computed(merged, both.astype("float32"), **settings), slow(both), 1e-5)
    wanted = np.zeros_like(both)
    for place in np.ndindex(both.shape):
        step = np.zeros_like(both)
        step[place] = 1e-6 * max(abs(both[place]), 0.1)
        wanted[place] = ((slow(both + step) - slow(both - step)) * weights).sum() / (2 * step[place])
    weights = ops.convert_to_tensor(weights, "float32")
    got = gradient(lambda both: ops.sum(merged(both, **settings) * weights), both.astype("float32"))
    close(got, wanted, 2e-4)


@pytest.mark.parametrize("num_frames, scores", [(1, "random"), (24, "random"), (24, "ones"), (6, "equal"), (9, "few")])
def test_extreme_numbers_of_frames(rng, num_frames, scores):
    made = {"random": rng.random(24), "ones": np.ones(24), "equal": np.full(24, 0.25), "few": np.zeros(24)}[scores]
    made[5] = max(made[5], 0.9)
    wanted = rescaled(made, num_frames, "released")
    got = computed(warp.rescale_scores, made[None].astype("float32"), num_frames=num_frames)
    close(got[0], wanted, 1e-6)
    matrix = computed(lambda s: warp.warp_matrix(warp.warp_of(s), num_frames), got)
    np.testing.assert_allclose(matrix[0], walked(wanted, num_frames), atol=2e-6)


def test_positions_of_long_clips_are_exact(rng):
    """A cumulative sum in float32 is off by some 1e-3 after 10,000 frames."""
    scores = rng.random((1, 10000)).astype("float32") ** 4
    found = [numpy(part)[0] for part in warp.warp_of(scores)]
    ends = np.cumsum(scores[0], dtype="float64")
    begins = ends - scores[0]
    np.testing.assert_array_equal(found[0], np.floor(begins))
    np.testing.assert_allclose(found[1], np.minimum(ends, found[0] + 1) - begins, atol=3e-6)
    np.testing.assert_allclose(found[2], np.maximum(ends - found[0] - 1, 0), atol=3e-6)


def test_whole_frames(rng):
    """Equation 5 as it stands."""
    scores = rng.random((1, 30)).astype("float32") * 0.5
    matrix = numpy(warp.warp_matrix(warp.warp_of(scores, even=False), 9))[0]
    ends = np.cumsum(scores[0])
    wanted = [[s if i < end <= i + 1 else 0 for s, end in zip(scores[0], ends, strict=True)] for i in range(9)]
    np.testing.assert_array_equal(matrix, np.array(wanted, "float32"))
    x = rng.random((1, 30, 2)).astype("float32")
    mean, largest = warp.merge_frames(x, warp.warp_of(scores, even=False), 9)
    np.testing.assert_allclose(numpy(mean)[0], matrix @ x[0], atol=1e-6)
    np.testing.assert_allclose(numpy(largest)[0], (matrix[:, :, None] * x[0]).max(axis=1), atol=1e-6)


def test_scores_of_zero_count_as_equal():
    zeros, ones = np.zeros((1, 8), "float32"), np.ones((1, 8), "float32")
    mask = np.arange(8)[None] < 6
    for rescale in warp.RESCALES:
        got = [numpy(warp.rescale_scores(scores, 3, rescale)) for scores in (zeros, 0.1 * ones, 1e-30 * ones)]
        for one in got:
            np.testing.assert_allclose(one, 3 / 8, rtol=1e-6)
        np.testing.assert_allclose(numpy(warp.rescale_scores(zeros, 3, rescale, mask)), 0.5 * mask, rtol=1e-6)
        np.testing.assert_array_equal(numpy(warp.rescale_scores(zeros, 3, rescale, ~np.ones_like(mask))), 0)
    vjp = gradient(lambda s: ops.sum(warp.rescale_scores(s, 3) ** 2), zeros)
    assert np.isfinite(vjp).all()


def test_equal_maxima_share_the_gradient():
    scores, x = np.full((1, 8), 0.25, "float32"), np.full((1, 8, 1), 2.0, "float32")

    def largest(x):
        return ops.sum(warp.merge_frames(x, warp.warp_of(scores), 2, ["max"])[0])

    np.testing.assert_allclose(gradient(largest, x), 0.25 / 4, rtol=1e-6)


def test_angles_of_long_clips(rng):
    assert warp.positional_encoding(5, 3).shape == (5, 3)
    wanted = np.sin(np.arange(9000) * np.exp(-np.log(10000) * 2 / 5))
    np.testing.assert_allclose(warp.positional_encoding(9000, 5)[:, 2], wanted, atol=1e-6)
    if keras.backend.backend() == "tensorflow":  # The one backend with a number of frames that is not known.
        import tensorflow as tf

        traced = tf.function(lambda n: warp.positional_encoding(n, 5))
        np.testing.assert_allclose(numpy(traced(tf.constant(9000))), warp.positional_encoding(9000, 5), atol=1e-6)


@pytest.mark.parametrize("frames, output_frames", [(7, 3), (10, 10), (11, 1), (1, 1), (64, 9)])
def test_adaptive_pooling(rng, frames, output_frames):
    x = rng.standard_normal((2, frames, 2)).astype("float32")
    bounds = [(i * frames // output_frames, -(-(i + 1) * frames // output_frames)) for i in range(output_frames)]
    padded = np.pad(x, ((0, 0), (0, 3), (0, 0)))
    lengths = [np.full(2, n, "int32") for n in (frames, output_frames)]

    def alone(x):
        return pooled_frames(x, output_frames, frames, output_frames, ("max", "mean"))

    def of_lengths(x, *lengths):
        return pooled_frames(x, output_frames + 1, *lengths, ("max", "mean"))

    for got in (computed(alone, x), computed(of_lengths, padded, *lengths)):
        for value, reduce in zip(got, (np.max, np.mean), strict=True):
            wanted = np.stack([reduce(x[:, a:b], axis=1) for a, b in bounds], axis=1)
            np.testing.assert_allclose(value[:, :output_frames], wanted, rtol=1e-5, atol=1e-6)


def test_products_beyond_32_bits():
    index = np.array([0, 1, 1023, 1024, 700001, 999999], "int32")
    for numerator, denominator in ((1000000, 999999), (999999, 1000000), (12345, 1000000)):
        got = scaled_divmod(ops.convert_to_tensor(index), np.int32(numerator), np.int32(denominator))
        wanted = np.divmod(index.astype("int64") * numerator, denominator)
        for value, right in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(numpy(value), right)


class TestGuide:
    scores = np.array([[0.9, 0.1, 0.5, 0.3], [0.2, 0.8, 0.4, 0.6]], "float32")
    frames = np.array([[0.0, 1.0, 5e-5, 1.0], [1.0, 1.0, 1.0, 1.0]], "float32")[:, :, None]

    def test_paper(self):
        empty, active = guide.empty_frames(self.frames)
        np.testing.assert_array_equal(numpy(empty), [[True, False, True, False], [False] * 4])
        loss = numpy(guide.guide_loss(self.scores, empty, 0.25, form="paper"))
        np.testing.assert_allclose(loss, [np.mean([0.9 / 0.75 - 0.5, 0.5 / 0.75 - 0.5]), 0], rtol=1e-6)
        spread = numpy(guide.activeness(self.scores, empty, active, 0.25))
        np.testing.assert_allclose(spread, [0.1 / 0.75, np.std(self.scores[1]) / 0.75], rtol=1e-5)

    def test_hinge_is_a_part_of_the_even_score(self):
        """At 25 of 100 frames, with λ = 0.8, an empty frame may have 0.2; 0.9 and 0.5 are above, 0.1 is not."""
        empty = np.array([[True, True, True, False], [False] * 4])
        kept = np.float32([0.25, 0.25])
        for rate in (0.25, kept):  # For all, or for each example.
            loss = numpy(guide.guide_loss(self.scores, empty, rate, 0.8))
            np.testing.assert_allclose(loss, [(0.7 + 0.0 + 0.3) / 3, 0], rtol=1e-6)
        vjp = gradient(lambda s: ops.sum(guide.guide_loss(s, empty, 0.25, 0.8)), self.scores)
        np.testing.assert_allclose(vjp, np.array([[1, 0, 1, 0], [0] * 4]) / 3, rtol=1e-6)

    def test_even_scores_of_empty_frames_cost_something_at_every_rate(self):
        """The paper's form begins above them from a rate of 2/3 on."""
        empty = np.ones((1, 4), bool)
        for kept in (0.1, 0.25, 0.3, 0.5, 0.9):
            even = np.full((1, 4), kept, "float32")
            losses = [float(numpy(guide.guide_loss(even, empty, kept, form=form))[0]) for form in ("hinge", "paper")]
            np.testing.assert_allclose(losses, [kept / 2, max(kept / (1 - kept) - 0.5, 0)], rtol=1e-5, atol=1e-7)

    def test_emptiness_of_an_example_depends_on_its_batch_as_released_alone(self):
        louder = np.concatenate([self.frames + 0.1, self.frames[:1]])
        for emptiness, found in (("rms", [0, 0]), ("released", [1, 0])):
            alone, together = (numpy(guide.empty_frames(x, emptiness)[0]) for x in (louder[:2], louder))
            assert alone.sum(axis=1).tolist() == found and not together[:2].any()

    @pytest.mark.parametrize("form", ["hinge", "paper"])
    def test_nothing_to_reduce(self, form):
        empty, active = guide.empty_frames(self.frames)
        assert not numpy(guide.guide_loss(self.scores, empty, 1.0, form=form)).any()
        assert not numpy(guide.activeness(self.scores, empty, active, 1.0)).any()
        vjp = gradient(lambda s: ops.sum(guide.guide_loss(s, empty, 1.0, form=form)), self.scores)
        assert not vjp.any()

    def test_padding_is_neither_empty_nor_active(self):
        mask = np.array([[True, True, False, False], [False] * 4])
        for form, emptiness in itertools.product(guide.GUIDE_FORMS, guide.EMPTINESS):
            empty, active = guide.empty_frames(self.frames, emptiness, mask)
            np.testing.assert_array_equal(numpy(empty), [[True, False, False, False], [False] * 4])
            for values in (
                guide.guide_loss(self.scores, empty, 0.25, form=form),
                guide.activeness(self.scores, empty, active, 0.25, "released" if form == "released" else "paper"),
            ):
                assert np.isfinite(numpy(values)).all() and numpy(values)[1] == 0

    def test_unknown_forms(self):
        with pytest.raises(ValueError, match="`emptiness` must be one of 'rms', 'released'. Received"):
            guide.empty_frames(self.frames, "paper")
        with pytest.raises(ValueError, match="`form` must be one of .*Received: form='paperr'"):
            guide.guide_loss(self.scores, self.scores > 0, 0.25, form="paperr")
        with pytest.raises(ValueError, match="`rescale` must be one of 'released', 'paper'. Received: rescale='sum'"):
            warp.rescale_scores(self.scores, 2, "sum")


def test_fixed_point_numbers_of_exports_are_the_same(rng):
    values = np.array([0, 1, 2**-30, 2**-31, 3 * 2.0**-31, 0.5, 1 - 2**-24, *rng.random(10000)], "float32")
    steps = np.round(values.astype("float64") * 2**30).astype("int32")
    for block in (contextlib.nullcontext(), portable_operations()):
        with block:
            np.testing.assert_array_equal(numpy(warp._fixed_point(ops.convert_to_tensor(values))), steps)
            np.testing.assert_array_equal(numpy(warp._float(ops.convert_to_tensor(steps))), np.float32(steps) / 2**30)
