"""Experiments: settings, models and runs from them, published recipes and presets, reports."""

from keras_audio_si.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "divisions": "divide",
        "model": "build_augmentation build_model",
        "presets": "preset",
        "recipe": "Recipe",
        "recipes": "RECIPES",
        "report": "RunScore summary",
        "runner": "run_experiment",
        "settings": "DataSettings EvaluationSettings ModelSettings Settings StageSettings",
    },
)
