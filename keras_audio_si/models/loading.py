"""Loading of `.keras` files, which may come from anywhere, in Keras' safe mode."""

import keras


def load_model(path, compile=True):
    """Loads a saved model without running code from the file.

    In Keras' safe mode a layer can only be one of Keras, of this package, or one that was registered by
    `keras.saving.register_keras_serializable`; `Lambda` layers with Python code are refused.

    Args:
        path: Path of a `.keras` file.
        compile: Whether to restore the optimizer and the loss that it was saved with.

    Returns:
        `keras.Model`.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is no saved model, is damaged, would run code, or has larger layers than the memory can hold.
    """
    try:
        return keras.models.load_model(path, compile=compile, safe_mode=True)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # Of Keras, zipfile, zlib, json and h5py: a damaged file can raise anything.
        reason = " ".join(str(error).split()).partition(" Full object config")[0] or type(error).__name__
        raise ValueError(f"{path} is no saved model, or cannot be loaded: {reason[:1000]}") from error
