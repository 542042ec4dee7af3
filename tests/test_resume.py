"""Trainings that are killed, cut off, or refused; `kill_and_resume.py` does more of it, with the command line."""

import concurrent.futures
import dataclasses
import errno
import json
import os
import random
import shutil
import time
import types

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the input pipeline is a tf.data.Dataset")

from kill_and_resume import ROOT, differences, kill, outcome, start, wait_for
from tiny_training import CHECKPOINT_STEPS, RESUMED, VALIDATION, network, patches, train

from keras_audio_si import locks
from keras_audio_si.locks import locked
from keras_audio_si.training import checkpoint as checkpoint_module
from keras_audio_si.training import run_folder
from keras_audio_si.training.checkpoint import KEPT, Checkpoint
from keras_audio_si.training.fit_loop import fit
from keras_audio_si.training.identity import refuse_differences, run_identity

SCRIPT = ROOT / "tests" / "tiny_training.py"
STEPS = 6  # of an epoch
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")


class CutOff(Exception):
    pass


def cut_off_at(folder, step, **arguments):
    """Trains up to a step, counted over all epochs, and raises there."""
    seen = []

    def count(batch, logs):
        seen.append(batch)
        if len(seen) == step:
            raise CutOff

    with pytest.raises(CutOff):
        train(folder, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=count)], **arguments)


