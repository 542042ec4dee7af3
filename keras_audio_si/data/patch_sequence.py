"""Batches of patches as a `keras.utils.PyDataset`, without TensorFlow; equal to those of `PatchDataset.batches`."""

import collections
import concurrent.futures
import itertools

import keras


class PatchSequence(keras.utils.PyDataset):
    """Batches of a `PatchDataset` for `fit`, `evaluate` and `predict` on any backend, with NumPy alone.

    Batch `i` of an epoch is a function of the seed, the epoch and `i`, as in `PatchDataset.batches`. `fit` uses this
    order with `shuffle=False`, and otherwise a random one. The epoch is counted over successive calls of `fit`.

    Args:
        patches: `PatchDataset`
        batch_size: Patches in a batch.
        training: Whether order, crops and noise are those of training, with batches of one size; False gives every
            patch once, in order.
        seed: Non-negative integer that sets the order, the crops and the noise.
        start_epoch: First epoch.
        mixed: Whether to give `((waveforms, labels), labels)`, as `training.AugmentedModel` takes them.
        **kwargs: `workers` (threads) and `max_queue_size` of `keras.utils.PyDataset`. With several workers, and with 1
            or 2 batches, Keras reads whole epochs ahead, so that one may be left out or come twice.

    Raises:
        ValueError: If a number is out of its range, or `use_multiprocessing` is set.

    Example:

    >>> from keras_audio_si.data import ClipCache, PatchDataset
    >>> cache = ClipCache.from_waveforms([np.zeros(50), np.zeros(270)], [("dog",), ("rain",)], sample_rate=100)
    >>> batches = PatchSequence(PatchDataset(cache, patch_samples=100), batch_size=2)
    >>> len(batches), [values.shape for values in batches[0]]
    (3, [(2, 100), (2, 2)])
    """

    def __init__(self, patches, batch_size, training=True, seed=0, start_epoch=0, mixed=False, **kwargs):
        if kwargs.get("use_multiprocessing"):
            raise ValueError(
                "`use_multiprocessing` must be False, as processes do not share the epoch: use `workers`. "
                f"Received: use_multiprocessing={kwargs['use_multiprocessing']!r}"
            )
        super().__init__(**kwargs)
        self.epoch, self.mixed = start_epoch, mixed
        self._read, self._steps = patches.reader(batch_size, training, seed)
        self._training, self._batches_read = training, 0

    def __len__(self):
        return self._steps

    def __getitem__(self, index):
        self._batches_read += 1
        return structured(*self._read(self.epoch * self._steps + index if self._training else index), self.mixed)

    def on_epoch_end(self):
        # Keras also calls this after reading only the first batches, to build a model.
        if self._batches_read >= self._steps:
            self.epoch += 1
        self._batches_read = 0


def structured(waveforms, labels, clips, mixed=False):
    """Returns a batch as `fit` takes it: `(waveforms, labels)`, or `((waveforms, labels), labels)` for mixing."""
    return ((waveforms, labels), labels) if mixed else (waveforms, labels)


def read_ahead(read, numbers, workers=2):
    """Yields `read(number)` for each number, in order, while threads read the next ones.

    Args:
        read: Function of a number.
        numbers: Iterable of numbers; it may have no end.
        workers: Number of threads, and of batches that are read ahead for each of them.

    Example:

    >>> list(read_ahead(abs, range(-3, 1)))
    [3, 2, 1, 0]
    """
    numbers = iter(numbers)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque(pool.submit(read, number) for number in itertools.islice(numbers, 2 * workers))
        try:
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(read, number) for number in itertools.islice(numbers, 1))
                yield done
        finally:
            for future in waiting:
                future.cancel()
