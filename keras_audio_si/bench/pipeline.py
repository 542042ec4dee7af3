"""`keras-audio-si bench pipeline`: throughput of decoding and batching, and how long training steps wait for data."""

import itertools
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import soundfile

from keras_audio_si.bench.timing import check_json_path, compare, compilation, precision_policy, report
from keras_audio_si.checks import check_integer
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.clip_files import ClipFiles
from keras_audio_si.data.datasets import read_dataset
from keras_audio_si.data.pipeline import PatchDataset
from keras_audio_si.data.preparation import prepare
from keras_audio_si.data.statistics import clip_statistics
from keras_audio_si.data.synthetic import write_dataset
from keras_audio_si.experiments.model import build_augmentation, build_model
from keras_audio_si.experiments.presets import preset
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.training.augmented_model import AugmentedModel
from keras_audio_si.training.fit_loop import augmentation_layers

SYNTHETIC_CLIPS = 200
ROWS_OF_BATCHES = 4  # Measured together, so that batches that were prepared ahead have little effect.


def bench_pipeline(
    data=None,
    layout="auto",
    sample_rate=16000,
    model="vgg41",
    pooling=None,
    width=None,
    batch_size=None,
    steps=5,
    rounds=9,
    jit_compile=None,
    precision="float32",
    json_path=None,
):
    """Measures the decoding, the batches alone, the training step alone, and the two together.

    The step is that of the preset "quick". The batches are those of `PatchDataset`: from the cache of decoded audio,
    and from the files and from shards of FLAC, which are decoded at each reading. Beside them, where the files are WAV
    of 16 bit, mono and of the wanted rate, are those of `keras.utils.audio_dataset_from_directory`, which decodes too.

    Args:
        data: Folder of a data set, or a manifest CSV file; None makes synthetic sounds in a temporary folder.
        layout: Layout of the data; see `data.datasets.read_dataset`.
        sample_rate: Rate that the audio is resampled to, in Hz.
        model: Name of the network.
        pooling: Its mechanism, see `layers.build_pooling`; None for its own.
        width: Factor on its number of filters; None for that of the preset.
        batch_size: Patches in a batch; None for that of the preset.
        steps: Batches in a round.
        rounds: Number of timed rounds, of which the median counts.
        jit_compile: Whether the step is compiled, by XLA or `torch.compile`; None: yes, but on PyTorch.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        json_path: JSON file to write as well, or None.

    Returns:
        List of dicts, one per source of the batches: `data`; milliseconds per batch or step (medians): `batch_ms` (to
        make one, alone), `step_ms` (with a batch at hand), `together_ms`, of which `waiting_ms` were spent on
        waiting for the batch; `waiting_share` of the time; `together_ratio` to the first row. Also printed as a
        table, with the decoding above it.

    Raises:
        ValueError: If a name is unknown, or there is no audio.
    """
    jit_compile, how = compilation(jit_compile)
    check_json_path(json_path)
    settings = {name: value for name, value in locals().items() if name not in ("how", "json_path")}
    check_integer(1, steps=steps)
    changes = {"sample_rate": sample_rate, "pooling": pooling, "width": width, "batch_size": batch_size}
    changes = {name: value for name, value in changes.items() if value is not None}
    preset("quick", model, **changes)  # Refuses what it does not know before anything is decoded.
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if data is None:
            manifest = write_dataset(folder / "data", SYNTHETIC_CLIPS, sample_rate, min_seconds=1.1, max_seconds=2.6)
        else:
            manifest = read_dataset(data, layout)
        cache, decoding = _decode(manifest, sample_rate, folder)
        chosen = preset("quick", model, clip_statistics(manifest), **changes)
        batch_size = chosen.training.batch_size
        training_model, layout = _training_model(chosen, cache.manifest.class_names, jit_compile, precision)
        cut = {"hop_samples": layout.hop_samples, "crops": chosen.data.crops, "peak": layout.peak}
        patches = {name: PatchDataset(clips, layout.patch_samples, **cut) for name, clips in _sources(cache, folder)}
        sources = {
            f"PatchDataset from {name}": _iterator(data.batches(batch_size, training=True, mixed=True))
            for name, data in patches.items()
        }
        obstacle = obstacle_to_keras(cache.manifest, sample_rate)
        if obstacle is None:
            plain = keras_batches(cache.manifest, folder / "links", batch_size, layout.patch_samples)
            # First, as what the others are compared with.
            sources = {"keras audio_dataset_from_directory": _iterator(plain), **sources}
        rows = _rows(sources, training_model, steps, rounds)
    print(f"Decoding: {decoding['clips']} clips, {decoding['clips_per_second']:.0f} a second, ", end="")
    print(f"{decoding['times_real_time']:.0f} times real time")
    if obstacle:
        print(
            "Without keras.utils.audio_dataset_from_directory, which reads WAV of 16 bit, mono, at one rate:", obstacle
        )
    title = f"{how}, {precision}, {model}, {layout.patch_samples / sample_rate:.2g} s, batch {batch_size}"
    report("pipeline", rows, {**settings, "decoding": decoding}, title, json_path)
    return rows


