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


def test_config_and_file_round_trip(case, rng, tmp_path):
    check_config_round_trip(case, case.inputs(rng), tmp_path)


def test_symbolic_shape(case, rng):
    check_symbolic_shape(case, case.inputs(rng))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="graphs and XLA are options on TensorFlow alone; JAX always compiles",
)
def test_jit(case, rng):
    check_jit(case, case.inputs(rng))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(case, rng, policy):
    check_mixed_precision(case, case.inputs(rng), policy)


def test_gradients(case, rng):
    check_gradients(case, case.inputs(rng))


def test_batch_independence(case, rng):
    check_batch_independence(case, case.inputs(rng))
