"""Embeddings of files: the features before the last dense layer, as NumPy arrays and as Parquet."""

import tracemalloc

import keras
import numpy as np
import pytest
import soundfile
from cases import two_blocks
from classifiers import RATE, small_classifier

from keras_audio_si import layers, models
from keras_audio_si.cli import main as cli
from keras_audio_si.inference.embeddings import write_embeddings
from keras_audio_si.inference.tagging import FileScores, find_audio, tag_files


@pytest.fixture
def sounds(tmp_path, rng):
    for name, samples in (("a.wav", 20000), ("b.wav", 300)):
        soundfile.write(tmp_path / name, rng.uniform(-0.4, 0.4, samples), RATE)
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    return tmp_path


def network_in_a_classifier():
    front_end = layers.LogMelSpectrogram(RATE, num_mels=12)
    vgg = two_blocks(models.VGG41, 3, (21, 12))
    return models.Classifier(front_end, vgg, input_samples=front_end.num_samples(21))


@pytest.mark.parametrize("build", [lambda: small_classifier(("dog", "rain")), network_in_a_classifier])
def test_the_last_dense_layer_makes_them_scores(build, rng):
    model = build()
    x = rng.uniform(-0.4, 0.4, (3, model.input_shape[1])).astype("float32")
    embeddings = models.embedding_model(model).predict(x, verbose=0)
    end = model
    while isinstance(end.layers[-1], keras.Model):
        end = end.layers[-1]
    kernel, bias = end.layers[-2].get_weights()
    scores = 1 / (1 + np.exp(-(embeddings.astype("float64") @ kernel + bias)))
    np.testing.assert_allclose(scores, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_a_model_that_ends_otherwise():
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Flatten(), keras.layers.ReLU()])
    with pytest.raises(ValueError, match="must end in Dense, then ClassScores; it ends in Flatten, then ReLU"):
        models.embedding_model(model)


@pytest.mark.once
def test_a_table_takes_no_objects_of_python_for_its_numbers(tmp_path):
    pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    embeddings = np.ones((1000, 512), "float32")
    result = FileScores("a.wav", 1.0, np.zeros(1000), np.ones(1000), embeddings)
    tracemalloc.start()
    try:
        write_embeddings([result], tmp_path / "e.parquet")
        assert tracemalloc.get_traced_memory()[1] < 3 * embeddings.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.once
class TestCommand:
    @pytest.mark.parametrize("suffix", [".npz", ".parquet"])
    @pytest.mark.parametrize("by_window", [False, True])
    def test_files(self, sounds, tmp_path, capsys, suffix, by_window):
        model, path, output = small_classifier(("dog", "rain")), tmp_path / "m.keras", tmp_path / f"e{suffix}"
        model.save(path)
        flags = ["--windows", "--hop-seconds", "0.1"] if by_window else []
        assert cli.main(["embed", str(path), str(sounds), "--output", str(output), *flags]) == 1
        assert "broken.wav: is not audio" in capsys.readouterr().err
        hop = {"by_window": True, "hop_seconds": 0.1} if by_window else {}
        results = list(tag_files(models.embedding_model(model), find_audio([str(sounds)]), **hop))
        if suffix == ".npz":
            with np.load(output) as arrays:
                written = dict(arrays)
            written["file"] = written.pop("files")
        else:
            parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
            written = parquet.read_table(output).to_pydict()
            written["embeddings"] = np.float32(written.pop("embedding"))
        np.testing.assert_array_equal(written["embeddings"], np.concatenate([np.float32(r.scores) for r in results]))
        assert [str(name).endswith("a.wav") for name in written["file"]].count(True) == len(results[0].scores)
        np.testing.assert_array_equal(written["end_seconds"], np.concatenate([result.ends for result in results]))
        np.testing.assert_array_equal(written["start_seconds"], np.concatenate([result.starts for result in results]))

    def test_errors_of_usage(self, sounds, tmp_path, capsys):
        (tmp_path / "good").mkdir()
        assert cli.main(["embed", str(sounds), "--output", "e.csv"]) == 2
        assert "the suffix of the output` must be one of '.npz', '.parquet'" in capsys.readouterr().err
        assert cli.main(["embed", str(sounds / "broken.wav"), "--output", str(tmp_path / "e.npz")]) == 2
        assert "None of the files has embeddings" in capsys.readouterr().err and not (tmp_path / "e.npz").exists()
