"""What `fuzz.py` attacks: of each kind of file how inputs are made, who reads them, which errors are documented."""

import io
import zipfile

import numpy as np
from mutations import damaged, damaged_json, damaged_text, repacked, with_ogg_checksums

RATE = 8000


class Target:
    """One kind of file.

    Attributes:
        refusals: Types of the documented errors.
    """

    refusals = (ValueError, OSError)

    def prepare(self, folder):
        """Makes what all inputs have in common."""

    def make(self, rng, folder):
        """Writes an input, and returns its path."""
        raise NotImplementedError

    def read(self, path):
        """Reads an input as a user would, and raises an `AssertionError` where the result is wrong."""
        raise NotImplementedError

    def names(self, path):
        """What an error must name, one of these."""
        return (path,)


def audio_files(container):
    """The bytes of a short noise in all encodings of a container of libsndfile that it writes and reads."""
    import soundfile

    found, rng = [], np.random.default_rng(0)
    for subtype in soundfile.available_subtypes(container):
        for channels in (1, 2):
            file = io.BytesIO()
            try:
                noise = rng.uniform(-0.5, 0.5, (600, channels))
                soundfile.write(file, noise, 22050, subtype, format=container)
                soundfile.read(io.BytesIO(file.getvalue()))
            except (soundfile.SoundFileError, ValueError, TypeError):
                continue
            found.append(file.getvalue())
    return found


class Audio(Target):
    """Header, whole file and stream of a container; the stream must give the samples of the whole file."""

    def __init__(self, container):
        from keras_audio_si.data.audio_io import AudioError

        self.refusals, self.container = AudioError, container
        self.seeds = audio_files(container)

    def make(self, rng, folder):
        path = folder / f"clip.{self.container.lower()}"
        data = damaged(rng.choice(self.seeds), rng, self.seeds)
        path.write_bytes(with_ogg_checksums(data) if self.container == "OGG" and rng.random() < 0.8 else data)
        return path

    def read(self, path):
        from keras_audio_si.data.audio_io import AudioError, audio_info, missing_seconds, open_audio, read_audio
        from keras_audio_si.data.audio_stream import stream_audio

        try:
            whole, _ = read_audio(path, RATE)
        except AudioError as error:
            if "too much to resample" not in str(error):  # A stream has no end to its length.
                try:
                    blocks = sum(map(len, stream_audio(path, RATE)))
                except AudioError:
                    pass
                else:
                    raise AssertionError(f"a stream of {blocks} samples, and an error of the whole file") from error
            raise
        assert whole.ndim == 1 and whole.dtype == np.float32 and np.isfinite(whole).all()
        stream = np.concatenate(list(stream_audio(path, RATE)))
        if self.container == "MP3":  # libmpg123 decodes frames that are damaged to other samples each time.
            stream, whole = stream.shape, whole.shape
        assert np.array_equal(stream, whole), f"a stream of {len(stream)} samples, not those of the whole file"
        info = audio_info(path)
        with open_audio(path) as file:
            assert info.sample_rate > 0 and info.channels > 0 and missing_seconds(file) >= 0


TARGETS = {}


def _register_audio():
    import soundfile

    for container in soundfile.available_formats():
        if container not in ("RAW", "SD2"):  # Without a header, and in two files.
            TARGETS[f"audio-{container.lower()}"] = lambda container=container: Audio(container)


_register_audio()


class Tables(Target):
    """The text files of a layout of data, of which each input has one damaged; the others are as they should be."""

    def __init__(self, layout, audio=(), **files):
        self.layout, self.audio, self.files = layout, audio, files

    def prepare(self, folder):
        for name in (*self.audio, *self.files):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(self.files.get(name, ""), encoding="utf-8")

    def make(self, rng, folder):
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        name = rng.choice(list(self.files))
        damage = damaged_json if name.endswith(".json") else damaged_text
        (folder / name).write_bytes(damage(self.files[name], rng))
        return folder

    def read(self, path):
        from keras_audio_si.data import Manifest, read_dataset

        manifest = read_dataset(path, self.layout)
        assert len(manifest) and manifest.label_matrix().shape == (len(manifest), len(manifest.class_names))
        if self.layout == "manifest":
            manifest.write(path / "written.csv")
            again = Manifest.read(path / "written.csv", manifest.class_names)
            facts = ("labels", "split", "fold", "clip_id", "group")
            for one, other in zip(manifest.clips, again.clips, strict=True):
                assert all(getattr(one, name) == getattr(other, name) for name in facts)


