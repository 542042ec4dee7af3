"""Logs of DiffRes: activeness of its scores and guide loss of every epoch (liu2022)."""

import keras

from keras_audio_si.training.callbacks import trained_model
from keras_audio_si.visualization.warped_clips import resolution_layers


class ActivenessLog(keras.callbacks.Callback):
    """Logs the activeness and the guide loss of the `DiffResLayer` of a model for each epoch.

    They are means over the training batches, the guide loss without its weight, under the names `activeness` and
    `guide_loss`; where a model has several such layers, under `<layer>_activeness` and `<layer>_guide_loss`. The
    callback must come before those that write logs. It works on the model itself and on a
    `training.AugmentedModel` around it.

    Raises:
        ValueError: If the model has no `DiffResLayer`.

    Example:

    >>> layer = keras_audio_si.layers.DiffResLayer(reduction_rate=0.5)
    >>> model = keras.Sequential([keras.Input((12, 8)), layer, keras.layers.GlobalAveragePooling2D()])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.zeros((4, 12, 8), "float32"), np.zeros((4, 3), "float32")
    >>> history = model.fit(x, y, verbose=0, callbacks=[ActivenessLog()])
    >>> sorted(history.history)
    ['activeness', 'guide_loss', 'loss']

    Reference:
        liu2022, eq. 4 and 7, Fig. 6, 7 and 8.
    """

    def on_train_begin(self, logs=None):
        if not self._layers():
            raise ValueError(f"The model {self.model.name!r} has no DiffResLayer: leave ActivenessLog out")
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        layers = self._layers()
        for layer in layers:
            prefix = f"{layer.name}_" if len(layers) > 1 else ""
            count = max(_number(layer.batch_count), 1.0)
            logs[f"{prefix}activeness"] = _number(layer.activeness_sum) / count
            logs[f"{prefix}guide_loss"] = _number(layer.guide_loss_sum) / count
        self._reset()

    def _reset(self):
        # Not when an epoch begins: one that is continued in its middle has sums in the checkpoint.
        for layer in self._layers():
            for variable in (layer.activeness_sum, layer.guide_loss_sum, layer.batch_count):
                variable.assign(0.0)

    def _layers(self):
        return resolution_layers(trained_model(self.model))


def _number(variable):
    return float(keras.ops.convert_to_numpy(variable))
