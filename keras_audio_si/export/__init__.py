"""Export to SavedModel, ONNX and LiteRT; import and export of the published weights of EAT."""

from keras_audio_si.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "eat_weights": "export_state_dict import_state_dict",
        "formats": "export",
        "pytorch_files": "read_checkpoint write_checkpoint",
    },
)
