"""The extras `tfio` and `cv`, in an environment of their own (`make test-card`), and what happens without them."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
import soundfile
from harness import numpy, run

from keras_audio_si.data import graph_decoder
from keras_audio_si.data.audio_io import AudioError, read_audio
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.models import EfficientNetTagger

LSB = 2.0**-15
needs_tensorflow_io = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_io") is None, reason="tensorflow-io is not here (make test-card)"
)
needs_keras_cv = pytest.mark.skipif(
    importlib.util.find_spec("keras_cv") is None or keras.backend.backend() != "tensorflow",
    reason="keras-cv is not here, or the backend is not TensorFlow (make test-card)",
)


@pytest.fixture
def folder(tmp_path, rng):
    """A file of every encoding, with channels and at rates of its own, and files that are wrong."""
    formats = {
        **{f"{subtype}.wav": subtype for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")},
        **{f"{subtype}.wav": subtype for subtype in ("ULAW", "IMA_ADPCM")},
        **{f"{subtype}.flac": subtype for subtype in ("PCM_S8", "PCM_16", "PCM_24")},
        "vorbis.ogg": "VORBIS",
        "opus.ogg": "OPUS",
        "layer3.mp3": "MPEG_LAYER_III",
    }
    for number, (name, subtype) in enumerate(formats.items()):
        signal = np.clip(0.3 * rng.normal(size=(4000 + number, 1 + number % 2)), -1, 1 - LSB)
        soundfile.write(tmp_path / name, signal, (16000, 8000)[number // 2 % 2], subtype=subtype)
    whole = (tmp_path / "PCM_16.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:3000])
    (tmp_path / "huge.wav").write_bytes(whole[:40] + b"\xf0\xff\xff\xff" + whole[44:])
    (tmp_path / "cut.flac").write_bytes((tmp_path / "PCM_16.flac").read_bytes()[:5000])
    (tmp_path / "text.wav").write_text("not audio")
    return tmp_path


def outcomes(paths, read):
    for path in paths:
        try:
            yield read(path)
        except AudioError as error:
            yield error


def check_equal(paths, decoded):
    for path, got, want in zip(paths, decoded, outcomes(paths, lambda path: read_audio(path, 16000)[0]), strict=True):
        if isinstance(want, AudioError):
            assert isinstance(got, AudioError) and str(got) == str(want), path
        else:
            assert got.dtype == np.float32 and got.shape == want.shape, path
            np.testing.assert_allclose(got, want, rtol=0, atol=LSB, err_msg=str(path))


@needs_tensorflow_io
class TestTensorFlowIO:
    def test_it_works_here(self):
        assert graph_decoder.tensorflow_io_problem() is None

    def test_equal_to_soundfile_to_one_step(self, folder):
        paths = sorted(folder.iterdir())
        check_equal([*paths, paths[0]], graph_decoder.decoded([*paths, paths[0]], 16000, 2))
        # In the graph, and not by soundfile in its place:
        known = [(path, info) for path in paths if (info := graph_decoder._info(path)) is not None]
        assert len(known) == len(graph_decoder.ENCODINGS) + 1
        results = {
            path.name: got for (path, _), got in zip(known, graph_decoder._decoded_in_graph(known, 2), strict=True)
        }
        assert isinstance(results.pop("cut.flac"), Exception) and all(
            map(np.ndarray.all, map(np.isfinite, results.values()))
        )

    def test_files_that_a_pipeline_will_meet(self, shared_data):
        paths = sorted(shared_data.glob("hostile/*")) + sorted(shared_data.glob("urbansound8k/audio/fold*/*"))[:20]
        check_equal(paths, graph_decoder.decoded(paths, 16000, 2))

    def test_the_cache_is_the_same(self, folder, tmp_path, capsys):
        manifest = Manifest([Clip(path.name) for path in sorted(folder.iterdir())], ("dog",), folder)
        caches = [
            ClipCache.build(manifest, 16000, tmp_path / decoder, progress=False, decoder=decoder)
            for decoder in ("soundfile", "tensorflow-io")
        ]
        assert "soundfile does" not in capsys.readouterr().err
        assert caches[0].lengths.tolist() == caches[1].lengths.tolist() and caches[0].failures == caches[1].failures
        np.testing.assert_allclose(caches[1].samples, caches[0].samples, rtol=0, atol=LSB)


class TestWithoutTensorFlowIO:
    def test_a_message_and_soundfile(self, folder, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(graph_decoder, "tensorflow_io_problem", lambda: "NotImplementedError: no such file")
        manifest = Manifest([Clip(name) for name in ("PCM_16.wav", "vorbis.ogg")], ("dog",), folder)
        cache = ClipCache.build(manifest, 16000, tmp_path / "cache", decoder="tensorflow-io")
        assert (
            "tensorflow-io cannot decode here (NotImplementedError: no such file): soundfile" in capsys.readouterr().err
        )
        np.testing.assert_array_equal(cache.waveform(1), read_audio(folder / "vorbis.ogg", 16000)[0])

    def test_it_is_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow_io", None)
        assert "tensorflow_io" in graph_decoder.tensorflow_io_problem.__wrapped__()

    def test_an_unknown_decoder(self, folder, tmp_path):
        with pytest.raises(
            ValueError, match="`decoder` must be one of 'soundfile', 'tensorflow-io'. Received: .*'sox'"
        ):
            ClipCache.build(Manifest([Clip("PCM_16.wav")], root=folder), 16000, tmp_path, decoder="sox")


@needs_keras_cv
def test_keras_cv_is_the_network_of_keras_applications(rng, tmp_path):
    keras.utils.set_random_seed(0)
    one, other = (
        EfficientNetTagger(5, (64, 40), "V2B0", 2, library=library, class_names="abcde", batch_norm_momentum=0.8)
        for library in ("keras.applications", "keras_cv")
    )
    other.set_weights(one.get_weights())
    x = rng.normal(size=(2, 64, 40)).astype("float32")
    np.testing.assert_allclose(numpy(run(other, x)), numpy(run(one, x)), rtol=1e-5)
    other.save(tmp_path / "tagger.keras")
    loaded = keras.models.load_model(tmp_path / "tagger.keras")
    np.testing.assert_array_equal(numpy(run(loaded, x)), numpy(run(other, x)))
    layer = loaded.layers[1].layers[-1].get_layer("stem_bn")
    assert layer.momentum == 0.8
