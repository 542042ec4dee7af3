"""Names that the examples in docstrings may use without importing them."""

import keras
import numpy as np
import pytest

import keras_audio_si


@pytest.fixture(autouse=True)
def _example_names(doctest_namespace):
    doctest_namespace.update(keras=keras, keras_audio_si=keras_audio_si, np=np)
