import ast
import csv
import importlib.util
import os
import pathlib
import runpy
import subprocess
import sys

import pytest

from keras_audio_si.cli import main as cli

ROOT = pathlib.Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.py"))
SMALL = "--sample-rate 16000 --width 0.0625 --batch-size 16 --epochs 1 --learning-rate 0.01".split()


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
class TestList:
    def test_everything(self, capsys):
        out = cli_output(capsys, "list")
        for name in ("vgg42", "tlpf5+aps", "tlpf6x1+ibp", "esc50", "audioset_balanced", "freq-3"):
            assert name in out

    def test_one_kind(self, capsys):
        assert cli_output(capsys, "list", "models").split() == ["models:", "vgg41", "vgg42"]


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
        assert "'vgg43'; did you mean 'vgg4" in error_of(capsys, "bench", "models", "--model", "vgg43")
        assert usage_error(capsys, "bench", "models", "--round", 3).endswith("did you mean --rounds?")


@pytest.mark.once
class TestErrors:
    def test_no_data(self, capsys):
        assert "nowhere" in error_of(capsys, "train", "--data", "nowhere", "--output", "out")

    def test_unknown_names_name_the_nearest(self, capsys):
        common = ("train", "--data", "x", "--output", "y")
        assert "'tlfp5'; did you mean 'tlpf5'" in error_of(capsys, *common, "--pooling", "tlfp5")
        assert "'vgg4'; did you mean 'vgg4" in error_of(capsys, *common, "--model", "vgg4")
        assert usage_error(capsys, *common, "--epoch", 3).endswith("unknown argument --epoch; did you mean --epochs?")
        assert "'tim-1'" in error_of(capsys, *common, "--protocols", "tim-1")

    def test_values_out_of_range(self, capsys):
        common = ("train", "--data", "x", "--output", "y")
        assert "`width`" in error_of(capsys, *common, "--width", 0)
        assert "`seeds`" in error_of(capsys, *common, "--seeds", 0)

    def test_no_model(self, capsys):
        assert "no model file gone.keras" in error_of(capsys, "evaluate", "gone.keras", "--data", "x")

    def test_no_usable_audio(self, capsys, tmp_path):
        for name in ("a", "b"):
            (tmp_path / "data" / name).mkdir(parents=True)
            for number in range(8):
                (tmp_path / "data" / name / f"{number}.wav").write_bytes(b"not audio")
        args = ("train", "--data", tmp_path / "data", "--output", tmp_path / "out", "--cache-dir", tmp_path / "cache")
        assert "None of the 16 clips could be read" in error_of(capsys, *args)

    def test_debug_shows_where(self):
        with pytest.raises(ValueError, match="nowhere"):
            cli.main(["train", "--data", "nowhere", "--output", "out", "--debug"])

    def test_interruption(self, capsys):
        def interrupted(args):
            raise KeyboardInterrupt

        assert cli.guarded(interrupted, None) == 130
        assert "Interrupted" in capsys.readouterr().err


@pytest.mark.once
class TestSettings:
    def parse(self, *args):
        parser = cli.Parser()
        cli.add_training_arguments(parser)
        return cli.settings_of(parser.parse_args(list(args)), width=0.5)

    def test_what_is_not_given_is_the_default(self):
        from keras_audio_si.experiment import Experiment

        assert self.parse() == Experiment(width=0.5)

    def test_what_is_given_counts(self):
        settings = self.parse(*"--epochs 3 --width 2 --no-jit-compile --mixed-precision bfloat16 --protocols".split())
        assert (settings.training.epochs, settings.width, settings.training.jit_compile) == (3, 2.0, False)
        assert (settings.mixed_precision, settings.protocols) == ("bfloat16", ())
        cycle = "--schedule one-cycle --optimizer adamw --ema-decay 0.9 --early-stopping-patience none"
        training = self.parse(*cycle.split()).training
        assert (training.schedule, training.optimizer, training.ema_decay) == ("one-cycle", "adamw", 0.9)
        assert training.early_stopping_patience is None

    def test_what_happens_to_a_run_that_was_cut_off(self, capsys):
        parser = cli.Parser()
        cli.add_training_arguments(parser)
        assert cli.saving_of(parser.parse_args([])) == {}
        args = parser.parse_args(["--resume", "--checkpoint-steps", "9"])
        assert cli.saving_of(args) == {"resume": True, "checkpoint_steps": 9}
        with pytest.raises(SystemExit):
            parser.parse_args(["--resume", "--overwrite"])
        assert "not allowed with" in capsys.readouterr().err

    def test_seeds_are_a_number_or_a_list(self):
        assert self.parse("--seeds", "3").seeds == (0, 1, 2)
        assert self.parse("--seeds", "4", "0").seeds == (4, 0)


