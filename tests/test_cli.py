import argparse
import ast
import csv
import dataclasses
import os
import pathlib
import runpy
import shlex
import subprocess
import sys

import keras
import numpy as np
import pytest
import soundfile

from keras_audio_si.cli import main as cli
from keras_audio_si.cli import train
from keras_audio_si.cli.arguments import descriptions, flags_of, saving_of
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.experiments.presets import preset
from keras_audio_si.experiments.recipes import RECIPES
from keras_audio_si.experiments.settings import Settings, part_of
from keras_audio_si.models.networks import NETWORKS

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "recipes").glob("*.py"))
SMALL = "--preset paper --sample-rate 16000 --width 0.0625 --batch-size 16 --epochs 1 --learning-rate 0.01".split()


def cli_output(capsys, *args):
    code = cli.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


def error_of(capsys, *args):
    """The line of an error that ends the command."""
    assert cli.main([str(arg) for arg in args]) == 2
    out, err = capsys.readouterr()
    assert err.count("error: ") == 1 and err.splitlines()[-1].startswith("error: ")
    return err


def usage_error(capsys, *args):
    with pytest.raises(SystemExit) as exit:
        cli.main([str(arg) for arg in args])
    assert exit.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def python(*args):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, env=env)


def test_help_imports_no_framework():
    code = (
        "import sys; sys.argv = ['keras-audio-si']; import keras_audio_si.cli.main as cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: print(sorted({'keras', 'numpy', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    result = python("-c", code)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr
    assert all(verb in result.stdout for verb in ("train", "evaluate", "shift-test", "list", "bench"))


@pytest.mark.once
def test_a_module_that_is_run_takes_the_backend():
    result = python("-m", "keras_audio_si", "list", "networks", "--backend", "none-such")
    assert "error: Unable to import backend : none-such" in result.stderr


@pytest.mark.once
class TestList:
    def test_everything(self, capsys):
        out = cli_output(capsys, "list")
        for name in (
            "vgg42",
            "mstnet",
            "leaf",
            "mel-pcen",
            "attention",
            "diffres",
            "tlpf5+aps",
            "tlpf6x1+ibp",
            "liu2022-esc50",
            "quick",
            "freq-3",
        ):
            assert name in out

    def test_one_kind(self, capsys):
        lines = cli_output(capsys, "list", "networks").splitlines()
        assert [line.split()[0] for line in lines] == ["networks:", *NETWORKS]
        assert all(line.endswith(".") or "(" in line for line in lines[1:])


@pytest.mark.once
class TestBench:
    def test_what_is_given_reaches_the_bench(self, monkeypatch):
        from keras_audio_si.bench import layers, models, pipeline

        calls = []
        for module, name in ((layers, "bench_layers"), (models, "bench_models"), (pipeline, "bench_pipeline")):

            def bench(names=None, model=None, rounds=None, jit_compile=None, json_path=None, name=name):
                calls.append((name, names, model, rounds, jit_compile, json_path))

            monkeypatch.setattr(module, name, bench)
        assert cli.main("bench layers --names scores log-mel --rounds 3 --json out.json".split()) == 0
        assert cli.main("bench models --model vgg42 --no-jit-compile".split()) == 0
        assert cli.main(["bench", "pipeline"]) == 0
        assert calls == [
            ("bench_layers", ["scores", "log-mel"], None, 3, None, "out.json"),
            ("bench_models", None, "vgg42", None, False, None),
            ("bench_pipeline", None, None, None, None, None),
        ]

    def test_unknown_names_name_the_nearest(self, capsys):
        assert "'vgg43'. Did you mean 'vgg4" in error_of(capsys, "bench", "models", "--model", "vgg43")
        assert usage_error(capsys, "bench", "models", "--round", 3).endswith(". Did you mean '--rounds'?")


@pytest.mark.once
class TestErrors:
    def test_no_data(self, capsys):
        assert "nowhere" in error_of(capsys, "train", "--data", "nowhere", "--output", "out")

    def test_unknown_names_name_the_nearest(self, capsys):
        common = ("train", "--data", "x", "--output", "y")
        assert "'vgg4'. Did you mean 'vgg4" in error_of(capsys, *common, "--model", "vgg4")
        assert "'fonseca2012'. Did you mean 'fonseca2021'" in error_of(capsys, *common, "--recipe", "fonseca2012")
        rows = ("--recipe", "gazneli2022-urbansound8k-pretrained")
        assert "starts from a trained model: name one by --initial" in error_of(capsys, *common, *rows)
        rows = ("--recipe", "fonseca2021", "--row", "tlfp5")
        assert "'tlfp5'. Did you mean 'tlpf5'" in error_of(capsys, *common, *rows)
        assert usage_error(capsys, *common, "--epoch", 3).endswith("unknown argument --epoch. Did you mean '--epochs'?")

    def test_options_that_would_do_nothing(self, capsys):
        for verb in (["export", "a.keras", "--to", "onnx", "--output", "b"], ["plot", "activations", "a.keras"]):
            error = usage_error(capsys, *verb, "--data", "c", "--batch-size", 3)
            assert "unknown argument --batch-size" in error
        common = ("export", "a.keras", "--to", "onnx", "--output", "b")
        for flag in ("--split test", "--folds 1", "--layout esc50", "--cache-dir c", "--no-cache"):
            assert f"`{flag.split()[0]}` needs `--data`" in error_of(capsys, *common, *flag.split())
        for flag in ("--pcm-channels 1", "--pcm-type int16"):
            assert "are of `-`: files say theirs" in error_of(capsys, "tag", "a.wav", *flag.split())
        width = ("bench", "models", "--model", "MobileNetV2", "--width", 0.5)
        assert "`width` is for vgg41 and vgg42" in error_of(capsys, *width)

    def test_numbers_and_names_of_shifts(self, capsys):
        common = ("shift-test", "gone.keras", "--data", "x")
        assert "`max_clips` must be an integer of at least 1" in error_of(capsys, *common, "--max-clips", 0)
        assert "`protocol` must be 'time-N'" in error_of(capsys, *common, "--protocols", "time-x")
        listed = usage_error(capsys, *common, "--max-clips", 1000, "--shift-clips", "clips.csv")
        assert "not allowed with argument --max-clips" in listed
        both = ("--max-shift-clips", 9, "--shift-clips", "clips.csv")
        assert "lists all clips: leave --max-shift-clips out" in error_of(
            capsys, "train", "--data", "x", "--output", "y", *both
        )

    def test_values_out_of_range(self, capsys):
        common = ("train", "--data", "x", "--output", "y")
        assert "`epochs`" in error_of(capsys, *common, "--epochs", 0)
        assert "`resolution` and `frames_per_second`" in error_of(capsys, *common, "--resolution", "diffres")
        assert "--table belongs to --recipe" in error_of(capsys, *common, "--table", "I")
        assert "exclude each other" in error_of(capsys, *common, "--recipe", "juettner", "--preset", "quick")
        tables = ("--recipe", "liu2022-audioset", "--table", "1", "3")
        assert "`table` must be of one measured value" in error_of(capsys, *common, *tables)

    @pytest.mark.parametrize("port", [0, 99999])
    def test_ports(self, port, capsys):
        assert "`port` must be in [1, 65535]" in error_of(capsys, "demo", "gone.keras", "--port", port)

    def test_no_model(self, capsys):
        assert "no model file gone.keras" in error_of(capsys, "evaluate", "gone.keras", "--data", "x")

    @pytest.mark.parametrize(
        "command, message",
        [
            ("evaluate gone.keras --data x --output FILE", "`--output` must be a folder, and"),
            ("evaluate gone.keras --data x --report FILE/sub", "`--report` must be a folder, and"),
            ("evaluate gone.keras --data x --output DIR/a --report DIR/../DIR/a", "different folders, as both write"),
            ("compare gone other --output FILE", "`--output` must be a folder, and"),
            ("shift-test gone.keras --data x --output FILE", "`--output` must be a folder, and"),
            ("calibrate gone.keras --data x --output gone/cal.keras", "in a folder that is there: make gone."),
            ("calibrate gone.keras --data x --output cal.h5", "must end in .keras. Received: cal.h5"),
            ("calibrate gone.keras --data x --output cal.KERAS", "must end in .keras. Received: cal.KERAS"),
            ("export-weights FILE --output FILE", "`--output` would replace FILE, which is read: give another file"),
            ("import-weights eat gone.pt --output DIR/eat", "must end in .keras"),
            ("export-weights gone.keras --output DIR", "`--output` must be a file, and"),
            ("export gone.keras --to onnx --output DIR", "`--output` must be a file, and"),
            ("tag gone.keras x.wav --output DIR", "is a folder: add the name of the file"),
            ("embed gone.keras x.wav --output DIR.npz", "is a folder: add the name of the file"),
            ("plot kernels gone.keras --output k.txt", "must end in .eps, "),
            ("plot confusion gone.keras --data x --output DIR.png", "`--output` must be a file, and"),
            ("plot activations gone.keras --data x --output FILE/a.png", "`--output` must be a folder, and"),
            ("plot diffres gone.keras x.wav --output picture", "must end in .eps, "),
            ("train --data x --output FILE", "`--output` must be a folder, and"),
            ("train --data DIR --output ./DIR", "`--output` must be another folder than that of the data"),
            ("train --data x --output y --results gone/results.csv", "in a folder that is there: make gone."),
            ("prepare --data x --output FILE", "`--output` must be a folder, and FILE is a file"),
            ("prepare --data x --output FILE/sub", "`--output` must be a folder, and FILE is a file"),
            ("prepare --data x --output ''", "`--output` is empty: it must name a folder ('.' is this one)"),
            ("train --data x --output ''", "`--output` is empty: it must name a folder"),
            ("evaluate gone.keras --data x --output ''", "`--output` is empty: it must name a folder"),
            ("evaluate gone.keras --data x --report ''", "`--report` is empty: it must name a folder"),
            ("compare gone other --output ''", "`--output` is empty: it must name a folder"),
            ("shift-test gone.keras --data x --output ''", "`--output` is empty: it must name a folder"),
            ("export gone.keras --to savedmodel --output ''", "`--output` is empty: it must name a folder"),
            ("export gone.keras --to savedmodel --output FILE/sub", "`--output` must be a folder, and FILE is a file"),
            ("export gone.keras --to onnx --output ''", "`--output` is empty: it must name a file"),
            ("tag gone.keras x.wav --output ''", "`--output` is empty: it must name a file"),
            ("calibrate gone.keras --data x --output ''", "`--output` is empty: it must name a file"),
            ("plot kernels gone.keras --output ''", "`--output` is empty: it must name a file"),
            ("bench layers --json ''", "`--json` is empty: it must name a file"),
            ("train --data x --output y --results FILE", "is no file of results: it must have the columns paper, "),
        ],
    )
    def test_outputs_are_checked_before_all_else(self, command, message, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for folder in ("DIR", "DIR.npz", "DIR.png"):
            (tmp_path / folder).mkdir()
        (tmp_path / "FILE").write_text("a,b\n1\n")
        assert message in error_of(capsys, *shlex.split(command))
        assert len(list(tmp_path.iterdir())) == 4

    def test_no_usable_audio(self, capsys, tmp_path):
        for name in ("a", "b"):
            (tmp_path / "data" / name).mkdir(parents=True)
            for number in range(8):
                (tmp_path / "data" / name / f"{number}.wav").write_bytes(b"not audio")
        args = ("train", "--data", tmp_path / "data", "--output", tmp_path / "out", "--cache-dir", tmp_path / "cache")
        assert "None of the 10 clips could be read" in error_of(capsys, *args)

    def test_what_the_data_or_the_network_rules_out_is_known_before_audio_is_decoded(self, capsys, tmp_path):
        for name in "abcd":
            soundfile.write(tmp_path / f"{name}.wav", np.full(500, 0.1), 8000)
        for name, labels in {"several": "x;y", "one": "x"}.items():
            lines = ["path,labels,split", "a.wav,x,train", f"b.wav,{labels},train", "c.wav,x,val", "d.wav,x,test"]
            (tmp_path / f"{name}.csv").write_text("\n".join(lines))
        common = ("train", "--output", tmp_path / "out", "--cache-dir", tmp_path / "cache", "--loss", "softmax-or-bce")
        message = "needs clips of one label each: take 'bce'. Received: clip 'b.wav' with 2 labels"
        assert message in error_of(capsys, *common, "--data", tmp_path / "several.csv")
        assert "needs at least two classes" in error_of(capsys, *common, "--data", tmp_path / "one.csv")
        for split in ("train", "val", "test"):
            (tmp_path / "folders" / split / "x;y").mkdir(parents=True)
            soundfile.write(tmp_path / "folders" / split / "x;y" / f"{split}.wav", np.full(500, 0.1), 8000)
        folders = ("--data", tmp_path / "folders", "--loss", "bce")
        assert "Label 'x;y' contains ';'" in error_of(capsys, *common, *folders)
        eat = ("--data", tmp_path / "one.csv", "--loss", "bce", "--model", "eat-s", "--protocols", "freq-1")
        assert "'freq-N' shifts the bands of a spectrogram, but the model 'eat" in error_of(capsys, *common, *eat)
        assert not (tmp_path / "cache").exists()

    def test_thresholds_are_shares(self, capsys):
        for value in (50, "nan"):
            assert "`threshold` must be" in error_of(capsys, "tag", "a.keras", "a.wav", "--threshold", value)

    def test_closed_streams(self):
        code = (
            "import sys; sys.stdin = sys.stdout = sys.stderr = None; from keras_audio_si.cli.main import main; "
            "codes = [main(['list', 'networks']), main(['tag', '-', '--pcm-rate', '8000'])]; assert codes == [0, 2]"
        )
        assert python("-c", code).returncode == 0

    def test_debug_shows_where(self):
        with pytest.raises(ValueError, match="nowhere"):
            cli.main(["train", "--data", "nowhere", "--output", "out", "--debug"])

    def test_too_little_memory(self, capsys):
        def too_much(args):
            raise MemoryError("Unable to allocate\n7. EiB")

        assert cli.guarded(too_much, argparse.Namespace(debug=False)) == 2
        assert capsys.readouterr().err == "error: too little memory. Unable to allocate 7. EiB\n"

    def test_an_error_of_a_file_that_tf_data_passes_on(self, capsys):
        class OfTensorFlow(Exception):
            pass

        def damaged(args):
            raise OfTensorFlow("Graph execution error:\nAudioError: a.wav: is damaged (lost)\nTraceback ...")

        assert cli.guarded(damaged, argparse.Namespace(debug=False)) == 2
        assert capsys.readouterr().err == "error: a.wav: is damaged (lost)\n"
        with pytest.raises(OfTensorFlow):
            cli.guarded(damaged, argparse.Namespace(debug=True))

    def test_nobody_reads_the_output(self):
        code = (
            "import sys; from keras_audio_si.cli.main import guarded\n"
            "sys.exit(guarded(lambda args: print(*range(int(sys.argv[1]))), None))"
        )
        for count in (3, 100_000):  # What is written at the end, and before.
            reader, writer = os.pipe()
            os.close(reader)
            result = subprocess.run([sys.executable, "-c", code, str(count)], stdout=writer, stderr=subprocess.PIPE)
            os.close(writer)
            assert result.returncode == 141 and b"Broken" not in result.stderr

    def test_interruption(self, capsys):
        def interrupted(args):
            raise KeyboardInterrupt

        assert cli.guarded(interrupted, None) == 130
        assert "Interrupted" in capsys.readouterr().err


@pytest.mark.once
class TestSettings:
    """The flags of `train`, which are made from the settings."""

    def parse(self, *args):
        parsed = cli.build_parser().parse_args(["train", "--data", "x", "--output", "y", *args])
        given = {name: value for name, value in vars(parsed).items() if name in part_of()}
        return parsed, train._preset(parsed, given)

    def test_every_setting_has_a_flag_with_help(self, capsys):
        with pytest.raises(SystemExit):
            cli.main(["train", "--help"])
        shown = capsys.readouterr().out
        renamed = {"network": "model", "frames_per_second": "fps"}
        for name in set(part_of()) - {"seed"}:
            assert f"--{renamed.get(name, name).replace('_', '-')}" in shown
        words = " ".join(shown.split())
        assert "None" not in words and '`"auto"`' not in words
        assert "none for float32 throughout, or what --initial has" in words and "none trains all --epochs" in words
        for part in dataclasses.fields(Settings):
            assert set(descriptions(part.type)) == {field.name for field in dataclasses.fields(part.type)}

    def test_what_is_not_given_is_that_of_the_preset(self):
        assert self.parse()[1] == preset("quick", "vgg41")
        assert self.parse("--preset", "paper", "--model", "eat-m")[1] == preset("paper", "eat-m")

    def test_what_is_given_counts(self):
        args = "--epochs 3 --width 2 --no-jit-compile --mixed-precision bfloat16 --mixings mixup freqmix --fps 25"
        _, settings = self.parse(*args.split(), *"--resolution diffres --dilations 1 2 4 8 16 --protocols".split())
        assert (settings.training.epochs, settings.model.width, settings.training.jit_compile) == (3, 2.0, False)
        assert (settings.model.mixed_precision, settings.evaluation.protocols) == ("bfloat16", ())
        assert (settings.model.mixings, settings.model.dilations) == (("mixup", "freqmix"), (1, 2, 4, 8, 16))
        cycle = "--schedule one-cycle --optimizer adamw --ema-decay 0.9 --early-stopping-patience none"
        training = self.parse(*cycle.split())[1].training
        assert (training.schedule, training.optimizer, training.ema_decay) == ("one-cycle", "adamw", 0.9)
        assert training.early_stopping_patience is None
        args = "--model eat-s --factors None --aggregations mean --width NONE --mixings none"
        model = self.parse(*args.split())[1].model
        assert (model.factors, model.aggregations, model.width, model.mixings) == (None, ("mean",), None, ())

    def test_what_is_none_of_those_known(self, capsys):
        common = ("train", "--data", "x", "--output", "y")
        error = error_of(capsys, *common, "--short", "nil")
        assert "must be one of None, 'repeat', 'zero', 'drop'" in error and "Did you mean" not in error
        assert "none stands alone" in usage_error(capsys, *common, "--dilations", 1, "none")

    def test_the_plan_says_what_was_chosen(self):
        def plan(*args):
            return train._plan_of(self.parse(*args)[1])

        eat = "loss softmax-or-bce, label smoothing 0.1, augmentation eat-light, mixing mixup, timemix, freqmix, "
        eat += "phasemix (probability 1, labels convex) after 12 epochs, SpecAugment off"
        assert eat in plan("--preset", "thorough", "--model", "eat-s")
        union = "--mixings timemix --mixing-probability 0.5 --label-rule union --mixup-alpha 0.3".split()
        mixed = "mixing timemix (probability 0.5, labels union) and gain-aware mixup (alpha 0.3, probability 0.5), Spec"
        assert mixed in plan(*union)
        diffres = ["--resolution", "diffres", "--fps", "25", "--guide-weight", "0.5"]
        guide = "DiffRes to 25 frames per second, guide loss hinge (weight 0.5, threshold 0.5), batch normalisation"
        assert guide in plan(*diffres)
        assert "(weight 0.5, threshold 0.5, empty frames rms)" in plan(*diffres, "--guide-emptiness", "rms")
        assert "width 0.25" in plan() and "after" not in plan() and "guide" not in plan()

    def test_the_plan_of_a_trained_model_has_no_settings_of_a_network(self):
        settings = self.parse("--initial", "vgg41-esc10")[1]
        shown = train._plan_of(settings)
        assert shown.startswith(f"vgg41-esc10, {settings.training.epochs} epochs, batches of 16 patches, adam 0.001")
        for word in ("width", "SpecAugment", "DiffRes", "batch normalisation"):
            assert word not in shown

    @pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
    def test_flags_of_settings_give_them(self, recipe):
        for table in recipe.tables:
            for settings in recipe.rows([table])[0].values():
                network = settings.model.network
                flags = flags_of(settings, preset("paper", network))
                assert self.parse("--preset", "paper", "--model", network, *flags)[1] == settings

    def test_what_happens_to_a_run_that_was_cut_off(self, capsys):
        assert saving_of(self.parse()[0]) == {"resume": False, "overwrite": False, "checkpoint_steps": None}
        args, _ = self.parse("--resume", "--checkpoint-steps", "9")
        assert saving_of(args) == {"resume": True, "overwrite": False, "checkpoint_steps": 9}
        with pytest.raises(SystemExit):
            self.parse("--resume", "--overwrite")
        assert "not allowed with" in capsys.readouterr().err

    def test_seeds(self, capsys):
        for args, seeds in {"": [0], "--seeds 3": [0, 1, 2], "--seeds 4 2": [4, 2], "--seed 7": [7]}.items():
            assert train._seeds(self.parse(*args.split())[0]) == seeds
        common = ("train", "--data", "x", "--output", "y")
        for count in (0, -1):
            error = error_of(capsys, *common, "--seeds", count)
            assert f"at least 1; a single seed is named by --seed. Received: --seeds {count}" in error
        for wrong in (("--seed", -1), ("--seeds", 1, 1), ("--seeds", 2, -2)):
            assert "Seeds must be different, and 0 or more" in error_of(capsys, *common, *wrong)
        assert "not allowed with argument" in usage_error(capsys, *common, "--seeds", 2, "--seed", 1)

    def test_folds(self):
        manifest = Manifest(
            [Clip(f"{i}.wav", ("dog", "rain")[i % 2 : i % 2 + 1], fold=1 + i // 2 % 10) for i in range(80)]
        )

        def divisions(*args, folds=None):
            parsed, settings = self.parse(*args)
            return train._divisions(parsed, manifest, settings.data, folds or {})

        assert list(divisions("--folds", "all")) == [f"fold-{number}" for number in range(1, 11)]
        assert list(divisions("--folds", "2", "4")) == ["fold-2", "fold-4"]
        (division,) = divisions("--train-folds", "1", "--test-folds", "3").values()
        assert {clip.fold for clip in division.clips} == {1, 3}
        (division,) = divisions(folds=RECIPES["juettner"].folds).values()
        assert {clip.split: clip.fold for clip in division.clips}["val"] == 9
        assert len(divisions("--folds", "all", "--validation-folds", "previous", folds=RECIPES["juettner"].folds)) == 10


@pytest.mark.once
@pytest.mark.parametrize("recipe", SCRIPTS, ids=lambda path: path.stem)
def test_recipe_says_what_it_is_and_takes_no_unknown_setting(recipe, monkeypatch, capsys):
    docstring = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8")))
    assert all(part in docstring for part in (f"python recipes/{recipe.name}", "Paper:", "Expect", "Cost:"))
    options = {
        "--report": ["--data", "x", "--report", "y"],
        "--choice-folds": ["--data", "x", "--folds", "1", "--output", "y"],
    }
    required = next((given for option, given in options.items() if option in docstring), [])
    monkeypatch.setattr(sys, "argv", [recipe.name, *required, "--outptu", "y"])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(recipe), run_name="__main__")
    assert exit.value.code == 2 and "Did you mean '--output'?" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.once
def test_a_recipe_on_a_folder_of_another_layout(tmp_path, capsys):
    (tmp_path / "dog").mkdir()
    args = ("train", "--recipe", "liu2022-fsd50k", "--data", tmp_path, "--output", tmp_path / "out")
    assert "does not have the layout 'fsd50k'. It could be read as: 'class_folders'" in error_of(capsys, *args)


@pytest.mark.first
class TestTraining:
    """`train`, then `evaluate` and `shift-test` on what it wrote."""

    @pytest.fixture(scope="class")
    def trained(self, one_block, tmp_path_factory):
        pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")
        from keras_audio_si.data.synthetic import write_dataset

        folder = tmp_path_factory.mktemp("trained")
        write_dataset(folder / "data", 50, min_seconds=2.0, max_seconds=2.1)
        args = ["train", "--data", folder / "data", "--output", folder / "run", "--cache-dir", folder / "cache"]
        assert cli.main([*map(str, args), *SMALL, "--pooling", "blur3", "--protocols", "time-1", "samples-40"]) == 0
        return folder

    def table(self, path):
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def choice(self, folder):
        return ("--data", folder / "run" / "manifest.csv", "--split", "test", "--cache-dir", folder / "cache")

    def test_train_leaves_model_logs_and_table(self, trained):
        assert (trained / "run" / "model.keras").exists() and (trained / "run" / "log.csv").exists()
        (row,) = self.table(trained / "run" / "table.csv")
        assert "samples-40 MAC" in row and row["row"] == "model"
        assert len(self.table(trained / "run" / "clips.csv")) == 10
        assert "| test  |    10 |" in (trained / "run" / "model_card.md").read_text(encoding="utf-8")

    def test_evaluate_gives_the_numbers_of_the_training(self, trained, capsys, tmp_path):
        out = cli_output(
            capsys, "evaluate", trained / "run" / "model.keras", *self.choice(trained), "--output", tmp_path
        )
        (row,) = self.table(trained / "run" / "table.csv")
        printed = dict(line.rsplit(maxsplit=1) for line in out.splitlines() if len(line.split()) == 2)
        assert "10 clips" in out
        shown = [line.split() for line in out.splitlines()]
        header = next(i for i, words in enumerate(shown) if "mAP" in words)
        if printed.get("mAP") is None:  # one line for the model, not one for each quantity
            printed = dict(zip(shown[header], shown[header + 1], strict=True))
        for name in ("mAP", "d'", "accuracy"):
            assert printed[name] == f"{float(row[name]):.3f}"
        classes = self.table(tmp_path / "per_class.csv")
        assert len(classes) == 10
        precision = [float(line["average precision"]) for line in classes]
        assert sum(precision) / 10 == pytest.approx(float(row["mAP"]), abs=1e-6)

    @pytest.mark.slow
    def test_shift_test_gives_the_numbers_of_the_training(self, trained, capsys, tmp_path):
        model = trained / "run" / "model.keras"
        other = tmp_path / "other.keras"
        other.write_bytes(model.read_bytes())
        protocols = ("--protocols", "samples-40", "time-1", "freq-1")
        out = cli_output(
            capsys, "shift-test", model, other, *self.choice(trained), *protocols, "--output", tmp_path / "out"
        )
        assert "10 clips" in out and (tmp_path / "out" / "stability.png").exists()
        drawn, written = (self.table(folder / "shift_clips.csv") for folder in (trained / "run", tmp_path / "out"))
        assert drawn == written
        (expected,) = self.table(trained / "run" / "table.csv")
        rows = self.table(tmp_path / "out" / "shifts.csv")
        assert [row["model"] for row in rows] == ["run", "other"]
        for row in rows:
            for name in ("time-1 MAC", "samples-40 MAC", "samples-40 consistency (%)"):
                assert float(row[name]) == pytest.approx(float(expected[name]), abs=1e-6)

    def test_divided_data_need_a_choice(self, trained, capsys):
        args = ("evaluate", trained / "run" / "model.keras", "--data", trained / "data")
        assert "--split (test, train, val)" in error_of(capsys, *args)

    def test_clips_that_the_model_was_trained_on(self, trained, capsys, tmp_path):
        model, audio = trained / "run" / "model.keras", trained / "data" / "audio"
        lines = ["path,labels", *(f"{path},band_noise" for path in sorted(audio.iterdir()))]
        (tmp_path / "all.csv").write_text("\n".join(lines))
        args = ("evaluate", model, "--cache-dir", trained / "cache", "--data")
        assert cli.main([str(arg) for arg in (*args, tmp_path / "all.csv")]) == 0
        assert "warning: " in (err := capsys.readouterr().err) and "was trained on 30 of these 50 clips" in err
        assert cli.main([str(arg) for arg in ("evaluate", model, *self.choice(trained))]) == 0
        assert "warning" not in capsys.readouterr().err

    def test_nothing_is_written_over_what_is_read(self, trained, capsys):
        model = trained / "run" / "model.keras"
        assert "would replace" in error_of(capsys, "export", model, "--to", "onnx", "--output", model)
        args = ("evaluate", model, *self.choice(trained), "--report", trained / "run")
        assert "clips.csv is of no report, and would be replaced" in error_of(capsys, *args)

    def test_labels_that_the_model_does_not_know(self, trained, capsys, tmp_path):
        (tmp_path / "meow").mkdir()
        (tmp_path / "meow" / "a.wav").write_bytes((trained / "data" / "audio" / "000000.wav").read_bytes())
        args = ("evaluate", trained / "run" / "model.keras", "--data", tmp_path)
        assert "do not suit the model: Labels that are not in `class_names`: 'meow'" in error_of(capsys, *args)

    def test_shift_test_of_listed_clips(self, trained, capsys, tmp_path):
        drawn = (trained / "run" / "shift_clips.csv").read_text().splitlines()
        (tmp_path / "clips.csv").write_text("\n".join(drawn[:4]))
        args = ("shift-test", trained / "run" / "model.keras", *self.choice(trained), "--protocols", "time-1")
        assert "Shifts: 3 clips" in cli_output(capsys, *args, "--shift-clips", tmp_path / "clips.csv")

    def test_a_group_in_training_and_test_is_named(self, capsys, tmp_path):
        (tmp_path / "m.csv").write_text("path,labels,split,group\na.wav,x,train,forest\nb.wav,x,test,forest\n")
        error = error_of(capsys, "train", "--data", tmp_path / "m.csv", "--output", tmp_path / "out")
        assert "group 'forest' in train ('a.wav') and test ('b.wav')" in error


def test_a_backend_that_comes_too_late(capsys, monkeypatch):
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    assert f"--backend {other} comes too late" in error_of(capsys, "list", "networks", "--backend", other)