MANIFEST = (
    'path,labels,split,fold,clip_id,group\na.wav,dog,train,1,"a, b",x\nb.wav,dog;rain,test,2,\'=1,\n'
    '"c\nd.wav","rain",val,,c,"y ""z"""\n/elsewhere/e.wav,,train,3,,\n'
)
ESC50 = (
    "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,dog,True,1,A\n2-7-B-10.wav,2,10,rain,True,7,B\n"
)
URBANSOUND8K = (
    "slice_file_name,fsID,start,end,salience,fold,classID,class\n7-9-0-0.wav,7,0.0,4.0,1,10,9,street_music\n"
    "7-3-0-1.wav,7,4.0,6.5,2,10,3,dog_bark\n8-3-0-0.wav,8,0.0,4.0,1,2,3,dog_bark\n"
)
NSYNTH = (
    '{"bass_0-040-100": {"instrument_family": 0, "instrument_family_str": "bass", "pitch": 40},'
    ' "organ_1-060-100": {"instrument_family": 6, "instrument_family_str": "organ", "pitch": 60}}'
)
SEGMENTS = (
    "# Segments csv\n# num_segs=2\n# YTID, start_seconds, end_seconds, positive_labels\n"
    '--aaaaaaaaa, 30.000, 40.000, "/m/0,/t/1"\nYbbbbbbaaaa, 0.000, 10.000, "/t/1"\n'
)
LAYOUTS = {
    "manifest": Tables("manifest", **{"manifest.csv": MANIFEST}),
    "esc50": Tables("esc50", **{"meta/esc50.csv": ESC50}),
    "urbansound8k": Tables("urbansound8k", **{"metadata/UrbanSound8K.csv": URBANSOUND8K}),
    "fsd50k": Tables(
        "fsd50k",
        ("FSD50K.dev_audio/64.wav", "FSD50K.eval_audio/12.wav"),
        **{
            "FSD50K.ground_truth/vocabulary.csv": "0,Rain,/m/0\n1,Bark,/m/1\n2,Animal,/m/2\n",
            "FSD50K.ground_truth/dev.csv": 'fname,labels,mids,split\n64,"Bark,Animal","/m/1",train\n7,Rain,/m/0,val\n',
            "FSD50K.ground_truth/eval.csv": 'fname,labels,mids\n12,"Rain,Animal","/m/0,/m/2"\n',
            "FSD50K.metadata/dev_clips_info_FSD50K.json": '{"64": {"uploader": "a"}, "7": {"uploader": "b"}}',
        },
    ),
    "speech_commands": Tables(
        "speech_commands",
        ("yes/a_nohash_0.wav", "yes/a_nohash_1.wav", "no/a_nohash_0.wav"),
        **{"validation_list.txt": "yes/a_nohash_1.wav\nup/b_nohash_0.wav\n", "testing_list.txt": "no/a_nohash_0.wav\n"},
    ),
    "nsynth": Tables(
        "nsynth", **{f"nsynth-{part}/examples.json": NSYNTH.replace("100", part) for part in ("train", "valid", "test")}
    ),
    "audioset": Tables(
        "audioset",
        ("audio/Y--balabalaa.wav",),
        **{
            "class_labels_indices.csv": 'index,mid,display_name\n0,/m/0,"Male speech, man speaking"\n1,/t/1,Rain\n',
            **{
                f"{part}_segments.csv": SEGMENTS.replace("aaaa", part[:4])
                for part in ("balanced_train", "unbalanced_train", "eval")
            },
        },
    ),
    "prepared": Tables(
        "prepared",
        **{
            "manifest.csv": "path,labels\na.tfrecord/000000,dog\na.tfrecord/000001,rain\n",
            "index.json": '{"class_names": ["dog", "rain"], "shards": [{"name": "a.tfrecord"}]}',
        },
    ),
}
TARGETS |= {f"data-{name}": lambda name=name: LAYOUTS[name] for name in LAYOUTS}


