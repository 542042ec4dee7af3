"""What makes JAX faster on a CPU and has to be set before it starts."""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys

# By default convolutions are calls of the library YNN, which runs those of networks with other operations between them
# on one core and allocates each of their results (docs/benchmarks.md). The flag is experimental: later versions of JAX
# may not know it, and stop at flags that they do not know.
FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_KNOWN_TO = "0.10."
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # Of mallopt in malloc.h.
_LARGEST, _MEBIBYTE = 2**31 - 1, 2**20


def prepare_jax():
    """Sets, where Keras runs on JAX and that on a CPU, an XLA flag and how memory is allocated, and says so.

    Neither changes what a program gives beyond rounding. What the environment says of the flag is left as it is.
    """
    import keras

    # With a plug-in JAX may have another device; which, only starting it can say.
    if keras.backend.backend() != "jax" or importlib.util.find_spec("jax_plugins"):
        return
    done = []
    given = os.environ.get("XLA_FLAGS", "")
    if importlib.metadata.version("jaxlib").startswith(_KNOWN_TO) and FLAG not in given:
        os.environ["XLA_FLAGS"] = f"{given} {FLAG}=".strip()
        done.append(f"XLA_FLAGS {FLAG}=")
    if keep_memory():
        done.append("freed memory is kept for the next step")
    if done:
        print(f"JAX on a CPU: {', '.join(done)} (docs/benchmarks.md)", file=sys.stderr)


def keep_memory():
    """Has the allocator of glibc keep what is freed: new memory costs a page fault for every 4 kB of each map.

    Returns:
        Whether it does; elsewhere than under glibc nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    # One arena: those of other threads than the first give blocks of more than 64 MB back, whatever the threshold.
    options = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: _LARGEST, _TOP_PAD: 64 * _MEBIBYTE}
    return all(libc.mallopt(option, value) for option, value in options.items())
