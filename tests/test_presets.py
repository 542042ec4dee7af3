"""Presets: settings by network, and by the number, the length and the labels of the clips."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import soundfile

from keras_audio_si import layers
from keras_audio_si.cli.train import _print_plan
from keras_audio_si.data import Clip, ClipStatistics, Manifest, clip_statistics
from keras_audio_si.experiments.model import build_model
from keras_audio_si.experiments.presets import AN_HOUR, PRESETS, preset
from keras_audio_si.models.networks import NETWORKS, network_in

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_all(name, network):
    for clips in (AN_HOUR, ClipStatistics(50, 0.4, False)):
        settings = preset(name, network, clips)
        assert settings.model.network == network and settings.evaluation.protocols == ()
        given = [name for name in ("width", "dense_units", "batch_norm_momentum") if getattr(settings.model, name)]
        assert set(given) <= set(NETWORKS[network].options)


@pytest.mark.parametrize("network", ["vgg41", "eat-s", "efficientnet-b0", "piczak"])
@pytest.mark.parametrize("seconds", [0.4, 1.0, 3.7, 30.0])
def test_patches_are_as_long_as_the_clips(network, seconds):
    clips = ClipStatistics(300, seconds, True)
    settings = preset("quick", network, clips)
    with keras.StatelessScope(initialize_variables=False):
        model = build_model(("dog", "rain"), settings)
    patch = model.input_shape[1] / settings.data.sample_rate
    if network == "piczak":
        assert patch == pytest.approx(0.952, abs=1e-3)
    elif network == "eat-s":
        assert patch == pytest.approx(min(max(seconds, 1.0), 5.2), abs=1024 / 22050)
    else:
        shortest, longest = {"vgg41": (1.0, 5.0), "efficientnet-b0": (0.2, 10.0)}[network]
        assert min(seconds, longest) - 0.04 < patch <= min(max(seconds, shortest), longest) + 0.01


def test_steps_are_the_same_for_few_clips_and_for_many():
    def steps(num_clips, **changes):
        settings = preset("quick", "efficientnet-b0", ClipStatistics(num_clips, 8.0, True), **changes)
        return settings.training.epochs * -(-num_clips // settings.training.batch_size)

    assert steps(300) == pytest.approx(steps(3000), rel=0.1) == pytest.approx(1000, rel=0.1)
    assert steps(300, batch_size=32) == pytest.approx(500, rel=0.1)
    assert steps(10) == 500  # Epochs have a limit.


def test_short_patches_do_not_take_more_steps():
    def steps(median_seconds):
        epochs = preset("quick", "vgg41", ClipStatistics(800, median_seconds, True), sample_rate=16000).training.epochs
        return epochs * 800 // 16

    assert [steps(seconds) for seconds in (0.4, 1.0, 3.0)] == [7500, 7500, 7500]
    assert steps(5.0) == pytest.approx(360_000 / (5.0 * 16), rel=0.01)


def test_clips_are_varied_in_many_steps_of_many_epochs():
    def varied(name, clips, **changes):
        settings = preset(name, "vgg41", ClipStatistics(clips, 4.0, True), **changes)
        given = (settings.model.spec_augment, settings.training.mixup_alpha, settings.model.augment)
        assert given in ((True, 0.4, "roll-level-speed"), (False, None, "roll-level-speed"))
        return given[0]

    assert [varied("quick", clips) for clips in (300, 3000)] == [True, False]  # In many and in few epochs.
    assert [varied("thorough", clips) for clips in (300, 30000)] == [True, False]
    assert not varied("thorough", 300, epochs=5) and not varied("quick", 300, epochs=40)  # Few steps.


@pytest.mark.parametrize("network, losses", [("eat-s", ["softmax-or-bce", "bce"]), ("vgg41", ["softmax", "score-bce"])])
def test_labels_choose_the_loss(network, losses):
    clips = [ClipStatistics(300, 4.0, single) for single in (True, False)]
    assert [preset("quick", network, some).training.loss for some in clips] == losses


def test_eat_is_trained_as_published_where_that_goes_with_what_is_given():
    def chosen(single=True, **changes):
        training = preset("quick", "eat-s", ClipStatistics(300, 1.0, single), **changes).training
        return training.label_smoothing, training.loss_reduction, training.mixing_from_epoch

    assert chosen() == (0.1, "mean", 12)
    assert chosen(single=False) == (0.0, "batch-mean", 12)
    assert chosen(loss="score-bce", mixing_from_epoch=0) == (0.0, "mean", 0)
    assert chosen(epochs=20)[-1] == 0  # Few epochs are not mixed unless that is asked for, and then from the first on.


def test_parts_that_do_not_go_with_the_loss_or_the_shift_of_vgg():
    assert preset("quick", "vgg41", head="attention").training.loss == "score-bce"
    assert preset("quick", "vgg41", mixings=("freqmix",)).training.loss == "softmax-or-bce"
    assert preset("quick", "vgg41", masked=True).model.augment == "none"


def test_frames_that_are_reduced_later_and_front_ends_with_their_own():
    published = preset("quick", "vgg41", resolution="diffres", frames_per_second=50)
    assert (published.model.hop_seconds, published.model.num_mels) == (None, 64)
    usual = preset("quick", "vgg41")
    assert (usual.model.hop_seconds, usual.data.short) == (0.02, "zero")
    for changes in ({"resolution": "diffres", "frames_per_second": 50}, {"front_end": "piczak"}, {"front_end": "leaf"}):
        with keras.StatelessScope(initialize_variables=False):
            build_model(("dog", "rain"), preset("quick", "vgg41", **changes))


def test_a_patch_is_as_long_as_the_clips_with_any_front_end():
    clips = ClipStatistics(240, 5.0, True)
    for front_end in ("piczak", layers.LogMelSpectrogram(22050, hop_seconds=0.05)):
        settings = preset("quick", "vgg41", clips, front_end=front_end)
        with keras.StatelessScope(initialize_variables=False):
            seconds = build_model(("dog", "rain"), settings).input_shape[1] / 22050
        assert seconds == pytest.approx(5.0, abs=0.06)
        usual = preset("quick", "vgg41", clips)
        assert settings.training.epochs == pytest.approx(usual.training.epochs, rel=0.03)


@pytest.mark.parametrize("network", ["vgg41", "efficientnet-b0"])
def test_padding_that_is_masked_is_there_in_training(network):
    for name in ("quick", "thorough"):
        settings = preset(name, network, masked=True)
        assert (settings.data.short, settings.model.augment) == ("zero", "none")


def test_mixup_levels_the_clips_whose_levels_are_varied():
    for changes, mixup in (({}, (True, 0.5)), ({"augment": "roll-gain-speed"}, (False, 1.0))):
        training = preset("thorough", "vgg41", **changes).training
        assert (training.mixup_gain_aware, training.mixup_probability) == mixup


def test_statistics_follow_the_steps_of_the_training():
    assert preset("quick", "vgg41").model.batch_norm_momentum == 0.9
    assert preset("thorough", "vgg41").model.batch_norm_momentum is None


def test_what_is_given_counts():
    settings = preset("quick", "vgg41", epochs=3, frames=101, mixup_alpha=None, pooling="max")
    assert (settings.training.epochs, settings.data.frames, settings.training.mixup_alpha) == (3, 101, None)
    fixed = preset("quick", "vgg41", ClipStatistics(300, 12.0, True))
    random = preset("quick", "vgg41", ClipStatistics(300, 12.0, True), crops="random")
    assert fixed.training.epochs < random.training.epochs


class TestTrainedModels:
    @pytest.fixture(scope="class")
    def eat(self, tmp_path_factory):
        settings = preset("quick", "eat-s", sample_rate=8000, channels=4)
        path = tmp_path_factory.mktemp("trained") / "eat.keras"
        build_model(("a", "b"), settings).save(path)
        return str(path)

    def test_they_have_the_preset_of_their_network(self, eat):
        clips = ClipStatistics(240, 5.0, True)
        for name in ("quick", "thorough"):
            for new, initial in (
                ({"network": "vgg41"}, "vgg41-esc10"),
                ({"network": "eat-s", "sample_rate": 8000}, eat),
            ):
                built, trained = preset(name, clips=clips, **new), preset(name, clips=clips, initial=initial)
                assert trained.model.network == built.model.network
                assert trained.data.sample_rate == built.data.sample_rate
                assert trained.training == dataclasses.replace(built.training, epochs=trained.training.epochs)
                assert trained.training.epochs == pytest.approx(built.training.epochs, rel=0.02)
                assert trained.model.mixings == built.model.mixings and trained.model.augment == built.model.augment

    def test_they_have_their_own_length_and_scaling(self, eat):
        for name, initial in itertools.product(("quick", "paper"), ("vgg41-esc10", eat)):
            data = preset(name, initial=initial).data
            assert data.frames is data.input_samples is data.peak is None
        assert preset("quick", initial="vgg41-esc10").data.short is None
        assert preset("quick", initial=eat, peak=0.5).data.peak == 0.5
        longer = preset("quick", "eat-s", initial=eat, input_samples=65536)
        assert longer.data.input_samples == 65536
        assert longer.training.epochs == pytest.approx(
            preset("quick", initial=eat).training.epochs * 40960 / 65536, abs=1
        )

    @pytest.mark.parametrize(
        "changes, message",
        [
            ({"pooling": "max"}, "`pooling` has no effect with `initial`"),
            ({"num_mels": 40}, "`num_mels` has no effect with `initial`"),
            ({"network": "eat-s"}, "`network` must be that of `initial`, 'vgg41'.* Received: network='eat-s'"),
            ({"sample_rate": 16000}, "`sample_rate` must be that of `initial`, 22050 Hz.* sample_rate=16000"),
        ],
    )
    def test_what_does_not_go_with_them(self, changes, message):
        for name in ("quick", "paper"):
            with pytest.raises(ValueError, match=message):
                preset(name, initial="vgg41-esc10", **changes)

    def test_an_open_length(self, tmp_path):
        waveforms = keras.Input((None,))
        keras.Model(waveforms, keras.layers.ReLU()(waveforms)).save(tmp_path / "open.keras")
        with pytest.raises(ValueError, match="`initial` must take waveforms of a fixed length"):
            preset("quick", initial=str(tmp_path / "open.keras"))

    @pytest.mark.parametrize("name", NETWORKS)
    def test_networks_are_known_by_their_model(self, name):
        with keras.StatelessScope(initialize_variables=False):
            network = NETWORKS[name].build(2)
            outer = keras.Sequential([keras.Input(network.input_shape[1:]), network], name="classifier")
        assert network_in(network) == network_in(outer) == name
        assert network_in(keras.Sequential([keras.Input((4,))])) is None


def test_mixings_take_the_place_of_mixup():
    settings = preset("quick", "vgg41", mixings=("freqmix",))
    assert settings.training.mixup_alpha is None and settings.model.spec_augment
    assert preset("quick", "vgg41", mixings=("freqmix",), mixup_alpha=0.3).training.mixup_alpha == 0.3


def test_clips_are_held_out_where_they_choose_something():
    for changes in ({}, {"epochs": 3}):
        assert preset("quick", "vgg41", **changes).data.validation_split is None
    for changes in (
        {"early_stopping_patience": 3},
        {"restore_best_weights": True},
        {"schedule": "plateau"},
        {"monitor": "val_accuracy"},
        {"network": "heurinet", "icebreaker": True},
        {"validation_split": 0.15},
    ):
        assert preset("quick", **{"network": "vgg41", **changes}).data.validation_split == 0.15
    assert preset("paper", "vgg41").data.validation_split == 0.15


def test_phases_take_the_epochs_of_the_preset_together():
    def epochs(name, network="heurinet", **changes):
        settings = preset(name, network, ClipStatistics(7000, 4.0, True), icebreaker=True, **changes)
        return list(settings.stage_epochs.values()), settings.training.epochs

    found, together = epochs("quick")
    assert abs(sum(found) - together) <= 2 and found[0] > found[1] == found[2] == found[3]
    assert epochs("quick", epochs=60)[0] == epochs("paper", epochs=60)[0] == [30, 10, 10, 10]
    assert epochs("quick", "mstnet", epochs=60, phase_epochs=7)[0] == [5, 30, 7, 7, 7]  # The first is forcing.
    assert epochs("quick", epochs=2)[0] == [1, 1, 1, 1]
    assert epochs("paper")[0] == [300, 100, 100, 100]


def test_the_plan_of_a_training_names_the_phases(capsys):
    data = Manifest([Clip(f"{split}.wav", ("dog",), split=split) for split in ("train", "val", "test")])
    _print_plan({"": preset("quick", "heurinet", icebreaker=True, epochs=60)}, {"": data}, [0], None)
    assert "built, 30 epochs of phase0, 10 epochs of phase1, 10 epochs of phase2" in capsys.readouterr().out


def test_unknown():
    with pytest.raises(ValueError, match="`preset` must be one of 'quick', 'thorough', 'paper'"):
        preset("fast", "vgg41")
    with pytest.raises(ValueError, match="`epoch` is no setting. Did you mean `epochs`"):
        preset("quick", "vgg41", epoch=3)


def test_statistics_come_from_headers(tmp_path):
    for number, seconds in enumerate((1.0, 2.0, 9.0)):
        soundfile.write(tmp_path / f"{number}.wav", np.zeros(int(8000 * seconds)), 8000)
    (tmp_path / "3.wav").write_bytes(b"no audio")
    clips = [Clip(f"{number}.wav", ("dog",)) for number in range(4)]
    assert clip_statistics(Manifest(clips, root=tmp_path)) == ClipStatistics(4, 2.0, True)
    several = [*clips[:3], Clip("3.wav", ("dog", "rain"))]
    assert not clip_statistics(Manifest(several, root=tmp_path)).single_label
    with pytest.raises(ValueError, match="None of the 1 clips could be read. The first: .*3.wav"):
        clip_statistics(Manifest(clips[3:], root=tmp_path))
