"""Files made to do harm, cases that fuzzing has found, surroundings that fail: each an error that says what to do."""

import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import soundfile
from classifiers import RATE, small_classifier
from mutations import repacked
from tiny_training import train

from keras_audio_si.cli import main as cli
from keras_audio_si.data import ClipCache, ClipFiles, prepare, read_dataset
from keras_audio_si.data.audio_io import AudioError, read_audio
from keras_audio_si.data.audio_stream import stream_audio
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.evaluation.shift_clips import listed_patches, select_patches, write_clip_list
from keras_audio_si.files import csv_line
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.inference.tagging import STEP_WINDOWS, find_audio, score_windows
from keras_audio_si.layers import LogMelSpectrogram
from keras_audio_si.models.loading import load_model
from keras_audio_si.training.checkpoint import Checkpoint

pytestmark = pytest.mark.once


class TestAudio:
    def test_an_encoding_that_cannot_tell_its_place(self, tmp_path, rng):
        soundfile.write(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, 5000), 8000, "NMS_ADPCM_16")
        whole, _ = read_audio(tmp_path / "a.wav", 16000)
        assert np.array_equal(np.concatenate(list(stream_audio(tmp_path / "a.wav", 16000))), whole)

    def test_names_that_are_not_utf_8(self, tmp_path, rng):
        pytest.importorskip("array_record", reason="writes the shards")
        try:
            os.makedirs(os.path.join(os.fsencode(tmp_path), b"data", b"\xffclass"))
        except OSError:
            pytest.skip("this file system takes UTF-8 alone")
        with open(os.path.join(os.fsencode(tmp_path), b"data", b"\xffclass", b"a\xe4.wav"), "wb") as file:
            soundfile.write(file, rng.uniform(-0.5, 0.5, 5000), 8000, format="WAV")
        manifest = read_dataset(tmp_path / "data")
        manifest.write(tmp_path / "m.csv")
        assert "\\udcffclass" in (tmp_path / "m.csv").read_text(encoding="utf-8")
        again = read_dataset(tmp_path / "m.csv")
        assert again.paths() == manifest.paths() and again.class_names == manifest.class_names == ("\udcffclass",)
        prepare(manifest, tmp_path / "shards", 8000, progress=False)
        for table in (tmp_path / "shards").glob("*.csv"):
            table.read_text(encoding="utf-8")
        shards = read_dataset(tmp_path / "shards")
        assert shards.clips[0].clip_id == manifest.clips[0].clip_id
        lengths = [ClipFiles.build(clips, 8000).lengths.tolist() for clips in (again, shards)]
        assert lengths == [ClipCache.build(again, 8000, tmp_path / "cache", progress=False).lengths.tolist()] * 2

    def test_a_header_that_claims_hours_is_not_decoded(self, tmp_path, rng):
        path = tmp_path / "a.w64"
        soundfile.write(path, rng.uniform(-0.5, 0.5, 600), 22050, "GSM610")
        content = bytearray(path.read_bytes())
        place = content.index(b"data") + 16
        content[place : place + 8] = bytes.fromhex("9a00001e858299aa")  # As a signed number it is negative.
        path.write_bytes(content)
        with pytest.raises(AudioError, match="a.w64: is damaged: its header claims"):
            read_audio(path)