class Shard(Target):
    """A shard, its list of clips and every one of them."""

    def __init__(self, suffix):
        from keras_audio_si.data.audio_io import AudioError

        self.suffix, self.refusals = suffix, (AudioError, ValueError)

    def prepare(self, folder):
        from keras_audio_si.data.shards import encoded, shard_writer

        rng, path = np.random.default_rng(0), folder / f"whole{self.suffix}"
        with shard_writer(path) as write:
            for length in (700, 50, 3):
                write(encoded(rng.uniform(-2, 2, length).astype("float32"), RATE))
        self.seed = path.read_bytes()

    def make(self, rng, folder):
        path = folder / f"clips{self.suffix}"
        path.write_bytes(damaged(self.seed, rng))
        return path

    def read(self, path):
        from keras_audio_si.data.audio_io import AudioError, read_audio
        from keras_audio_si.data.shards import clips_of

        errors = []
        for clip in clips_of(path)[:10]:
            try:
                waveform, _ = read_audio(clip, RATE)
                assert len(waveform) and np.isfinite(waveform).all()
            except AudioError as error:
                errors.append(error)
        if errors:
            raise errors[0]


TARGETS |= {f"shard-{suffix[1:]}": lambda suffix=suffix: Shard(suffix) for suffix in (".array_record", ".tfrecord")}


class ShardFacts(Target):
    """What `prepare` has written beside a shard, read when it continues: the shard is kept, or written anew."""

    refusals = ()

    def prepare(self, folder):
        import soundfile

        from keras_audio_si.data import Manifest
        from keras_audio_si.data.manifest import Clip

        names, rng = ("a.wav", "b.wav", "gone.wav"), np.random.default_rng(0)
        for name in names[:2]:
            soundfile.write(folder / name, rng.uniform(-0.5, 0.5, 500), RATE)
        self.manifest, self.output = Manifest([Clip(name, ("dog",)) for name in names], root=folder), folder / "shards"
        self.read(None)
        self.path = self.output / "clips-00000-of-00001.json"
        self.seed, self.shard = self.path.read_text(), self.path.with_suffix(".tfrecord").read_bytes()

    def make(self, rng, folder):
        self.path.write_bytes(damaged_json(self.seed, rng))
        return self.path

    def read(self, path):
        from keras_audio_si.data import prepare

        statistics = prepare(self.manifest, self.output, format="tfrecord", progress=False)
        assert (statistics["clips"], statistics["failed"]) == (2, 1)
        assert path is None or path.with_suffix(".tfrecord").read_bytes() == self.shard


TARGETS["shard-facts"] = ShardFacts


