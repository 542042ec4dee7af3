"""Counts of what a LiteRT file takes, against those of a network of two layers by hand."""

import json

import numpy as np
import pytest

from keras_audio_si.export.litert_counts import count_litert

tf = pytest.importorskip("tensorflow", reason="the file is made by TensorFlow")
pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
pytestmark = pytest.mark.once


def test_a_convolution_and_a_product(tmp_path, rng):
    """Maps of 10x8x2 convolved by six kernels of 3x3, and the 480 values multiplied by a matrix to five."""
    kernel, matrix = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((3, 3, 2, 6), (480, 5)))

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 10, 8, 2), tf.float32)])
        def serving_default(self, x):
            return {"scores": tf.reshape(tf.nn.conv2d(x, kernel, 1, "SAME"), (1, 480)) @ matrix}

        @tf.function(input_signature=[])
        def metadata(self):
            text = json.dumps({"window_samples": 12000, "sample_rate": 8000}).encode()
            return {"json": tf.constant(np.frombuffer(text, np.uint8))}

    network = Network()
    signatures = {"serving_default": network.serving_default, "metadata": network.metadata}
    tf.saved_model.save(network, str(tmp_path / "saved"), signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"), signature_keys=list(signatures))
    (tmp_path / "two.tflite").write_bytes(converter.convert())
    counts = count_litert(tmp_path / "two.tflite")
    assert counts.seconds == 1.5
    assert counts.products == {"FLOAT32": 10 * 8 * 6 * 3 * 3 * 2 + 480 * 5}
    weights = 4 * (3 * 3 * 2 * 6 + 480 * 5)
    # And perhaps biases of zeros and the shape of the flat map.
    assert weights <= counts.weight_bytes <= weights + 4 * (6 + 5 + 2)
    # While the map is made flat there are two of it; the input is dead by then.
    assert counts.activation_bytes == 4 * (480 + 480)
