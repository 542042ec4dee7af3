"""Audio classification for Keras 3, on TensorFlow, JAX and PyTorch.

Importing the package registers its layers, metrics and models, so that `keras.models.load_model` finds them. The rooms
that read files, train and draw (`data`, `training`, `evaluation`) are imported where they are used.
"""

from keras_audio_si import layers, metrics, models

__version__ = "0.1.0"

__all__ = ["layers", "metrics", "models"]
