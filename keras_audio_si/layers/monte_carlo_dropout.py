"""Monte Carlo dropout: dropout that is active in inference as well."""

import keras


@keras.saving.register_keras_serializable(package="keras_audio_si")
class MonteCarloDropout(keras.layers.Dropout):
    """Dropout that is active in inference as well, so that scores are random.

    The arguments are those of `keras.layers.Dropout`.

    Example:

    >>> y = MonteCarloDropout(0.5, seed=0)(np.ones((1, 1000), "float32"), training=False)
    >>> 300 < float(keras.ops.sum(y == 0)) < 700
    True

    Reference:
        The released code of juettner.
    """

    def call(self, inputs, training=True):
        return super().call(inputs, training=True)