class Tag(Target):
    """Audio of the common formats through `tag`: finite scores, or an error of the file."""

    def __init__(self):
        containers = ("WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
        self.seeds = [data for container in containers for data in audio_files(container)]

    def prepare(self, folder):
        from classifiers import small_classifier

        self.model = small_classifier(("dog", "rain"))

    def make(self, rng, folder):
        path = folder / "clip.wav"
        path.write_bytes(with_ogg_checksums(damaged(rng.choice(self.seeds), rng, self.seeds)))
        return path

    def read(self, path):
        from keras_audio_si.inference.tagging import find_audio, tag_files

        for result in tag_files(self.model, find_audio([path])):
            if result.error is not None:
                raise ValueError(f"{result.path}: {result.error}")
            assert np.isfinite(result.scores).all() and result.scores.shape == (1, 2)


class Model(Target):
    """A `.keras` file, loaded as every command does, and a waveform scored by it."""

    def prepare(self, folder):
        import soundfile
        from classifiers import small_classifier

        path = folder / "whole.keras"
        small_classifier(("dog", "rain")).save(path)
        self.seed = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.audio = folder / "clip.wav"
        soundfile.write(self.audio, np.random.default_rng(0).uniform(-0.5, 0.5, RATE), RATE)

    def make(self, rng, folder):
        path, name = (
            folder / "model.keras",
            rng.choice((None, "model.weights.h5", *["config.json"] * 3, "metadata.json")),
        )
        if name is None:
            data = damaged(self.seed, rng)
        elif name.endswith(".json"):
            data = repacked(self.seed, {name: damaged_json(self.members[name].decode(), rng)})
        else:
            data = repacked(self.seed, {name: damaged(self.members[name], rng)})
        path.write_bytes(data)
        return path

    def read(self, path):
        from keras_audio_si.cli.chosen import load_models
        from keras_audio_si.inference.tagging import FoundFile, required_class_names, tag_files

        ((_, model),) = load_models([path]).items()
        required_class_names(model)
        for result in tag_files(model, [FoundFile(str(self.audio))]):
            if result.error is not None:
                raise ValueError(f"{path}: {result.error}")
            assert np.isfinite(result.scores).all()

    def names(self, path):
        return path, "The model "


class CheckpointFile(Target):
    """The only checkpoint of a run that has ended, which `fit` is to continue."""

    def prepare(self, folder):
        import dataclasses

        from tiny_training import FAST, train

        from keras_audio_si.training.checkpoint import KEPT

        self.settings = dataclasses.replace(FAST, epochs=KEPT)
        self.train = lambda: train(folder / "run", settings=self.settings, checkpoint_steps=None)
        self.train()
        *others, self.path = sorted((folder / "run" / "checkpoints").iterdir())
        for other in others:
            other.unlink()
        self.seed = self.path.read_bytes()
        with np.load(self.path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}

    def make(self, rng, folder):
        kind, arrays = rng.randrange(4), dict(self.arrays)
        if kind == 0:
            data = damaged(self.seed, rng)
        elif kind == 1:
            name = rng.choice([name for name in arrays if name != "record"])
            value = arrays[name]
            arrays[name] = rng.choice((value[None], value.ravel()[:-1], value.astype("U"), np.full_like(value, np.nan)))
        elif kind == 2:
            name = f"{rng.choice(list(arrays))}.npy"
            with zipfile.ZipFile(io.BytesIO(self.seed)) as archive:
                data = repacked(self.seed, {name: damaged(archive.read(name), rng)})
        else:
            arrays["record"] = np.frombuffer(damaged_json(arrays["record"].tobytes().decode(), rng), "uint8")
        if kind in (1, 3):
            file = io.BytesIO()
            np.savez(file, **arrays)
            data = file.getvalue()
        self.path.write_bytes(data)
        return self.path

    def read(self, path):
        from keras_audio_si.training.checkpoint import Checkpoint

        if Checkpoint.newest(path.parent) is not None:
            self.train()

    def names(self, path):
        return path.parents[1], path


class PyTorchFile(Target):
    """A PyTorch file of the released EAT, in both formats of `torch.save`, and a model of its tensors."""

    def prepare(self, folder):
        import torch

        from keras_audio_si.export.eat_weights import export_state_dict
        from keras_audio_si.models import EAT

        sizes = {"channels": 2, "transformer_layers": 1, "embedding_dim": 16, "heads": 1}
        self.tensors = export_state_dict(EAT(3, input_shape=(8192,), factors=(4, 4), **sizes))
        state, self.seeds = {name: torch.from_numpy(value.copy()) for name, value in self.tensors.items()}, []
        for zipped in (True, False):
            torch.save({"state_dict": state, "epoch": 3}, folder / "whole.pt", _use_new_zipfile_serialization=zipped)
            self.seeds.append((folder / "whole.pt").read_bytes())

    def make(self, rng, folder):
        path, data = folder / "weights.pt", rng.choice(self.seeds)
        if data.startswith(b"PK") and rng.random() < 0.7:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                data = repacked(data, {name: damaged(archive.read(name), rng)})
        else:
            data = damaged(data, rng)
        path.write_bytes(data)
        return path

    def read(self, path):
        from keras_audio_si.export.eat_weights import import_state_dict
        from keras_audio_si.export.pytorch_files import read_checkpoint

        tensors = read_checkpoint(path)
        if {name: value.shape for name, value in tensors.items()} != {
            name: value.shape for name, value in self.tensors.items()
        }:
            import_state_dict(tensors)

    def names(self, path):
        return path, "the state dict", "the tensor"


TARGETS |= {"tag": Tag, "keras": Model, "checkpoint": CheckpointFile, "pytorch": PyTorchFile}
