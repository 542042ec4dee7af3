"""Class token, learned positions and transformer blocks (gazneli2022, section 3.1)."""

import keras
import numpy as np
from keras import layers, ops


def interpolate_positions(positions, length):
    """Interpolates learned position embeddings linearly to another length; that of the class token is kept.

    Args:
        positions: Array of shape `(1, 1 + tokens, width)`, that of the class token first.
        length: New number of tokens behind it.

    Returns:
        float32 array of shape `(1, 1 + length, width)`.

    Example:

    >>> positions = np.array([9.0, 0.0, 2.0]).reshape(1, 3, 1)
    >>> print(interpolate_positions(positions, 4)[0, :, 0])
    [9.  0.  0.5 1.5 2. ]
    """
    token, rest = positions[0, :1], positions[0, 1:]
    # A position is that of the centre of the segment that a token covers.
    places = (np.arange(length) + 0.5) * len(rest) / length - 0.5
    stretched = np.stack([np.interp(places, np.arange(len(rest)), column) for column in rest.T], axis=1)
    return np.concatenate([token, stretched])[None].astype("float32")


@keras.saving.register_keras_serializable(package="keras_audio_si")
class ClassToken(keras.layers.Layer):
    """Puts a learned class token in front of a sequence and adds a learned position to every token.

    Both start at zero.

    Input shape:
        `(batch, tokens, width)`, the number of tokens known.

    Output shape:
        `(batch, 1 + tokens, width)`

    Raises:
        ValueError: If the number of tokens is not known.

    Example:

    >>> tuple(ClassToken()(keras.ops.ones((2, 7, 4))).shape)
    (2, 8, 4)

    Reference:
        gazneli2022, Fig. 4.
    """

    def build(self, input_shape):
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                "ClassToken takes sequences of shape (batch, tokens, width) of known size. "
                f"Received: shape={tuple(input_shape)}"
            )
        _, tokens, width = input_shape
        self.input_spec = layers.InputSpec(ndim=3, axes={1: tokens, 2: width})
        self.token = self.add_weight(name="token", shape=(1, 1, width), initializer="zeros")
        self.positions = self.add_weight(name="positions", shape=(1, 1 + tokens, width), initializer="zeros")

    def call(self, x):
        token = ops.broadcast_to(ops.cast(self.token, x.dtype), (ops.shape(x)[0], 1, x.shape[2]))
        return ops.concatenate([token, x], axis=1) + ops.cast(self.positions, x.dtype)

    def compute_output_shape(self, input_shape):
        batch, tokens, width = input_shape
        return (batch, 1 + tokens, width)


@keras.saving.register_keras_serializable(package="keras_audio_si")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and a feed-forward network, each added to its input and then normalised ("post-norm").

    Args:
        heads: Number of heads, of which each sees its share of the width.
        feed_forward_dim: Width of the hidden layer of the feed-forward network, whose activation is the exact GELU.
        dropout: Share that is dropped, in training, of the attention weights, of the hidden layer and of what each
            of the two parts adds.
        seed: Seed of the dropout.

    Input shape:
        `(batch, tokens, width)`

    Output shape:
        That of the input.

    Raises:
        ValueError: If the heads do not divide the width.

    Example:

    >>> layer = TransformerBlock(heads=2, feed_forward_dim=16)
    >>> tuple(layer(keras.ops.ones((2, 7, 8))).shape)
    (2, 7, 8)

    Reference:
        gazneli2022, section 3.1 and Table 9; Vaswani et al., "Attention Is All You Need", 2017.
    """

    def __init__(self, heads, feed_forward_dim, dropout=0.1, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.feed_forward_dim, self.dropout_rate, self.seed = heads, feed_forward_dim, dropout, seed
        common = {"dtype": self.dtype_policy}
        self.hidden = layers.Dense(feed_forward_dim, activation=_exact_gelu, name="hidden", **common)
        self.attention_norm, self.feed_forward_norm = (
            layers.LayerNormalization(epsilon=1e-5, name=f"{part}_norm", **common)
            for part in ("attention", "feed_forward")
        )
        self.dropout = layers.Dropout(dropout, seed=seed, name="dropout", **common)
        self.queries_keys_values = self.attended = self.contracted = None

    def build(self, input_shape):
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"`heads` must divide the width of the tokens, {width}. Received: heads={self.heads}")
        self.input_spec = layers.InputSpec(ndim=3, axes={-1: width})
        common = {"dtype": self.dtype_policy}
        self.queries_keys_values = layers.Dense(3 * width, name="queries_keys_values", **common)
        self.attended = layers.Dense(width, name="attended", **common)
        self.contracted = layers.Dense(width, name="contracted", **common)
        for part in (self.queries_keys_values, self.attended, self.hidden, self.attention_norm, self.feed_forward_norm):
            part.build(input_shape)
        self.contracted.build((*input_shape[:-1], self.feed_forward_dim))

    def call(self, x, training=False):
        attended = self.dropout(self.attend(x, training=training), training=training)
        x = self.attention_norm(x + attended)
        hidden = self.dropout(self.hidden(x), training=training)
        return self.feed_forward_norm(x + self.dropout(self.contracted(hidden), training=training))

    def attend(self, x, training=False):
        """Returns the output of the attention, without the residual."""
        tokens, width = ops.shape(x)[1], x.shape[2]
        heads = ops.reshape(self.queries_keys_values(x), (-1, tokens, 3, self.heads, width // self.heads))
        queries, keys, values = ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), 3)
        weights = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        weights = ops.softmax(ops.cast(weights, "float32") * (width // self.heads) ** -0.5)
        weights = self.dropout(ops.cast(weights, values.dtype), training=training)
        gathered = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        return self.attended(ops.reshape(gathered, (-1, tokens, width)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "feed_forward_dim": self.feed_forward_dim,
            "dropout": self.dropout_rate,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_audio_si")
def _exact_gelu(x):
    return ops.gelu(x, approximate=False)