TABLES = {
    "list that is not UTF-8": ("speech_commands", {"validation_list.txt": b"\xff\xfe", "testing_list.txt": b""}),
    "index that is no JSON": ("prepared", {"index.json": b"{", "manifest.csv": b"path,labels\na.wav,dog\n"}),
    "index nested without end": ("prepared", {"index.json": b"[" * 200_000, "manifest.csv": b"path,labels\na,b\n"}),
    "index without classes": ("prepared", {"index.json": b'{"class_names": 3}', "manifest.csv": b"path,labels\na,b\n"}),
    "number without end": (
        "nsynth",
        {
            f"nsynth-{part}/examples.json": b'{"a": {"instrument_family": 1e999, "instrument_family_str": "x"}}'
            for part in ("train", "valid", "test")
        },
    ),
    "clip that comes twice": (
        "esc50",
        {"meta/esc50.csv": b"filename,fold,target,category,src_file\n" + b"a.wav,1,0,dog,7\n" * 2},
    ),
    "cell beyond all limits": (
        "audioset",
        {
            "class_labels_indices.csv": b"index,mid,display_name\n0,/m/0,Rain\n",
            "balanced_train_segments.csv": b"a" * 140_000,
            "unbalanced_train_segments.csv": b"",
            "eval_segments.csv": b"",
        },
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(tmp_path, case):
    layout, files = TABLES[case]
    for name, content in {"yes/a.wav": b"", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_dataset(tmp_path, layout)
    assert str(tmp_path) in str(caught.value) and not isinstance(caught.value, UnicodeError | json.JSONDecodeError)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    small_classifier(("dog", "rain")).save(path)
    return path.read_bytes()


def config_of(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return json.loads(file.read("config.json"))


class TestModels:
    def refused(self, path, content, message="no saved model, or cannot be loaded"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            load_model(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("damage", ["empty", "text", "cut", "config", "weights", "no members"])
    def test_damage_names_the_file(self, saved, tmp_path, damage):
        content = {
            "empty": b"",
            "text": b"no archive " * 20,
            "cut": saved[: len(saved) // 2],
            "config": repacked(saved, {"config.json": b"[" * 100_000}),
            "weights": repacked(saved, {"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(100)}),
            "no members": b"PK\5\6" + bytes(18),
        }[damage]
        self.refused(tmp_path / "model.keras", content)

    def test_layers_that_do_not_fit_into_memory(self, saved, tmp_path):
        config = config_of(saved)
        dense = next(layer["config"] for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
        dense["units"] = 1 << 50
        self.refused(tmp_path / "model.keras", repacked(saved, {"config.json": json.dumps(config).encode()}))

    def test_layers_that_do_not_suit_each_other(self):
        class Fails(keras.layers.Layer):
            def call(self, x):
                if x.shape[0] == STEP_WINDOWS:
                    raise TypeError("no number")
                return x

        waveforms = keras.Input((400,))
        frames = LogMelSpectrogram(RATE, num_mels=8)(waveforms)
        with pytest.raises(ValueError, match="'maps' must give one array .*output shape is .None, .*8"):
            patch_layout(keras.Model(waveforms, frames, name="maps"))
        with pytest.raises(ValueError, match="'fails' cannot score waveforms of 400 samples: .*no number"):
            score_windows(keras.Sequential([keras.Input((400,)), Fails()], name="fails"), np.zeros((1, 400), "float32"))

    def test_lambda_layers_do_not_run(self, tmp_path):
        def harm(x):
            open(str(tmp_path / "harm"), "w").close()
            return x

        inputs = keras.Input((2,))
        keras.Model(inputs, keras.layers.Lambda(harm, output_shape=(2,))(inputs)).save(tmp_path / "lambda.keras")
        (tmp_path / "harm").unlink(missing_ok=True)
        self.refused(tmp_path / "model.keras", (tmp_path / "lambda.keras").read_bytes(), "[Ll]ambda")
        assert not (tmp_path / "harm").exists()

    @pytest.mark.parametrize(
        ("module", "name"), [("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("antigravity", "fly")]
    )
    def test_classes_of_other_modules_are_not_imported(self, saved, tmp_path, module, name):
        config = config_of(saved)
        harm = {"module": module, "class_name": name, "config": {"args": ["true"]}, "registered_name": None}
        config["config"]["layers"][1] |= harm
        sys.modules.pop("antigravity", None)
        self.refused(tmp_path / "model.keras", repacked(saved, {"config.json": json.dumps(config).encode()}))
        assert "antigravity" not in sys.modules

    def test_members_that_leave_the_folder_are_not_written(self, saved, tmp_path, monkeypatch):
        (tmp_path / "a" / "b").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "a" / "b")
        content = io.BytesIO(saved)
        with zipfile.ZipFile(content, "a") as archive:
            archive.writestr("../../harm", "harm")
            archive.writestr(str(tmp_path / "harm"), "harm")
        (tmp_path / "a" / "b" / "model.keras").write_bytes(content.getvalue())
        load_model("model.keras")
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "model.keras"]

    def test_weights_elsewhere_are_not_read(self, saved, tmp_path):
        h5py = pytest.importorskip("h5py")
        with zipfile.ZipFile(io.BytesIO(saved)) as archive:
            weights = io.BytesIO(archive.read("model.weights.h5"))
        (tmp_path / "elsewhere.h5").write_bytes(weights.getvalue())
        with h5py.File(weights, "r+") as file:
            del file["layers/dense"]
            file["layers/dense"] = h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/layers/dense")
        self.refused(tmp_path / "model.keras", repacked(saved, {"model.weights.h5": weights.getvalue()}), "[Ll]ink")


class TestCheckpoints:
    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("run")
        train(folder)
        return folder

    @pytest.mark.parametrize(
        "change",
        [
            {"epoch": "1"},
            {"epoch": -1},
            {"step": 10**20},
            {"finished": None},
            {"counters": {}},
            {"identity": []},
            {"counters": [["History", 3]]},
            {"more": 1},
        ],
    )
    def test_records_of_other_types(self, run, tmp_path, change):
        path = self.changed(run, tmp_path, lambda record: record | change)
        with pytest.raises(ValueError, match="is no checkpoint, or damaged") as caught:
            Checkpoint.read(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("callback", "values", "message"),
        [
            ("ReduceLROnPlateau", {"on_epoch_end": 3}, "on_epoch_end"),
            ("EarlyStopping", {"wait": "1"}, "EarlyStopping that are no numbers"),
            ("History", {"history": {"loss": [1.0], "val_mAP": []}}, "History that are no numbers"),
            ("History", {"history": {"loss": [[1.0]]}}, "History that are no numbers"),
            ("History", {"history": {"loss": [10**30]}}, "History that are no numbers"),
        ],
    )
    def test_callbacks_get_nothing_but_their_counters(self, run, tmp_path, callback, values, message):
        def change(record):
            dict(record["counters"])[callback].update(values)
            return record

        path = self.changed(run, tmp_path, change)
        (tmp_path / "run" / "checkpoints").mkdir(parents=True)
        path.rename(tmp_path / "run" / "checkpoints" / path.name)
        with pytest.raises(ValueError, match=f"cannot be continued.*{message}") as caught:
            train(tmp_path / "run")
        assert str(tmp_path / "run") in str(caught.value)

    def changed(self, run, folder, change):
        *_, newest = sorted((run / "checkpoints").iterdir())
        with np.load(newest) as arrays:
            content = {name: arrays[name] for name in arrays.files}
        record = change(json.loads(content["record"].tobytes()))
        content["record"] = np.frombuffer(json.dumps(record).encode(), "uint8")
        np.savez(folder / newest.name, **content)
        return folder / newest.name


def test_pytorch_files_that_break_off_within_a_pickle(tmp_path):
    torch = pytest.importorskip("torch")
    from keras_audio_si.export.pytorch_files import read_checkpoint

    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pt").read_bytes()
    for length in range(1, len(content), 29):
        (tmp_path / "a.pt").write_bytes(content[:length])
        with pytest.raises(ValueError, match="a.pt is not a PyTorch file of tensors alone"):
            read_checkpoint(tmp_path / "a.pt")


def test_a_carriage_return_does_not_begin_a_line():
    assert csv_line(["a\r=1", "b"]) == '"a\r=1",b\n'


def test_lists_of_shift_clips_have_no_formulas(tmp_path, rng):
    cache = ClipCache.from_waveforms(rng.uniform(-1, 1, (2, 30_000)), [("=dog",), ("-rain",)], 10_000)
    clips = tuple(Clip(f"={clip.path}", clip.labels) for clip in cache.manifest.clips)
    cache = ClipCache(Manifest(clips), 10_000, cache.samples, cache.starts, cache.lengths)
    patches = select_patches(cache, 100, 10)
    write_clip_list(patches, cache, tmp_path / "clips.csv")
    assert not any(cell.startswith(("=", "-")) for cell in (tmp_path / "clips.csv").read_text().split(","))
    assert listed_patches(cache, tmp_path / "clips.csv", 100, 10).clip_indices.tolist() == [0, 1]


@pytest.mark.parametrize("format", ["arrayrecord", "tfrecord"])
def test_manifests_that_leave_the_folder_write_to_the_outputs_alone(saved, tmp_path, rng, format):
    pytest.importorskip("tensorflow" if format == "tfrecord" else "array_record", reason="writes this format")
    (tmp_path / "data").mkdir()
    (tmp_path / "model.keras").write_bytes(saved)
    for path in ("elsewhere.wav", "data/a.wav"):
        soundfile.write(tmp_path / path, rng.uniform(-0.5, 0.5, RATE), RATE)
    absolute, lines = str(tmp_path / "harm"), [["path", "labels", "split", "clip_id", "group"]]
    for path in ("../elsewhere.wav", str(tmp_path / "elsewhere.wav"), "a.wav", "../gone.wav", "/dev/null"):
        lines += [[path, "../../harm", split, f"{split}/{path}", "../harm"] for split in ("../harm", absolute)]
    (tmp_path / "data" / "manifest.csv").write_text("".join(map(csv_line, lines)))

    def files():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before, (shards, tags) = files(), (tmp_path / "shards", tmp_path / "tags.csv")
    prepare = ["prepare", "--data", str(tmp_path / "data" / "manifest.csv"), "--output", str(shards)]
    assert cli.main([*prepare, "--format", format]) == 0
    assert cli.main(["tag", str(tmp_path / "model.keras"), str(shards), "--output", str(tags)]) == 0
    assert len(tags.read_text().splitlines()) == 1 + 2 * 3
    assert {path: data for path, data in files().items() if path != tags and path.parent != shards} == before


@pytest.fixture
def sounds(tmp_path, rng):
    for name in ("dog", "rain"):
        (tmp_path / "data" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "data" / name / "a.wav", rng.uniform(-0.5, 0.5, 4 * RATE), RATE)
    return tmp_path / "data"


class TestSurroundings:
    def limited(self, most, code, *arguments):
        """Runs code in a process whose files may have so many bytes, as on a disk that is full."""

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        command = [sys.executable, "-c", code, *map(str, arguments)]
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, capture_output=True, text=True, env=env, preexec_fn=limit)

    COMMANDS = {
        "evaluate": ["evaluate", "vgg41-esc10", "--data", "data", "--cache-dir", "out"],
        "arrayrecord": ["prepare", "--data", "data", "--output", "out"],
        "tfrecord": ["prepare", "--data", "data", "--output", "out", "--format", "tfrecord"],
        "tag": ["tag", "data", "--output", "out/tags.csv"],
        "embed": ["embed", "data", "--output", "out/found.npz"],
    }

    @pytest.mark.slow
    @pytest.mark.parametrize("name", COMMANDS)
    def test_a_full_disk(self, sounds, tmp_path, name):
        (tmp_path / "out").mkdir()
        code = "import os, sys; os.chdir(sys.argv.pop(1)); from keras_audio_si.cli.main import main; sys.exit(main())"
        done = self.limited(100 if name in ("tag", "embed") else 20_000, code, tmp_path, *self.COMMANDS[name])
        message = "error: cannot write to 'out': file too large .*for a limit.*; raise the limit, .*and run it again"
        assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
        left = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_size > 5000]
        assert left == []

    @pytest.mark.slow
    def test_two_processes_build_one_cache(self, sounds, tmp_path):
        code = "import sys; from keras_audio_si.data import *; "
        code += "print(ClipCache.build(read_dataset(sys.argv[1]), 8000, sys.argv[2], progress=False).samples.sum())"
        command = [sys.executable, "-c", code, str(sounds), str(tmp_path / "cache")]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
        printed = [process.communicate()[0] for process in both]
        assert printed[0] == printed[1] != "" and [process.returncode for process in both] == [0, 0]
        assert len(list((tmp_path / "cache").iterdir())) == 1

    def test_links_that_lead_to_themselves(self, sounds):
        (sounds / "dog" / "loop").symlink_to(sounds)
        (sounds / "dog" / "loop.wav").symlink_to(sounds / "dog" / "loop.wav")
        assert len(read_dataset(sounds)) == 3 and len(find_audio([sounds])) == 3
        with pytest.raises(ValueError, match="loop.wav: there is no such file"):
            read_audio(sounds / "dog" / "loop.wav")
