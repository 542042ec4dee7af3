"""Fixed-length patches of clips as a `tf.data.Dataset`, in a computed order that can be resumed."""

import numbers

import keras
import numpy as np


def epoch_order(num_patches, seed, epoch):
    """Order in which one epoch visits the patches: a pure function of its arguments.

    Args:
        num_patches: Number of patches.
        seed: Non-negative integer.
        epoch: Number of the epoch, from 0.

    Returns:
        `(num_patches,)` int64 permutation: place `i` of the epoch holds patch `order[i]`.

    Example:

    >>> from keras_audio_si.data.pipeline import epoch_order
    >>> sorted(epoch_order(4, seed=0, epoch=3).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng((seed, epoch)).permutation(num_patches)


class PatchDataset:
    """Patches of equal length cut from the clips of a `ClipCache`, with the labels of their clips.

    A clip shorter than a patch is repeated until it fills one. A longer clip gives patches at 0,
    `hop_samples`, `2 * hop_samples`, ... as long as a whole patch fits; what is left at its end is trimmed.

    Args:
        cache: `ClipCache` with the waveforms, the labels and the sampling rate.
        patch_samples: Length of a patch in samples.
        hop_samples: Distance between the starts of two patches in samples; half a patch (50 % overlap) if
            None.

    Attributes:
        num_patches: Number of patches.
        num_clips: Number of clips.
        patch_clip: `(num_patches,)` int64, the clip that each patch was cut from.
        patch_start: `(num_patches,)` int64, the sample of the clip at which each patch starts.
        labels: `(num_clips, num_classes)` float32 multi-hot labels.
        clip_ids: Tuple of the clips' ids.
        class_names: Tuple of the classes' names, in the order of the columns of `labels`.
        sample_rate: In Hz.

    Raises:
        ValueError: If a length is not a positive integer.

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

    Reference: E. Fonseca et al., "Improving sound event classification by increasing shift invariance in
        convolutional neural networks", 2021, section III.
    """

    def __init__(self, cache, patch_samples, hop_samples=None):
        self.patch_samples = _integer("patch_samples", patch_samples, minimum=1)
        hop_samples = max(1, self.patch_samples // 2) if hop_samples is None else hop_samples
        self.hop_samples = _integer("hop_samples", hop_samples, minimum=1)
        self.cache = cache
        self.labels = cache.manifest.label_matrix()
        self.clip_ids = tuple(clip.clip_id for clip in cache.manifest.clips)
        self.class_names = cache.manifest.class_names
        self.sample_rate = cache.sample_rate
        self.num_clips = len(self.clip_ids)

        per_clip = 1 + np.maximum(cache.lengths - self.patch_samples, 0) // self.hop_samples
        self.num_patches = int(per_clip.sum())
        self.patch_clip = np.repeat(np.arange(self.num_clips), per_clip)
        first_patch = np.cumsum(per_clip) - per_clip
        self.patch_start = (np.arange(self.num_patches) - first_patch[self.patch_clip]) * self.hop_samples

    def waveforms(self, indices):
        """Reads patches.

        Args:
            indices: `(n,)` numbers of patches.

        Returns:
            `(n, patch_samples)` float32 array.
        """
        indices = np.asarray(indices)
        patches = np.empty((len(indices), self.patch_samples), "float32")
        clips, starts = self.patch_clip[indices], self.patch_start[indices]
        for patch, clip, start in zip(patches, clips, starts, strict=True):
            waveform = self.cache.waveform(clip)
            if len(waveform) < self.patch_samples:
                patch[:] = np.resize(waveform, self.patch_samples)
            else:
                patch[:] = waveform[start : start + self.patch_samples]
        return patches

    def steps_per_epoch(self, batch_size):
        """Number of training batches in which every patch is seen at least once."""
        return -(-self.num_patches // _integer("batch_size", batch_size, minimum=1))

    def batches(self, batch_size, training, seed=0, start_epoch=0, start_step=0, mixed=False, with_clip_ids=False):
        """Makes the `tf.data.Dataset`, which runs under every Keras backend.

        Args:
            batch_size: Patches in a batch.
            training: False gives every patch once, in order, the last batch as large as what is left. True
                gives epoch after epoch without end, each `steps_per_epoch(batch_size)` batches long and in
                the order `epoch_order(num_patches, seed, epoch)`. All these batches are of `batch_size`: the
                last one of an epoch is completed by the patches the same epoch began with, so none is ever
                left out.
            seed: Non-negative integer that sets the order.
            start_epoch: First epoch. Starting there equals having come there from epoch 0.
            start_step: First batch of that epoch, from 0, likewise.
            mixed: Whether to yield `((waveforms, labels), labels)`, as a model that mixes its inputs and
                labels takes them.
            with_clip_ids: Whether to yield `(waveforms, labels, clips)`, the last being the `(batch,)` int64
                numbers of the clips in `clip_ids` and `labels`.

        Returns:
            Dataset of `(waveforms, labels)`: `(batch, patch_samples)` and `(batch, num_classes)`, both
            float32.

        Raises:
            ValueError: If an argument is out of its range, or both `mixed` and `with_clip_ids` are set.
            ImportError: If TensorFlow is not installed.
        """
        batch_size = _integer("batch_size", batch_size, minimum=1)
        seed = _integer("seed", seed, minimum=0)
        start_epoch = _integer("start_epoch", start_epoch, minimum=0)
        start_step = _integer("start_step", start_step, minimum=0)
        if mixed and with_clip_ids:
            raise ValueError("`mixed` and `with_clip_ids` exclude each other: choose one.")
        tf = _tensorflow()

        if training:
            # Skipping rows of indices reads no audio.
            indices = self._training_indices(tf, batch_size, seed, start_epoch).skip(start_step)
        else:
            indices = tf.data.Dataset.range(self.num_patches).batch(batch_size)

        def read(index):
            clips = self.patch_clip[index]
            return self.waveforms(index), self.labels[clips], clips

        def load(index):
            # One call of Python per batch, and the labels of a large corpus stay out of TensorFlow's graph.
            types = (tf.float32, tf.float32, tf.int64)
            waveforms, labels, clips = tf.numpy_function(read, [index], types, stateful=False)
            waveforms = tf.ensure_shape(waveforms, (index.shape[0], self.patch_samples))
            labels = tf.ensure_shape(labels, (index.shape[0], len(self.class_names)))
            clips = tf.ensure_shape(clips, (index.shape[0],))
            if mixed:
                return (waveforms, labels), labels
            return (waveforms, labels, clips) if with_clip_ids else (waveforms, labels)

        loaded = indices.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return loaded.prefetch(tf.data.AUTOTUNE)

    def _training_indices(self, tf, batch_size, seed, start_epoch):
        steps = self.steps_per_epoch(batch_size)

        def epoch_indices(epoch):
            return np.resize(epoch_order(self.num_patches, seed, epoch), (steps, batch_size))

        def one_epoch(epoch):
            indices = tf.numpy_function(epoch_indices, [epoch], tf.int64, stateful=False)
            return tf.ensure_shape(indices, (steps, batch_size))

        epochs = tf.data.Dataset.counter(start_epoch).map(one_epoch).prefetch(1)
        return epochs.unbatch()


def _integer(name, value, minimum):
    if not isinstance(value, numbers.Integral) or value < minimum:
        raise ValueError(f"`{name}` must be an integer of at least {minimum}. Received: {name}={value!r}")
    return int(value)


def _tensorflow():
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
