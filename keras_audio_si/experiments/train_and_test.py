"""One run of an experiment: a model is trained, in one piece or in stages, and measured on the test clips."""

import keras

from keras_audio_si.evaluation.patches import check_single_labels
from keras_audio_si.experiments.icebreaker import train_in_stages
from keras_audio_si.experiments.model import build_augmentation, build_model
from keras_audio_si.experiments.run import cut_patches, measured, run_callbacks, shifted_patches
from keras_audio_si.models.loading import load_model
from keras_audio_si.training.fit_loop import fit
from keras_audio_si.visualization.pictures import write_pictures


def train_and_test(splits, settings, run):
    """Trains a model and measures it on the test clips.

    Args:
        splits: Dict of the `ClipCache` of "train", "test" and, unless none are held out, "val".
        settings: `Settings`. The seed of its training sets the initial weights, the order of the data and all draws.
        run: `Run`

    Returns:
        Dict of the measured values by name, "parameters" first.
    """
    if settings.stages.icebreaker:
        return train_in_stages(splits, settings, run)
    keras.utils.set_random_seed(settings.training.seed)
    model = build_model(splits["train"].manifest.class_names, settings)
    # Before the training, so that unusable clips are reported early.
    shifted = shifted_patches(model, splits["test"], settings) if settings.evaluation.protocols else None
    patches = {split: cut_patches(model, cache, settings, run, split) for split, cache in splits.items()}
    if settings.evaluation.patch_scores:
        check_single_labels(patches["test"])
    seen = patches.get("val", patches["train"])  # Clips that pictures are made of.
    result = fit(
        model,
        patches["train"],
        patches.get("val"),
        settings.training,
        run.folder,
        callbacks=run_callbacks(model, seen, run),
        augmentation=build_augmentation(settings),
        teacher=None if run.teacher is None else load_model(run.teacher / "model.keras"),
        verbose=run.verbose,
        **run.saving,
    )
    if settings.evaluation.patch_scores:
        write_pictures({settings.model.network: model}, seen, run.folder)
    return measured(model, patches, settings, run, [result], shifted)