def checkpoints(folder):
    return sorted(folder.glob(f"{run_folder.CHECKPOINTS}/epoch-*.npz"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    result = train(folder)
    assert result.best_epoch == VALIDATION.index(max(VALIDATION))
    assert len(set(result.history["learning_rate"])) > 2
    return result, outcome(folder)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """A run that ended at step 3 of its second epoch, after a checkpoint at step 2."""
    folder = tmp_path_factory.mktemp("cut_off")
    cut_off_at(folder, STEPS + 3)
    return folder


@pytest.fixture
def a_cut_off_run(cut_off, tmp_path):
    return shutil.copytree(cut_off, tmp_path / "run")


@posix
class TestKill:
    """SIGKILL to another process, two of them at a time: most of it is importing. This process continues."""

    @pytest.fixture(scope="class")
    def killed(self, tmp_path_factory):
        base = tmp_path_factory.mktemp("killed")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            kills = {"anywhere": self.killed_anywhere, "writing": self.killed_while_writing}
            for future in [pool.submit(function, base / name) for name, function in kills.items()]:
                future.result()
        return base

    @staticmethod
    def killed_anywhere(folder):
        process = start(SCRIPT, folder)
        assert wait_for(process, folder / "settings.json")
        time.sleep(random.uniform(0.0, 4.0))  # not seeded: any moment must do
        kill(process)

    @staticmethod
    def killed_while_writing(folder):
        """The disk hangs at the eighth checkpoint, so that it is half written for sure."""
        process = start(SCRIPT, folder, "8")
        while not (torn := list(folder.glob(f"{run_folder.CHECKPOINTS}/.*-epoch-00002-step-0000004.npz"))):
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(BlockingIOError, match=f"in use by process {process.pid} on "):
            with locked(folder):
                pass
        assert kill(process)
        assert torn[0].exists() and (folder / "run.lock").exists() and len(checkpoints(folder)) == KEPT

    @pytest.mark.parametrize("name", ["anywhere", "writing"])
    def test_ends_as_if_nothing_had_happened(self, killed, undisturbed, name):
        folder = killed / name
        train(folder)
        assert differences(undisturbed[1], outcome(folder)) == []
        assert not [path for path in folder.rglob(".*")] and not (folder / "run.lock").exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", [STEPS, STEPS + 1, 3 * STEPS + 4])
def test_a_training_cut_off_at_a_step_ends_the_same(undisturbed, tmp_path, step):
    cut_off_at(tmp_path, step)
    seed = 99 if checkpoints(tmp_path) else 1  # all weights come from the checkpoint
    result = train(tmp_path, seed=seed)
    assert dataclasses.replace(result, best_model_path=None) == dataclasses.replace(
        undisturbed[0], best_model_path=None
    )
    assert differences(undisturbed[1], outcome(tmp_path)) == []


def test_checkpoints_within_epochs_change_nothing(undisturbed, tmp_path):
    train(tmp_path, checkpoint_steps=None)
    assert differences(undisturbed[1], outcome(tmp_path)) == []


class TestSeconds:
    """A step takes a second, and everything else no time."""

    @pytest.fixture
    def clock(self, monkeypatch):
        clock = types.SimpleNamespace(now=50.0)
        monkeypatch.setattr(checkpoint_module, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
        return clock

    def run(self, folder, clock, until=None, **arguments):
        def tick(batch, logs):
            clock.now += 1
            if clock.now == until:
                raise CutOff

        return train(folder, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=tick)], **arguments)

    def test_what_is_done_again_counts_once(self, tmp_path, clock):
        with pytest.raises(CutOff):
            self.run(tmp_path, clock, until=50 + STEPS + 3)
        assert Checkpoint.newest(tmp_path / run_folder.CHECKPOINTS).seconds == STEPS + 2
        clock.now = 1000.0
        assert self.run(tmp_path, clock).seconds == RESUMED.epochs * STEPS
        assert self.run(tmp_path, clock).seconds == RESUMED.epochs * STEPS  # It has ended before.

    def test_unknown_where_an_earlier_version_began(self, tmp_path, clock):
        with pytest.raises(CutOff):
            self.run(tmp_path, clock, until=50 + STEPS + 3)
        for path in checkpoints(tmp_path):
            with np.load(path) as arrays:
                np.savez(path, **{name: arrays[name] for name in arrays.files if name != "seconds"})
        assert self.run(tmp_path, clock).seconds is None


def test_the_best_model_is_saved_if_the_end_came_before(undisturbed, tmp_path, monkeypatch):
    """Between the checkpoint of the best epoch and its `model.keras`."""
    from keras_audio_si.training.callbacks import BestCheckpoint

    save = BestCheckpoint.on_epoch_end

    def cut(self, epoch, logs=None):
        if epoch == undisturbed[0].best_epoch:
            raise CutOff
        save(self, epoch, logs)

    with monkeypatch.context() as patched:
        patched.setattr(BestCheckpoint, "on_epoch_end", cut)
        with pytest.raises(CutOff):
            train(tmp_path)
    train(tmp_path, seed=99)
    assert differences(undisturbed[1], outcome(tmp_path)) == []


def test_a_finished_training_is_not_repeated(undisturbed, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(undisturbed[0].best_model_path.parent, folder)
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    result = train(folder, seed=99, callbacks=[count], verbose=2)
    assert f"{folder}: Finished before, at the end of epoch 6." in capsys.readouterr().out
    assert steps == [] and result.history == undisturbed[0].history
    assert differences(undisturbed[1], outcome(folder)) == []


def test_callbacks_that_count_go_on_counting(tmp_path):
    class Counter(keras.callbacks.Callback):
        counters = ("epochs",)
        epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    class Interrupted(Counter):
        def on_train_batch_end(self, batch, logs=None):
            if self.epochs == 2:
                raise CutOff

    with pytest.raises(CutOff):
        train(tmp_path, callbacks=[Interrupted()])
    with pytest.raises(ValueError, match="begun with the callbacks .*Interrupted.* only with them"):
        train(tmp_path)
    Interrupted.on_train_batch_end = lambda self, batch, logs=None: None
    counter = Interrupted()
    result = train(tmp_path, callbacks=[counter])
    assert counter.epochs == len(result.history["loss"]) > 2


def test_a_model_checkpoint_goes_on_from_its_best(tmp_path):
    def saving():
        path = tmp_path / "best-{epoch}.keras"
        return keras.callbacks.ModelCheckpoint(path, monitor="val_mAP", mode="max", save_best_only=True)

    def cut_off(epoch, logs):
        if epoch == 4:
            raise CutOff

    with pytest.raises(CutOff):
        train(tmp_path / "run", callbacks=[saving(), keras.callbacks.LambdaCallback(on_epoch_begin=cut_off)])
    train(tmp_path / "run", callbacks=[saving()])
    assert sorted(path.stem for path in tmp_path.glob("best-*")) == ["best-1", "best-2", "best-4"]


class TestCheckpointFiles:
    def test_the_last_two_are_kept(self, a_cut_off_run):
        names = [path.stem for path in checkpoints(a_cut_off_run)]
        assert names == ["epoch-00001-step-0000000", f"epoch-00001-step-000000{CHECKPOINT_STEPS}"] and KEPT == 2

    def test_half_written_ones_do_not_count_and_are_removed(self, a_cut_off_run):
        newest = Checkpoint.newest(a_cut_off_run / run_folder.CHECKPOINTS)
        torn = a_cut_off_run / run_folder.CHECKPOINTS / ".123-0123abcd-epoch-00009-step-0000000.npz"
        torn.write_bytes(checkpoints(a_cut_off_run)[-1].read_bytes()[:1000])
        again = Checkpoint.newest(a_cut_off_run / run_folder.CHECKPOINTS)
        assert (again.epoch, again.step) == (newest.epoch, newest.step)
        with locked(a_cut_off_run):
            assert not torn.exists()

    @pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
    def test_a_damaged_one_gives_way_to_the_one_before(self, a_cut_off_run, damage, capsys):
        before, path = checkpoints(a_cut_off_run)
        content = bytearray(path.read_bytes())
        content[content.index(b'"identity"')] ^= 1  # of the record: not every byte of an archive is content
        path.write_bytes({"cut": content[:2000], "flipped": content, "emptied": b""}[damage])
        checkpoint = Checkpoint.newest(path.parent)
        assert (checkpoint.epoch, checkpoint.step) == (1, 0)
        message = capsys.readouterr().err
        assert path.name in message and f"Going back to {before}" in message

    def test_all_damaged(self, a_cut_off_run):
        for path in checkpoints(a_cut_off_run):
            path.write_bytes(b"PK")
        with pytest.raises(ValueError, match="Nothing in .*checkpoints.*epoch-00001.*overwrite=True"):
            train(a_cut_off_run)

    def test_types_come_back(self, tmp_path):
        variables = [
            np.asarray(keras.ops.convert_to_numpy(keras.ops.cast([1.5, -2.0], "bfloat16"))),
            np.array(7, "int64"),
            np.array([1, 2], "uint32"),
            np.zeros((0, 3), "float16"),
        ]
        written = Checkpoint(3, 0, False, {"a": float("inf")}, [["History", {}]], variables, variables[1:3])
        written.write(tmp_path)
        read = Checkpoint.newest(tmp_path)
        assert read[:5] == written[:5]
        for one, other in zip(variables + written.generators, read.variables + read.generators, strict=True):
            assert one.tobytes() == other.tobytes() and one.shape == other.shape


class TestRefused:
    @pytest.mark.parametrize(
        "changed", [{"learning_rate": 0.5}, {"epochs": 50, "batch_size": 4}, {"seed": 1}, {"mixup_alpha": None}]
    )
    def test_other_settings(self, a_cut_off_run, changed):
        with pytest.raises(ValueError, match="other settings or data") as raised:
            train(a_cut_off_run, settings=dataclasses.replace(RESUMED, **changed))
        message = str(raised.value)
        assert all(f"{name} ({json.dumps(getattr(RESUMED, name))} then" in message for name in changed)
        assert "dropout" not in message and checkpoints(a_cut_off_run)

    def test_other_data_and_models_are_named(self):
        before = run_identity(network(), patches(0), patches(1), RESUMED)
        refuse_differences(before, run_identity(network(seed=5), patches(0), patches(1), RESUMED))
        for now, name in (
            (run_identity(network(), patches(2), patches(1), RESUMED), "training audio"),
            (run_identity(network(), patches(0), patches(1, 12), RESUMED), "validation clips"),
            (run_identity(network(), patches(0, class_names=("high", "low")), patches(1), RESUMED), "classes"),
            (run_identity(network(dropout=0.5), patches(0), patches(1), RESUMED), "model"),
        ):
            with pytest.raises(ValueError, match=f"other settings or data: .*{name}"):
                refuse_differences(before, now)

    def test_a_run_is_not_replaced_by_accident(self, a_cut_off_run):
        before = outcome(a_cut_off_run)
        with pytest.raises(FileExistsError, match="has a run.*--resume.*--overwrite"):
            train(a_cut_off_run, resume=False)
        assert outcome(a_cut_off_run) == before

    def test_a_model_without_checkpoints(self, a_cut_off_run):
        shutil.rmtree(a_cut_off_run / run_folder.CHECKPOINTS)
        with pytest.raises(FileExistsError, match="has a model but no checkpoint.*overwrite=True"):
            train(a_cut_off_run)

    def test_arguments(self, tmp_path):
        with pytest.raises(ValueError, match="`resume` and `overwrite` exclude each other"):
            train(tmp_path, overwrite=True)
        with pytest.raises(ValueError, match="must be an integer of at least 1. Received: checkpoint_steps=0"):
            train(tmp_path, checkpoint_steps=0)


@pytest.mark.once
class TestLock:
    def test_two_at_once(self, tmp_path):
        with locked(tmp_path):
            with pytest.raises(BlockingIOError, match=rf"'{tmp_path}' is in use by process {os.getpid()} on .*: wait"):
                train(tmp_path)
            with locked(tmp_path, "other.lock"):
                pass
        assert list(tmp_path.iterdir()) == []

    def test_only_incomplete_files_are_removed(self, tmp_path):
        (tmp_path / ".7-0123abcd-folder").mkdir()
        for name in (".7-0123abcd-model.keras", ".2024-notes.txt"):
            (tmp_path / name).touch()
        with locked(tmp_path):
            pass
        assert sorted(path.name for path in tmp_path.iterdir()) == [".2024-notes.txt", ".7-0123abcd-folder"]

    def test_a_file_system_without_locks(self, tmp_path, monkeypatch, capsys):
        if locks.fcntl is None:
            pytest.skip("locks are others here")

        def flock(*args):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(locks.fcntl, "flock", flock)
        with locked(tmp_path):
            assert "cannot be locked here" in capsys.readouterr().err


class TestDisk:
    @posix
    def test_no_room_for_a_checkpoint(self, tmp_path):
        """A limit on the size of files is as good as a full disk: the writing fails in the middle."""
        import resource

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
        try:
            with pytest.raises(
                OSError, match=rf"cannot write to '{tmp_path}.*file too large .*and continue with --resume"
            ):
                train(tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not checkpoints(tmp_path) and not list(tmp_path.rglob(".*"))

    def test_no_room_for_the_best_model(self, tmp_path, monkeypatch):
        def full(self, path):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(keras.Model, "save", full)
        with pytest.raises(OSError, match=rf"cannot write to '{tmp_path}': no space left on device; make room"):
            train(tmp_path)
        assert len(checkpoints(tmp_path)) == KEPT

    def test_no_permission(self, tmp_path, monkeypatch):
        """The superuser may write anywhere, so the system's answer is put in."""

        def denied(*args):
            raise PermissionError(errno.EACCES, "Permission denied", str(args[0]))

        monkeypatch.setattr(os, "open", denied)
        with pytest.raises(
            PermissionError, match="cannot write to .*permission denied; change its permissions, or choose"
        ):
            train(tmp_path / "run")

    def test_a_file_in_the_place_of_the_folder(self, tmp_path):
        (tmp_path / "run").write_text("a file")
        with pytest.raises(OSError, match="cannot write to .*run'"):
            train(tmp_path / "run")


def test_an_interruption_says_how_to_continue(tmp_path, capsys):
    def interrupt(batch, logs):
        if len(checkpoints(tmp_path)) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)])
    assert (
        "has a checkpoint of step 4 of epoch 1; continue from it with resume=True (--resume)" in capsys.readouterr().err
    )
    assert not (tmp_path / "run.lock").exists()


def test_what_it_says_when_it_continues(a_cut_off_run, capsys):
    fit(
        network(dropout=0.2),
        patches(0, noise=3.0),
        patches(1, noise=3.0),
        RESUMED,
        a_cut_off_run,
        resume=True,
        verbose=2,
    )
    assert capsys.readouterr().out.startswith(f"{a_cut_off_run}: Continuing from step 2 of epoch 2.")