@pytest.mark.once
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_says_what_it_is_and_takes_no_unknown_setting(recipe, monkeypatch, capsys):
    docstring = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8")))
    assert all(part in docstring for part in (f"python recipes/{recipe.name}", "Paper:", "Expect", "Cost:"))
    required = {"quickstart": [], "swap_pooling": [], "eat_finetune": ["--data", "x", "--pretrained", "y"]}
    monkeypatch.setattr(sys, "argv", [recipe.name, *required.get(recipe.stem, ["--data", "x"]), "--outptu", "y"])
    monkeypatch.syspath_prepend(recipe.parent)  # As Python does for a script that is run.
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(recipe), run_name="__main__")
    assert exit.value.code == 2 and "did you mean --output?" in capsys.readouterr().err.splitlines()[-1]


def recipe_error(recipe, monkeypatch, capsys, *args):
    """The line of an error that ends a recipe."""
    monkeypatch.setattr(sys, "argv", [recipe, *map(str, args)])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "recipes" / recipe), run_name="__main__")
    assert exit.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.once
def test_recipe_names_the_nearest_variant(monkeypatch, capsys):
    args = ("shift_invariance_esc50.py", monkeypatch, capsys, "--data", "x", "--variant", "basline")
    assert "error: unknown variant 'basline'; did you mean 'baseline'?" in recipe_error(*args)


@pytest.mark.once
class TestRecipeOnFSD50K:
    """The arguments and the data; what `compare` makes of them is tested in test_experiment.py."""

    @pytest.fixture(scope="class")
    def recipe(self):
        path = ROOT / "recipes" / "shift_invariance_fsd50k.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def names(self, recipe, *args):
        parsed = recipe.parser_of("", "out").parse_args(["--data", "x", *args])
        return [variant.name for variant in recipe.variants_of(parsed)]

    def test_rows_by_table_and_by_name(self, recipe):
        assert self.names(recipe) == ["baseline", "tlpf5+aps"]
        assert len(self.names(recipe, "--table", "I", "II")) == 30
        both = ("--variant", "blur3", "baseline", "--table", "III")
        assert self.names(recipe, *both) == ["blur3", "baseline", "tlpf5+aps"]
        assert self.names(recipe, "--mixup", "--model", "vgg42")[0] == "baseline+mixup+vgg42"

    def test_settings_of_the_paper_and_of_the_released_code(self, recipe):
        rows = ("--variant", "aps", "tlpf5+aps")
        assert self.names(recipe, *rows, "--as-in", "paper") == ["aps-l1", "tlpf5+aps-l1"]
        assert self.names(recipe, *rows, "--as-in", "released") == ["blur5+aps", "tlpf5+aps"]

    def test_a_folder_of_another_layout(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "dog").mkdir()
        error = recipe_error("shift_invariance_fsd50k.py", monkeypatch, capsys, "--data", tmp_path)
        assert "does not have the layout 'fsd50k'. It could be read as: 'class_folders'" in error


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
        assert row["model"] == "blur3" and "samples-40 MAC" in row

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
