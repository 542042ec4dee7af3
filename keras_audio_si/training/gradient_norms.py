"""Norms of the gradients of each layer, computed in the compiled step and logged per epoch."""

import functools

import keras
from keras import ops


class GradientNorms:
    """Mixin of `with_gradient_norms` for optimizers: accumulates the L2 norm of the gradient of each layer.

    The sums are variables of the optimizer, so that checkpoints have them. The gradients are those before clipping.
    A layer is what a variable's path has before its last part, such as "mst_front_end/conv1"; a model that Keras has
    given its name to ("sequential_3") may have another one in the next process.
    """

    def build(self, variables):
        super().build(variables)
        layers = [variable.path.rpartition("/")[0] or variable.path for variable in variables]
        self.layer_names = list(dict.fromkeys(layers))
        self._layer_of = [self.layer_names.index(layer) for layer in layers]
        count = (len(self.layer_names),)
        self._norm_sums = self.add_variable(count, dtype="float32", name="gradient_norm_sums")
        self._norm_maxima = self.add_variable(count, dtype="float32", name="gradient_norm_maxima")
        self._norm_steps = self.add_variable((), dtype="float32", name="gradient_norm_steps")

    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        super().apply(grads, trainable_variables)
        squares = [0.0] * len(self.layer_names)
        for layer, gradient in zip(self._layer_of, grads, strict=True):
            if gradient is not None:
                squares[layer] += ops.sum(ops.square(ops.cast(gradient, "float32")))
        norms = ops.sqrt(ops.stack([ops.convert_to_tensor(square, "float32") for square in squares]))
        self._norm_sums.assign(self._norm_sums + norms)
        self._norm_maxima.assign(ops.maximum(self._norm_maxima, norms))
        self._norm_steps.assign(self._norm_steps + 1.0)

    def take_norms(self):
        """The norms since this was called last.

        Returns:
            Dict of `(mean, maximum)` over the steps, by layer.
        """
        steps = max(float(ops.convert_to_numpy(self._norm_steps)), 1.0)
        sums, maxima = (ops.convert_to_numpy(values) for values in (self._norm_sums, self._norm_maxima))
        for variable in (self._norm_sums, self._norm_maxima, self._norm_steps):
            variable.assign(ops.zeros(variable.shape))
        values = zip(self.layer_names, sums, maxima, strict=True)
        return {name: (float(total) / steps, float(maximum)) for name, total, maximum in values}


@functools.cache
def with_gradient_norms(optimizer_class):
    """An optimizer class that takes the norms of its gradients.

    Args:
        optimizer_class: Subclass of `keras.optimizers.Optimizer`.

    Returns:
        Subclass of it and of `GradientNorms`.

    Example:

    >>> kernel = keras.Variable(np.zeros((2, 2), "float32"), name="kernel")
    >>> optimizer = with_gradient_norms(keras.optimizers.SGD)(0.1)
    >>> optimizer.apply([keras.ops.ones((2, 2))], [kernel])
    >>> optimizer.take_norms()
    {'kernel': (2.0, 2.0)}
    """
    return type(optimizer_class.__name__, (GradientNorms, optimizer_class), {"__doc__": optimizer_class.__doc__})


class GradientNormLog(keras.callbacks.Callback):
    """Adds `gradient_norm/LAYER` and `gradient_norm_max/LAYER`, over the steps of each epoch, to its logs.

    It must come before the callbacks that read the logs, and before those that write checkpoints.

    Example:

    >>> callbacks = [GradientNormLog(), keras.callbacks.History()]

    Reference:
        juettner, section 2.3.3.
    """

    def on_epoch_end(self, epoch, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)  # of a loss scale
        for layer, (mean, maximum) in optimizer.take_norms().items():
            logs[f"gradient_norm/{layer}"], logs[f"gradient_norm_max/{layer}"] = mean, maximum
