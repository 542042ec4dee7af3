"""Published weights in and out: state dicts of the released names and shapes, PyTorch files, the command line."""

import keras
import numpy as np
import pytest
from eat_state_dicts import TENSORS, state_dict
from harness import numpy, run

from keras_audio_si import models
from keras_audio_si.cli import main as cli
from keras_audio_si.export.eat_weights import export_state_dict, import_state_dict
from keras_audio_si.export.pytorch_files import read_checkpoint
from keras_audio_si.inference.patching import patch_layout
from keras_audio_si.models import class_names_of

TABLE = "eat_tiny_forward_grad"


@pytest.fixture
def state():
    return state_dict(TABLE, 2500)


def test_every_tensor_is_reported(state):
    model, report = import_state_dict(state, heads=4)
    assert [(entry.tensor, list(entry.shape)) for entry in report] == [tuple(row) for row in TENSORS[TABLE]]
    assert sorted(entry.weight for entry in report) == sorted(
        weight.path for weight in model.weights if "seed" not in weight.path
    )


def test_there_and_back(state):
    exported = export_state_dict(import_state_dict(state, heads=4)[0])
    floats = {name: value for name, value in exported.items() if value.dtype == np.float32}
    assert list(floats) == list(state)
    for name, value in floats.items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)
    counters = set(exported) - set(floats)
    assert counters == {name.replace("running_var", "num_batches_tracked") for name in state if "running_var" in name}
    again, report = import_state_dict(exported, heads=4)
    assert {entry.tensor for entry in report if entry.weight is None} == counters


def test_missing_and_extra_tensors_are_named(state):
    state["tf.fc2.weight"] = state["down.1.extra"] = state.pop("down2.4.block_f.1.running_var")
    del state["tf.fc.bias"]
    with pytest.raises(ValueError) as error:
        import_state_dict(state)
    message = str(error.value)
    assert "without down2.4.block_f.1.running_var, tf.fc.bias and with tf.fc2.weight, down.1.extra" in message


@pytest.mark.parametrize("name", ["start.1.weight", "tf.pos_embed", "down.2.down.1.weight"])
def test_a_missing_tensor_that_sets_the_architecture_is_named(state, name):
    del state[name]
    with pytest.raises(ValueError, match=f"no tensor {name}"):
        import_state_dict(state)


def test_misshapen_tensors_are_named(state):
    state["down2.7.down.1.weight"] = state["down2.7.down.1.weight"][..., :1]
    state["tf.fc.bias"] = state["tf.fc.bias"][None]
    with pytest.raises(ValueError) as error:
        import_state_dict(state)
    assert "tf.fc.bias of shape (1, 7), not (7,)" in str(error.value)
    assert "down2.7.down.1.weight of shape (64, 32, 1), not (64, 32, 3)" in str(error.value)


@pytest.mark.parametrize(
    "settings, problem",
    [
        ({"residual": "modified"}, "'refine0_residual1' is no modified residual block with a dilation of 3"),
        ({"residual": "common"}, "'down0_residual' is no modified residual block"),
        ({"pooling": "aps"}, "'down0_pool' has another filter"),
        ({"padding": "edge"}, "'stem' has the padding 'edge'"),
        ({"aggregation": "convolution"}, "is no EAT with a transformer"),
    ],
)
def test_what_the_released_code_cannot_express(settings, problem):
    model = models.EAT(
        2, (1024,), (4,), 2, transformer_layers=1, heads=1, embedding_dim=4, feed_forward_dim=4, **settings
    )
    with pytest.raises(ValueError, match=problem):
        export_state_dict(model)


class TestFiles:
    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch", reason="PyTorch reads and writes its files")

    def tensors(self, torch, state):
        return {name: torch.from_numpy(value.copy()) for name, value in state.items()}

    @pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"epoch": 3, "model_dict": s}])
    def test_read(self, torch, state, tmp_path, wrap):
        tensors = {f"module.{name}": value for name, value in self.tensors(torch, state).items()}
        torch.save(wrap(tensors), tmp_path / "a.pt")
        model, _ = import_state_dict(read_checkpoint(tmp_path / "a.pt"), heads=4)
        np.testing.assert_array_equal(numpy(model.get_layer("logits").bias), state["tf.fc.bias"])

    def test_parameters(self, torch, tmp_path):
        network = torch.nn.Linear(3, 2)
        torch.save(dict(network.named_parameters()), tmp_path / "a.pt")
        np.testing.assert_array_equal(read_checkpoint(tmp_path / "a.pt")["bias"], network.bias.detach())

    def test_code_in_a_file_does_not_run(self, torch, tmp_path):
        ran = tmp_path / "ran"

        class Code:
            def __reduce__(self):
                return (open, (str(ran), "w"))

        torch.save({"start.1.weight": Code()}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match="a.pt is not a PyTorch file of tensors alone"):
            read_checkpoint(tmp_path / "a.pt")
        assert not ran.exists()

    def test_other_content(self, torch, tmp_path):
        torch.save({"epoch": 3}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match="a.pt holds no state dict"):
            read_checkpoint(tmp_path / "a.pt")
        torch.save({1: torch.zeros(3)}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match="a.pt holds no state dict"):
            read_checkpoint(tmp_path / "a.pt")
        torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "a.pt")
        with pytest.raises(ValueError, match="a.pt is not a PyTorch file of tensors alone"):
            read_checkpoint(tmp_path / "a.pt")
        (tmp_path / "b.pt").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="b.pt is not a PyTorch file"):
            read_checkpoint(tmp_path / "b.pt")

    def test_command_line(self, torch, state, tmp_path, capsys):
        torch.save(self.tensors(torch, state), tmp_path / "in.pt")
        (tmp_path / "names.txt").write_text("\n".join("abcdefg"), encoding="utf-8-sig")
        files = {name: str(tmp_path / name) for name in ("in.pt", "names.txt", "model.keras", "out.pt")}
        options = ["--class-names", files["names.txt"], "--heads", "4", "--sample-rate", "8000"]
        assert cli.main(["import-weights", "eat", files["in.pt"], "--output", files["model.keras"], *options]) == 0
        out = capsys.readouterr().out
        assert "tf.cls_token" in out and "class_token/token" in out and "145 tensors" in out
        loaded = keras.models.load_model(files["model.keras"])
        assert class_names_of(loaded) == tuple("abcdefg")
        layout = patch_layout(loaded)
        assert (layout.sample_rate, layout.short, layout.peak) == (8000, "zero", 0.95)
        x = np.random.default_rng(0).standard_normal((1, loaded.input_shape[1])).astype("float32")
        np.testing.assert_array_equal(numpy(run(loaded, x)), numpy(run(import_state_dict(state, heads=4)[0], x)))
        assert cli.main(["export-weights", files["model.keras"], "--output", files["out.pt"]]) == 0
        written = torch.load(files["out.pt"], weights_only=True)
        assert all(torch.equal(written[name], value) for name, value in self.tensors(torch, state).items())
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)

    def test_bad_files_are_errors_of_the_command_line(self, tmp_path, capsys):
        args = ["import-weights", "eat", str(tmp_path / "gone.pt"), "--output", str(tmp_path / "out.keras")]
        assert cli.main(args) == 2 and "gone.pt" in capsys.readouterr().err
        assert not (tmp_path / "out.keras").exists()
