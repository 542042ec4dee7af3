"""Training: the fit loop with its settings, label mixing in the step, stages, spectrogram forcing."""

from keras_audio_si.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "adaptation": "adapt",
        "augmented_model": "AugmentedModel",
        "fit_loop": "TrainingResult fit",
        "forcing": "forcing_model normalised spectrogram_statistics",
        "freezing": "training_only",
        "icebreaker_stages": "icebreaker",
        "settings": "TrainingSettings",
        "stages": "Stage train_stages",
    },
)
