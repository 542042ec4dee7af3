"""What `train` and `bench` set before JAX starts, each case in a process of its own."""

import os
import subprocess
import sys

import keras
import pytest

from keras_audio_si.cli.jax_start import FLAG

ON_JAX = keras.backend.backend() == "jax"
MEMORY = """
import numpy as np, resource
from keras_audio_si.cli.jax_start import keep_memory
kept = {kept} and keep_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    before = faults()
    np.ones(8 * 2**20).sum()
    return faults() - before
use()
print(kept, use())
"""


def run(code, **environment):
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | environment
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    return done.stdout, done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is the allocator of glibc")
def test_kept_memory_costs_no_page_faults():
    faults = {}
    for kept in (False, True):
        answer, number = run(MEMORY.format(kept=kept))[0].split()
        assert answer == str(kept)
        faults[kept] = int(number)
    assert faults[True] < faults[False] / 10


@pytest.mark.parametrize("flags", ["", "--xla_cpu_enable_fast_math=false", f"{FLAG}=FUSION_TYPE_DOT"])
def test_a_command_of_its_own_process_sets_the_flag_once(flags):
    """A subject that does not exist ends the command after that."""
    code = """
import os, sys
sys.argv = ["keras-audio-si", "bench", "layers", "--names", "none", "--debug"]
from keras_audio_si.cli.main import main
try:
    main()
except ValueError as error:
    assert "none" in str(error)
print(os.environ.get("XLA_FLAGS"))
"""
    set_to, said = run(code, **({"XLA_FLAGS": flags} if flags else {}))
    if not ON_JAX:
        assert set_to.strip() == (flags or "None") and "JAX on a CPU" not in said
    elif FLAG in flags:
        assert set_to.strip() == flags
    else:
        assert set_to.strip() == f"{flags} {FLAG}=".strip()
        assert f"JAX on a CPU: XLA_FLAGS {FLAG}=" in said


@pytest.mark.skipif(not ON_JAX, reason="the flag is of JAX")
def test_jax_knows_the_flag():
    """One that it does not know ends the process."""
    code = "import jax; print(jax.jit(lambda x: x + 1)(1.0))"
    assert run(code, XLA_FLAGS=f"{FLAG}=")[0].strip() == "2.0"
    with pytest.raises(subprocess.CalledProcessError):
        run(code, XLA_FLAGS="--xla_no_such_flag=")
