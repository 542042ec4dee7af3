"""Work on many clips at a time: results in order, few of them held, and progress on stderr."""

import concurrent.futures
import os
import sys
import time


def in_threads(function, items, num_workers=None):
    """Yields a function of each item, in order, worked out by threads that hold only a few results.

    Args:
        function: Function of an item. Decoding and resampling run beside each other, as they leave Python.
        items: Sequence of items.
        num_workers: Number of threads; the number of processors if None.

    Example:

    >>> list(in_threads(len, ["a", "bc"], 2))
    [1, 2]
    """
    num_workers = num_workers or os.cpu_count() or 1
    batch = 4 * num_workers
    with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
        for first in range(0, len(items), batch):
            yield from pool.map(function, items[first : first + batch])


def with_progress(items, total, what, shown=True):
    """Yields items and writes their number to stderr: to a terminal as it grows, elsewhere once at the end.

    Args:
        items: Iterable of as many items as `total`.
        total: Their number.
        what: Text before the numbers.
        shown: Whether to write anything.
    """
    begun = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if shown and (done == total or (sys.stderr.isatty() and now - last > 0.2)):
            last = now
            end = "\n" if done == total else ""
            print(f"\r{what}: {done}/{total} clips, {now - begun:.1f} s", end=end, file=sys.stderr, flush=True)
