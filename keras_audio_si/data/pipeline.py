"""Fixed-length patches of clips as a `tf.data.Dataset`, in a deterministic order that can be resumed anywhere."""

import copy
import functools
import itertools
import weakref
import zlib

import keras
import numpy as np

from keras_audio_si.checks import check_choice, check_integer, check_interval
from keras_audio_si.data.patch_sequence import read_ahead, structured
from keras_audio_si.data.patches import filled, scaled_to_peak
from keras_audio_si.data.sampling import class_balanced_weights, crop_starts, epoch_order, psla_weights, weighted_draws

CROPS = ("fixed", "random")
SHORT = ("repeat", "zero", "drop")
PEAK_OF = ("patch", "clip")
SAMPLING = ("once", "class_balanced", "psla")


class PatchDataset:
    """Patches of equal length cut from the clips of a `ClipCache`, with the labels of their clips.

    Patches start at 0, `hop_samples`, `2 * hop_samples`, ... as long as a whole patch fits; the remainder of the clip
    is discarded. Evaluation always uses these patches, and so does training, unless it takes random crops.

    Args:
        cache: `ClipCache` or `ClipFiles` with the waveforms, the labels and the sampling rate.
        patch_samples: Length of a patch in samples.
        hop_samples: Distance between the starts of two patches in samples; half a patch (50 % overlap) if
            None.
        crops: What training takes: `"fixed"`, the patches above, or `"random"`, in each epoch one patch of each clip
            that starts anywhere.
        short: What becomes of a clip that is shorter than a patch: `"repeat"`, it is filled by the clip again,
            `"zero"`, by silence at its end, or `"drop"`, it is left out.
        sampling: `"once"`: an epoch of training has every example once. `"class_balanced"`: it has as many, drawn
            with replacement by `sampling.class_balanced_weights`. `"psla"`: likewise, by `sampling.psla_weights`.
        peak: Largest magnitude that each patch is scaled to, silence excepted; None leaves the level as it is.
        peak_of: `"patch"`, or `"clip"`: all patches of a clip by the same factor, that of its own largest magnitude.
        background: `background.BackgroundNoise` to add in training, after that; None for none.

    Attributes:
        num_patches: Number of patches.
        num_clips: Number of clips.
        patch_clip: `(num_patches,)` int64, the clip that each patch was cut from.
        patch_start: `(num_patches,)` int64, the sample of the clip at which each patch starts.
        labels: `(num_clips, num_classes)` float32 multi-hot labels.
        clip_ids: Tuple of the clips' ids.
        class_names: Tuple of the classes' names, in the order of the columns of `labels`.
        sample_rate: In Hz.
        num_examples: Number of examples in an epoch of training.
        num_short: Number of clips that are, or were, shorter than a patch.

    Raises:
        ValueError: If a length is not a positive integer, another argument is none of its values, `background` has
            another rate, or no clip is left.

    Example:

    >>> import numpy as np
    >>> from keras_audio_si.data.clip_cache import ClipCache
    >>> from keras_audio_si.data.pipeline import PatchDataset
    >>> waveforms = [np.zeros(50, "float32"), np.zeros(270, "float32")]
    >>> cache = ClipCache.from_waveforms(waveforms, [("dog",), ("rain",)], sample_rate=100)
    >>> patches = PatchDataset(cache, patch_samples=100)
    >>> patches.patch_clip.tolist(), patches.patch_start.tolist()
    ([0, 1, 1, 1, 1], [0, 0, 50, 100, 150])
    >>> patches.waveforms([0, 4]).shape
    (2, 100)
    >>> PatchDataset(cache, patch_samples=100, crops="random").num_examples
    2

    Reference:
        E. Fonseca et al., "Improving sound event classification by increasing shift invariance in
        convolutional neural networks", 2021, section III.
    """

    def __init__(
        self,
        cache,
        patch_samples,
        hop_samples=None,
        crops="fixed",
        short="repeat",
        sampling="once",
        peak=None,
        peak_of="patch",
        background=None,
    ):
        self.patch_samples = _integer("patch_samples", patch_samples, minimum=1)
        hop_samples = max(1, self.patch_samples // 2) if hop_samples is None else hop_samples
        self.hop_samples = _integer("hop_samples", hop_samples, minimum=1)
        check_choice("crops", crops, CROPS)
        check_choice("short", short, SHORT)
        check_choice("sampling", sampling, SAMPLING)
        check_choice("peak_of", peak_of, PEAK_OF)
        if peak is not None:
            check_interval("(0, 1]", peak=peak)
        if background is not None and background.cache.sample_rate != cache.sample_rate:
            raise ValueError(
                f"`background` must have the sampling rate of the clips, {cache.sample_rate} Hz: decode its recordings "
                f"at that rate. Received: {background.cache.sample_rate} Hz"
            )
        self.crops, self.short, self.sampling = crops, short, sampling
        self.peak, self.peak_of, self.background = peak, peak_of, background
        self.class_names = cache.manifest.class_names
        self.sample_rate = cache.sample_rate
        self._kept = None
        is_short = cache.lengths < self.patch_samples
        self.num_short = int(is_short.sum())
        if short == "drop" and self.num_short:
            if is_short.all():
                raise ValueError(
                    f"All {len(cache)} clips are shorter than `patch_samples` ({self.patch_samples}): fill them, by "
                    "short='zero' or 'repeat', or take shorter patches."
                )
            cache = cache.subset(np.flatnonzero(~is_short))
        per_clip = 1 + np.maximum(cache.lengths - self.patch_samples, 0) // self.hop_samples
        patch_clip = np.repeat(np.arange(len(cache)), per_clip)
        first_patch = np.cumsum(per_clip) - per_clip
        self._take(cache, patch_clip, (np.arange(len(patch_clip)) - first_patch[patch_clip]) * self.hop_samples)

    def _take(self, cache, patch_clip, patch_start):
        """Makes these the patches of the data set; every clip of the cache has some."""
        self.cache, self.patch_clip, self.patch_start = cache, patch_clip, patch_start
        self.labels = cache.manifest.label_matrix()
        self.clip_ids = tuple(clip.clip_id for clip in cache.manifest.clips)
        self.num_clips, self.num_patches = len(cache), len(patch_clip)
        self._room = np.maximum(cache.lengths - self.patch_samples, 0)
        self._peaks = np.full(self.num_clips, np.nan)  # of the clips that have been read
        self.num_examples = self.num_clips if self.crops == "random" else self.num_patches
        self._weights = None
        if self.sampling != "once":
            # Divided among its patches, so that a clip counts the same whatever its length.
            weights = (psla_weights if self.sampling == "psla" else class_balanced_weights)(self.labels)
            if self.crops == "fixed":
                weights = (weights / np.bincount(patch_clip))[patch_clip]
            self._weights = weights

    def keeping(self, kept):
        """The same data set without some of its patches, and without the clips that have none left.

        Args:
            kept: `(num_patches,)` bool, which patches stay.

        Returns:
            `PatchDataset`

        Raises:
            ValueError: If none stays, or training takes random crops.

        Example:

        >>> from keras_audio_si.data.clip_cache import ClipCache
        >>> cache = ClipCache.from_waveforms([np.zeros(50), np.zeros(270)], [("dog",), ("rain",)], sample_rate=100)
        >>> patches = PatchDataset(cache, patch_samples=100).keeping(np.array([False, True, True, False, True]))
        >>> patches.clip_ids, patches.patch_start.tolist()
        (('clip-1',), [0, 50, 150])
        """
        kept = np.flatnonzero(kept)
        if self.crops == "random" or not len(kept):
            raise ValueError("Patches can be left out where `crops` is 'fixed' and some stay.")
        other = copy.copy(self)
        other._kept = f"{len(kept)} of {self.num_patches} ({zlib.crc32(kept.astype('<i8').tobytes()):08x})"
        clips, patch_clip = np.unique(self.patch_clip[kept], return_inverse=True)
        other._take(self.cache.subset(clips), patch_clip, self.patch_start[kept])
        return other

    @property
    def options(self):
        """The arguments after `hop_samples` that are not the default ones, as JSON has them."""
        noise = self.background
        options = {
            "crops": self.crops,
            "short": self.short,
            "sampling": self.sampling,
            "peak": self.peak,
            "peak_of": self.peak_of,
            "kept": self._kept,
            "noise": noise and [*noise.snr_decibels, noise.probability, int(noise.cache.lengths.sum())],
        }
        return {
            name: value for name, value in options.items() if value not in ("fixed", "repeat", "once", "patch", None)
        }

    def waveforms(self, indices):
        """Reads patches.

        Args:
            indices: `(n,)` numbers of patches.

        Returns:
            `(n, patch_samples)` float32 array.
        """
        indices = np.asarray(indices)
        return self._cut(self.patch_clip[indices], self.patch_start[indices])

    def training_examples(self, seed, epoch):
        """The examples of one epoch of training in their order: a pure function of the arguments.

        Args:
            seed: Non-negative integer.
            epoch: Number of the epoch, from 0.

        Returns:
            `(clips, starts)`, both `(num_examples,)` int64: the clip of each example, and the sample of it at which
            the example starts.
        """
        if self._weights is None:
            order = epoch_order(self.num_examples, seed, epoch)
        else:
            order = weighted_draws(self._weights, seed, epoch)
        if self.crops == "random":
            return order, crop_starts(self._room[order], seed, epoch)
        return self.patch_clip[order], self.patch_start[order]

    def _cut(self, clips, starts):
        patches = np.empty((len(clips), self.patch_samples), "float32")
        for patch, clip, start in zip(patches, clips, starts, strict=True):
            section = self.cache.section(clip, start, self.patch_samples)
            patch[:] = filled(section, self.patch_samples, self.short)
        return scaled_to_peak(patches, self.peak, self._clip_peaks(clips) if self.peak_of == "clip" else None)

    def _clip_peaks(self, clips):
        for clip in np.unique(clips[np.isnan(self._peaks[clips])]):
            self._peaks[clip] = np.abs(self.cache.waveform(clip)).max()
        return self._peaks[clips]

    def steps_per_epoch(self, batch_size):
        """Number of training batches in an epoch, which hold each of its examples at least once."""
        return -(-self.num_examples // _integer("batch_size", batch_size, minimum=1))

    def batches(
        self,
        batch_size,
        training,
        seed=0,
        start_epoch=0,
        start_step=0,
        mixed=False,
        with_clip_ids=False,
        part=(0, 1),
    ):
        """Makes the `tf.data.Dataset`, which runs under every Keras backend.

        Args:
            batch_size: Patches in a batch.
            training: False gives every patch once, in order, the last batch as large as what is left. True
                gives epoch after epoch without end, each `steps_per_epoch(batch_size)` batches long, with
                what `training_examples(seed, epoch)` says. All these batches are of `batch_size`: the last one
                of an epoch is completed by the examples the same epoch began with, so none is ever left out.
            seed: Non-negative integer that sets the order, the crops and the noise.
            start_epoch: First epoch. Starting there equals having come there from epoch 0.
            start_step: First batch of that epoch, from 0, likewise.
            mixed: Whether to yield `((waveforms, labels), labels)`, as a model that mixes its inputs and
                labels takes them.
            with_clip_ids: Whether to yield `(waveforms, labels, clips)`, the last being the `(batch,)` int64
                numbers of the clips in `clip_ids` and `labels`.
            part: `(number, parts)`: of each training batch the examples of this one of so many equal parts, which is
                all that is read. The parts of a batch in their order are the batch.

        Returns:
            Dataset of `(waveforms, labels)`: `(batch, patch_samples)` and `(batch, num_classes)`, both
            float32.

        Raises:
            ValueError: If an argument is out of its range, both `mixed` and `with_clip_ids` are set, or a batch cannot
                be divided.
            ImportError: If TensorFlow is not installed.
        """
        batch_size = _integer("batch_size", batch_size, minimum=1)
        seed = _integer("seed", seed, minimum=0)
        start_epoch = _integer("start_epoch", start_epoch, minimum=0)
        start_step = _integer("start_step", start_step, minimum=0)
        if mixed and with_clip_ids:
            raise ValueError("`mixed` and `with_clip_ids` exclude each other: choose one.")
        tf = import_tensorflow()
        read, steps = self.reader(batch_size, training, seed, part)
        # TensorFlow's global graph holds for ever what it calls: not the reader, which has all the data.
        known = weakref.ref(read)
        if training:
            numbers_of_batches = tf.data.Dataset.counter(start_epoch * steps + start_step)
            size = batch_size // part[1]
        else:
            numbers_of_batches, size = tf.data.Dataset.range(steps), None

        def load(number):
            # One Python call per batch; the labels of a large corpus are not part of TensorFlow's graph.
            types = (tf.float32, tf.float32, tf.int64)
            waveforms, labels, clips = tf.numpy_function(
                lambda number: known()(number), [number], types, stateful=False
            )
            waveforms = tf.ensure_shape(waveforms, (size, self.patch_samples))
            labels = tf.ensure_shape(labels, (size, len(self.class_names)))
            clips = tf.ensure_shape(clips, (size,))
            return (waveforms, labels, clips) if with_clip_ids else structured(waveforms, labels, clips, mixed)

        loaded = numbers_of_batches.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        loaded._reader = read  # Lives as long as this data set, which its iterators and what is made of it hold.
        return loaded.prefetch(tf.data.AUTOTUNE)

    def endless_batches(self, batch_size, seed=0, start_epoch=0, start_step=0, mixed=False, part=(0, 1)):
        """Yields the batches of training, epoch after epoch, as `batches` has them, without TensorFlow.

        The arguments are those of `batches`.
        """
        read, steps = self.reader(batch_size, True, seed, part)
        for batch in read_ahead(read, itertools.count(start_epoch * steps + start_step)):
            yield structured(*batch, mixed)

    def reader(self, batch_size, training, seed=0, part=(0, 1)):
        """Returns the function that reads a batch by its number, and the number of batches in an epoch.

        A batch depends on its number only, so that starting within an epoch reads no other audio. Training batches are
        numbered through all epochs.

        Args:
            batch_size: Patches in a batch.
            training: As for `batches`.
            seed: As for `batches`.
            part: As for `batches`.

        Returns:
            `(read, steps)`: the function from a number to `(waveforms, labels, clips)`, and the number of batches.
        """
        if training:
            return self._training_reader(batch_size, seed, part), self.steps_per_epoch(batch_size)
        return self._evaluation_reader(batch_size), -(-self.num_patches // _integer("batch_size", batch_size, 1))

    def _training_reader(self, batch_size, seed, part):
        """Function of the number of a batch, counted through all epochs."""
        steps = self.steps_per_epoch(batch_size)
        size, first = _part_of_batch(batch_size, *part)
        examples = functools.lru_cache(maxsize=2)(functools.partial(self.training_examples, seed))

        def read(number):
            epoch, step = divmod(int(number), steps)
            places = (np.arange(size) + step * batch_size + first) % self.num_examples
            clips, starts = (values[places] for values in examples(epoch))
            waveforms = self._cut(clips, starts)
            if self.background is not None:
                sequence = np.random.SeedSequence((seed, epoch, step), spawn_key=(2,))
                waveforms = self.background.add(waveforms, np.random.default_rng(sequence), first)
            return waveforms, self.labels[clips], clips

        return read

    def _evaluation_reader(self, batch_size):
        def read(number):
            indices = np.arange(number * batch_size, min((number + 1) * batch_size, self.num_patches))
            clips = self.patch_clip[indices]
            return self.waveforms(indices), self.labels[clips], clips

        return read


def _integer(name, value, minimum):
    value = int(value) if isinstance(value, np.integer) else value
    check_integer(minimum, **{name: value})
    return value


def _part_of_batch(batch_size, number, parts):
    """The size of a part of a batch, and the place of its first example in the batch."""
    if not 0 <= number < parts or batch_size % parts:
        raise ValueError(
            f"`part` must be (number, parts), with a number from 0 and parts that divide the batch of {batch_size}. "
            f"Received: part={(number, parts)}"
        )
    return batch_size // parts, number * (batch_size // parts)


def import_tensorflow():
    """TensorFlow for tf.data, which leaves the GPU to the backend that trains.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "The input pipeline is a tf.data.Dataset under every backend: install the extra `tensorflow-cpu`."
        ) from error
    if keras.backend.backend() != "tensorflow":
        try:
            tf.config.set_visible_devices([], "GPU")  # The GPU's memory belongs to the backend that trains.
        except RuntimeError:
            pass  # TensorFlow has its devices already, so whoever started it wants it to have them.
    return tf
