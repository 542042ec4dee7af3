"""Every layer and model: round trips, shapes, XLA, precision, gradients and independence of the batch."""

import keras
import pytest
from cases import CASES
from harness import (
    check_batch_independence,
    check_config_round_trip,
    check_gradients,
    check_jit,
    check_mixed_precision,
    check_symbolic_shape,
)

pytestmark = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.mark.first
def test_config_and_file_round_trip(case, rng, tmp_path):
    check_config_round_trip(case, case.inputs(rng), tmp_path)


def test_symbolic_shape(case, rng):
    check_symbolic_shape(case, case.inputs(rng))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="graphs and XLA are options on TensorFlow alone; JAX always compiles",
)
@pytest.mark.parametrize(
    "jit_compile, known",
    [
        (True, "batch"),
        (False, "any"),
        *(pytest.param(*rest, marks=pytest.mark.slow) for rest in [(True, "any"), (True, "all"), (False, "all")]),
    ],
)
def test_jit(case, rng, jit_compile, known):
    check_jit(case, case.inputs(rng), jit_compile, known)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.first)])
def test_mixed_precision(case, rng, policy):
    check_mixed_precision(case, case.inputs(rng), policy)


def test_gradients(case, rng):
    check_gradients(case, case.inputs(rng))


def test_batch_independence(case, rng):
    check_batch_independence(case, case.inputs(rng))