def _decode(manifest, sample_rate, folder):
    started = time.perf_counter()
    cache = ClipCache.build(manifest, sample_rate, folder / "cache")
    seconds = time.perf_counter() - started
    audio = float(cache.lengths.sum()) / sample_rate
    return cache, {
        "clips": len(cache),
        "seconds": seconds,
        "clips_per_second": len(cache) / seconds,
        "times_real_time": audio / seconds,
    }


def _sources(cache, folder):
    """Yields the same clips from the cache, and decoded at each reading, with their names."""
    yield "the cache", cache
    yield "files", ClipFiles.build(cache.manifest, cache.sample_rate, progress=False)
    try:
        prepare(cache.manifest, folder / "shards", cache.sample_rate, progress=False)
    except ImportError as error:
        print(f"Without shards: {error}")
    else:
        yield "shards", ClipFiles.build(read_dataset(folder / "shards"), cache.sample_rate)


def _training_model(settings, class_names, jit_compile, precision):
    """The model with what the preset augments and mixes by, and how clips are cut for it."""
    with precision_policy(precision):
        model = build_model(class_names, settings)
        augmentations = augmentation_layers(settings.training, build_augmentation(settings))
        training_model = AugmentedModel(model, augmentations)
    training_model.compile("adam", "binary_crossentropy", jit_compile=jit_compile)
    return training_model, patch_layout(model)


def _iterator(dataset):
    if keras.backend.backend() == "tensorflow":
        return iter(dataset)
    # Copies, because `torch.compile` refuses arrays in TensorFlow's memory.
    return (keras.tree.map_structure(np.array, batch) for batch in dataset.as_numpy_iterator())


def obstacle_to_keras(manifest, sample_rate):
    """Why Keras cannot read the clips, or None."""
    for path in manifest.paths():
        info = soundfile.info(path)
        found = f"{info.format} {info.subtype}, {info.channels} channels, {info.samplerate} Hz"
        if (info.format, info.subtype, info.channels, info.samplerate) != ("WAV", "PCM_16", 1, sample_rate):
            return f"{path} is {found}"
    return None


def keras_batches(manifest, folder, batch_size, patch_samples):
    """The same clips as Keras reads them, from a folder of links in the order of the manifest."""
    folder.mkdir()
    for number, path in enumerate(manifest.paths()):
        (folder / f"{number:08d}.wav").symlink_to(pathlib.Path(path).resolve())
    table = manifest.label_matrix()
    dataset = keras.utils.audio_dataset_from_directory(
        folder,
        labels=list(range(len(table))),
        batch_size=batch_size,
        output_sequence_length=patch_samples,
        seed=0,
        verbose=False,
    )

    def mixed(waveforms, clips):
        import tensorflow as tf

        labels = tf.gather(table, clips)
        return (waveforms[..., 0], labels), labels

    return dataset.repeat().filter(lambda waveforms, _: len(waveforms) == batch_size).map(mixed).prefetch(2)


def _rows(sources, model, steps, rounds):
    def batches(iterator):
        return lambda: [next(iterator) for _ in range(ROWS_OF_BATCHES * steps)]

    def step(iterator):
        x, y = next(iterator)
        return lambda: [model.train_on_batch(x, y) for _ in range(steps)]

    waits = {name: [] for name in sources}

    def together(name, iterator):
        def run():
            waited = 0.0
            for _ in range(steps):
                started = time.perf_counter()
                x, y = next(iterator)
                waited += time.perf_counter() - started
                model.train_on_batch(x, y)
            waits[name].append(waited / steps * 1e3)

        return run

    alone = compare({name: batches(iterator) for name, iterator in sources.items()}, rounds)
    steps_alone = compare({name: step(iterator) for name, iterator in sources.items()}, rounds)
    both = compare({name: together(name, iterator) for name, iterator in sources.items()}, rounds)
    rows = []
    for name, batch, one_step, all_of_it in zip(sources, alone, steps_alone, both, strict=True):
        waiting = statistics.median(itertools.islice(reversed(waits[name]), rounds))  # Without the warm-up.
        rows.append(
            {
                "data": name,
                "batch_ms": batch["wall_ms"] / steps / ROWS_OF_BATCHES,
                "step_ms": one_step["wall_ms"] / steps,
                "together_ms": all_of_it["wall_ms"] / steps,
                "waiting_ms": waiting,
                "waiting_share": waiting * steps / all_of_it["wall_ms"],
                "together_ratio": all_of_it["wall_ratio"],
            }
        )
    return rows
