"""Fixtures shared by the tests: golden arrays, real audio where it is present, a seeded generator."""

import os
import pathlib

import numpy as np
import pytest

TESTS = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def one_block():
    """VGG41 without its other blocks, which take most of the time to compile and are tested elsewhere."""
    from keras_audio_si.models import vgg

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vgg, "BLOCK_FILTERS", (48,))
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20211)


@pytest.fixture(scope="session")
def golden():
    """`golden(name)` opens `tests/golden/<name>.npz`."""
    return lambda name: np.load(TESTS / "golden" / f"{name}.npz")


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real audio in the layouts of the public data sets, which the repository does not contain.

    `KERAS_AUDIO_SI_DATA` names it; the default is `../shared/data` beside the checkout.
    """
    folder = pathlib.Path(os.environ.get("KERAS_AUDIO_SI_DATA", TESTS.parent.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real audio is not here: {folder} (set KERAS_AUDIO_SI_DATA)")
    return folder
