"""Frames and their sum against a loop."""

import numpy as np
import pytest
from functions import run

from keras_audio_si.ops import framing

SIGNAL = np.zeros((2, 100), "float32")


@pytest.mark.parametrize("samples, length, hop", [(1000, 480, 160), (37, 5, 3), (37, 4, 7), (9, 9, 2), (40, 8, 1)])
def test_frame_and_overlap_add_equal_a_loop(rng, samples, length, hop):
    x = rng.standard_normal((2, 3, samples)).astype("float32")
    starts = range(0, samples - length + 1, hop)
    expected = np.stack([x[..., s : s + length] for s in starts], axis=-2)
    frames = run(lambda v: framing.frame(v, length, hop), x)
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(run(lambda v: framing.frame(v, length, hop), x[0, 0]), expected[0, 0])

    summed = np.zeros((2, 3, starts[-1] + length))
    for t, s in enumerate(starts):
        summed[..., s : s + length] += expected[..., t, :]
    np.testing.assert_allclose(run(lambda v: framing.overlap_add(v, hop), frames), summed, atol=1e-5)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: framing.frame(SIGNAL, 101, 10), ValueError, r"one frame of 101 samples.*\(2, 100\)"),
        (lambda: framing.frame(SIGNAL, 10, 0), ValueError, "`hop_length` must be positive"),
        (lambda: framing.frame(SIGNAL.astype("int16"), 10, 5), TypeError, "real float type.*int16"),
    ],
)
def test_errors_say_what_was_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()
