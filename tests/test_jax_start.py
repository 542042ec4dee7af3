"""What `train` and `bench` set before JAX starts."""

import os
import subprocess
import sys

import keras
import pytest

from keras_audio_si.cli import jax_start
from keras_audio_si.cli.jax_start import FLAG, prepare_jax
from keras_audio_si.cli.main import main

ON_JAX = keras.backend.backend() == "jax"
MEMORY = """
import concurrent.futures, numpy as np, resource
from keras_audio_si.cli.jax_start import keep_memory
kept = {kept} and keep_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def use():
    before = faults()
    np.ones(16 * 2**20).sum()
    return faults() - before
with concurrent.futures.ThreadPoolExecutor(1) as thread:  # JAX allocates maps in threads of its own.
    print(kept, [thread.submit(use).result() for _ in range(2)][1])
"""


def run(code, **environment):
    env = os.environ | environment
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True).stdout


@pytest.mark.once
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is the allocator of glibc")
def test_kept_memory_costs_no_page_faults():
    faults = {}
    for kept in (False, True):
        answer, number = run(MEMORY.format(kept=kept)).split()
        assert answer == str(kept)
        faults[kept] = int(number)
    assert faults[True] < faults[False] / 10


@pytest.mark.parametrize("flags", ["", "--xla_cpu_enable_fast_math=false", f"{FLAG}=FUSION_TYPE_DOT"])
@pytest.mark.parametrize("version", ["0.10.2", "0.11.0"])
def test_the_flag_is_set_where_it_is_known_and_not_given(monkeypatch, capsys, flags, version):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(jax_start, "keep_memory", lambda: True)
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    prepare_jax()
    said = capsys.readouterr().err
    if ON_JAX and FLAG not in flags and version == "0.10.2":
        assert os.environ["XLA_FLAGS"] == f"{flags} {FLAG}=".strip()
        assert f"JAX on a CPU: XLA_FLAGS {FLAG}=, freed memory is kept" in said
    else:
        assert os.environ["XLA_FLAGS"] == flags and FLAG not in said
        assert ("freed memory is kept" in said) == ON_JAX


def test_with_a_plug_in_nothing_is_set(monkeypatch, capsys):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    prepare_jax()
    assert os.environ["XLA_FLAGS"] == capsys.readouterr().err == ""


def test_only_commands_of_their_own_process_do_it(monkeypatch):
    calls, arguments = [], ["bench", "layers", "--names", "none"]
    monkeypatch.setattr(jax_start, "prepare_jax", lambda: calls.append(1))
    assert main(arguments) == 2 and not calls
    monkeypatch.setattr(sys, "argv", ["keras-audio-si", *arguments])
    assert main() == 2 and len(calls) == 1
    monkeypatch.setattr(sys, "argv", ["keras-audio-si", "list", "presets"])
    assert main() == 0 and len(calls) == 1


@pytest.mark.skipif(not ON_JAX, reason="the flag is of JAX")
def test_jax_knows_the_flag():
    """One that it does not know ends the process."""
    code = "import jax; print(jax.jit(lambda x: x + 1)(1.0))"
    assert run(code, XLA_FLAGS=f"{FLAG}=").strip() == "2.0"
    with pytest.raises(subprocess.CalledProcessError):
        run(code, XLA_FLAGS="--xla_no_such_flag=")
