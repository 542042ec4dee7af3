"""Attention pooling over time, with weights per class."""

from keras import ops

from keras_audio_si.ops.lengths import hide_padding

SMALLEST_ATTENTION = 1e-7  # Below it (and above one minus it) attention is cut off, as released: the sum is never 0.


def normalised_attention(logits, mask=None):
    """Turns attention logits into weights of the frames that sum to 1 over time.

    Args:
        logits: `(batch, time, ...)`
        mask: `(batch, time)` boolean, False for frames that get no weight, or None.

    Returns:
        Tensor of the same shape.

    Example:

    >>> weights = normalised_attention(np.float32([[[0.0], [0.0], [-20.0]]]))
    >>> print(np.round(keras.ops.convert_to_numpy(weights)[0, :, 0], 3))
    [0.5 0.5 0. ]

    Reference:
        Gong et al., "PSLA", 2021, section III-C.
    """
    attention = ops.clip(ops.sigmoid(logits), SMALLEST_ATTENTION, 1.0 - SMALLEST_ATTENTION)
    if mask is not None:
        attention = hide_padding(attention, mask)
    # Of no frame at all the sum is 0, else at least this.
    return attention / ops.maximum(ops.sum(attention, axis=1, keepdims=True), SMALLEST_ATTENTION)


def attention_pool(attention_logits, class_logits, head_weights, mask=None):
    """Averages the class scores of the frames by the attention of each head, and adds the heads up.

    Args:
        attention_logits: `(batch, time, heads, classes)`
        class_logits: `(batch, time, heads, classes)`
        head_weights: `(heads,)`
        mask: As for `normalised_attention`.

    Returns:
        `(batch, classes)` scores, in [0, 1] if the weights of the heads are not negative and add up to 1.

    Example:

    >>> logits = np.zeros((1, 5, 2, 3), "float32")
    >>> print(keras.ops.convert_to_numpy(attention_pool(logits, logits, np.float32([0.5, 0.5]))))
    [[0.5 0.5 0.5]]

    Reference:
        Gong et al., "PSLA", 2021, section III-C.
    """
    by_head = ops.sum(normalised_attention(attention_logits, mask) * ops.sigmoid(class_logits), axis=1)
    return ops.sum(by_head * head_weights[:, None], axis=1)
