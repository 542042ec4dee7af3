import csv
import sys

import numpy as np
import pytest

from keras_audio_si.visualization import plots
from keras_audio_si.visualization.plots import StabilityPanel, plot_learning_curves, plot_stability

pytestmark = pytest.mark.once

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib, of the extra `plots`")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, in order."""
    from matplotlib.figure import Figure

    figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *args: (figures.append(figure), save(figure, *args))[1])
    return figures


@pytest.fixture
def panels(rng):
    curves = [
        {"plain": rng.random((9, 31)), "blurred": rng.random((9, 31))},
        {"blurred": rng.random((9, 11)), "third": rng.random((9, 11))},
    ]
    return [StabilityPanel("time", curves[0], hop_seconds=0.01), StabilityPanel("freq", curves[1])]


def write_log(path, epochs, offset=0.0, columns=("epoch", "accuracy", "loss", "val_mAP")):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for i in range(epochs):
            writer.writerow({"epoch": i, "accuracy": 0, "loss": 1 / (i + 1) + offset, "val_mAP": i / 10 + offset})
    return path


class TestPlotStability:
    def test_draws_mean_and_quartiles(self, tmp_path, drawn, panels):
        path = plot_stability(panels, tmp_path / "new" / "stability.png")
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert list(path.parent.iterdir()) == [path]
        (figure,) = drawn
        grid = np.array(figure.axes).reshape(2, 2)
        for column, panel in enumerate(panels):
            for row, axes in enumerate(grid[:, column]):
                assert [line.get_label() for line in axes.lines] == list(panel.curves)
                for line, band, scores in zip(axes.lines, axes.collections, panel.curves.values(), strict=True):
                    values = np.abs(scores - scores[:, :1]) if row else scores
                    np.testing.assert_array_equal(line.get_xdata(), np.arange(values.shape[1]))
                    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
                    edges = {tuple(point) for point in band.get_paths()[0].vertices.round(9)}
                    ranked = np.sort(values, axis=0)  # Of nine values the quartiles are the third and the seventh.
                    for quartile in ranked[[2, 6]].round(9):
                        assert set(enumerate(quartile)) <= edges
        low, high = grid[0, 0].get_ylim()
        assert low <= 0 and high >= 1, "scores are probabilities: the whole range is shown"

    def test_labels_and_legend(self, tmp_path, drawn, panels):
        plot_stability(panels, tmp_path / "stability.svg")
        scores, _, time, freq = drawn[0].axes
        assert time.get_xlabel() == "Time shift (frames, 10 ms apart)"
        assert freq.get_xlabel() == "Upward frequency shift (mel bands)"
        assert (scores.get_ylabel(), time.get_ylabel()) == ("Score of the correct class", "Its absolute change")
        (legend,) = drawn[0].legends
        assert legend.get_title().get_text() == "Mean and quartiles of 9 clips"
        assert [text.get_text() for text in legend.get_texts()] == ["plain", "blurred", "third"]

    def test_a_model_looks_the_same_in_all_panels(self, tmp_path, drawn, panels):
        plot_stability(panels, tmp_path / "stability.png")
        looks = {}
        for line in (line for axes in drawn[0].axes for line in axes.lines):
            looks.setdefault(line.get_label(), set()).add((line.get_color(), line.get_linestyle()))
        assert [len(look) for look in looks.values()] == [1, 1, 1]
        assert len(set.union(*looks.values())) == 3

    def test_where_nothing_changes(self, tmp_path, drawn, panels):
        """Within a rounding, the line lies at the bottom of its panel, not at the top."""
        scores = np.full((9, 31), 0.5) + np.linspace(0, 1e-7, 31)
        plot_stability([panels[0]._replace(curves={"plain": scores})], tmp_path / "stability.png")
        low, high = drawn[0].axes[1].get_ylim()
        assert -0.001 < low < 0 and high == 0.01

    def test_unknown_kind(self, tmp_path):
        with pytest.raises(ValueError, match="'mel'"):
            plot_stability([StabilityPanel("mel", {"plain": np.array([[0.5]])})], tmp_path / "stability.png")

    def test_leaves_matplotlib_as_it_was(self, tmp_path, panels):
        before = dict(matplotlib.rcParams)
        plot_stability(panels, tmp_path / "stability.png")
        assert dict(matplotlib.rcParams) == before
        assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


class TestPlotLearningCurves:
    def test_draws_loss_and_metric_of_every_run(self, tmp_path, drawn):
        runs = {
            "plain": write_log(tmp_path / "a.csv", 4),
            "blurred": [write_log(tmp_path / "b.csv", 6, 0.1), write_log(tmp_path / "c.csv", 5, 0.2)],
        }
        plot_learning_curves(runs, tmp_path / "curves.png")
        loss, metric = drawn[0].axes
        assert (loss.get_ylabel(), metric.get_ylabel(), metric.get_xlabel()) == (
            "Training loss",
            "Validation mAP",
            "Epoch",
        )
        for (epochs, offset), line, other in zip([(4, 0), (6, 0.1), (5, 0.2)], loss.lines, metric.lines, strict=True):
            epoch = np.arange(1, epochs + 1)
            np.testing.assert_array_equal(line.get_xdata(), epoch)
            np.testing.assert_allclose(line.get_ydata(), 1 / epoch + offset)
            np.testing.assert_allclose(other.get_ydata(), (epoch - 1) / 10 + offset)
        (legend,) = drawn[0].legends
        assert [text.get_text() for text in legend.get_texts()] == ["plain", "blurred"]
        assert loss.lines[1].get_color() == loss.lines[2].get_color() != loss.lines[0].get_color()

    def test_one_epoch_of_several_seeds_is_seen(self, tmp_path, drawn):
        logs = [write_log(tmp_path / f"{name}.csv", 1, offset) for name, offset in (("a", 0), ("b", 0.2))]
        plot_learning_curves({"plain": logs}, tmp_path / "curves.png")
        for axes in drawn[0].axes:
            assert [line.get_marker() for line in axes.lines] == ["o", "o"]
        assert all(tick == round(tick) for tick in drawn[0].axes[1].get_xticks())

    def test_epochs_without_the_metric_are_gaps(self, tmp_path, drawn):
        log = tmp_path / "log.csv"
        log.write_text("epoch,loss,val_mAP\n0,0.5,\n1,0.4,0.25\n2,nan,NA\n")
        plot_learning_curves({"plain": log}, tmp_path / "curves.png")
        loss, metric = drawn[0].axes
        np.testing.assert_array_equal(loss.lines[0].get_ydata(), [0.5, 0.4, np.nan])
        np.testing.assert_array_equal(metric.lines[0].get_ydata(), [np.nan, 0.25, np.nan])

    def test_missing_column(self, tmp_path):
        log = write_log(tmp_path / "log.csv", 3, columns=("epoch", "loss"))
        with pytest.raises(ValueError, match=r"log.csv has no column \['val_mAP'\].*'epoch', 'loss'"):
            plot_learning_curves({"plain": log}, tmp_path / "curves.png")


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"keras-audio-si\[plots\]"):
        plot_stability([StabilityPanel("time", {"plain": np.array([[0.5]])})], tmp_path / "stability.png")


def test_a_failure_leaves_the_old_figure(tmp_path, monkeypatch, panels):
    from matplotlib.figure import Figure

    def fail(figure, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    path = tmp_path / "stability.png"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.plot_stability(panels, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
