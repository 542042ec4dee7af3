"""The layers and models that `test_contract.py` and `test_backends.py` hold to the contract."""

from harness import Case

from keras_audio_si import layers, models
from keras_audio_si.layers import AdaptivePolyphasePool, AntiAliasPool


def waveforms(rng):
    return (0.1 * rng.standard_normal((3, 1700))).astype("float32")


def spectrograms(rng):
    return rng.standard_normal((3, 33, 28)).astype("float32")


def maps(time, mel):
    return lambda rng: rng.standard_normal((3, time, mel, 4)).astype("float32")


def rows(time):
    return lambda rng: rng.standard_normal((3, time, 4)).astype("float32")


def front_end(**arguments):
    return layers.LogMelSpectrogram(8000, num_mels=20, max_hz=4000.0, **arguments)


def waveform_classifier():
    vgg = models.VGG41(5, input_shape=(16, 28), pooling="tlpf3", width=0.125)
    return models.Classifier(layers.LogMelSpectrogram(8000, num_mels=28), vgg, input_samples=1440)


MAP = (None, None, None, 4)
ROW = (None, None, 4)


def adaptive_vgg():
    return models.VGG41(6, (None, 28), "tlpf5+aps", width=0.125)


CASES = [
    Case("log_mel", front_end, waveforms, dynamic=(None, None)),
    Case(
        "log_mel_centred_decibels",
        lambda: front_end(center=True, compression="decibel", top_db=60.0),
        waveforms,
        dynamic=(None, None),
    ),
    Case("log_mel_convolution", lambda: front_end(dft="conv"), waveforms, dynamic=(None, None)),
    Case("anti_alias_binomial", lambda: AntiAliasPool(), maps(13, 10), dynamic=MAP),
    Case("anti_alias_trainable", lambda: AntiAliasPool(filter="trainable"), maps(12, 9), dynamic=MAP),
    Case(
        "anti_alias_triangular",
        lambda: AntiAliasPool(4, 4, 9, "triangular", padding="reflect"),
        maps(21, 20),
        dynamic=MAP,
    ),
    Case(
        "anti_alias_average",
        lambda: AntiAliasPool((2, 1), (2, 1), (3, 1), pool_mode="average"),
        maps(11, 6),
        dynamic=MAP,
    ),
    Case(
        "anti_alias_filter_only",
        lambda: AntiAliasPool(filter_size=4, pool_mode=None, padding="edge"),
        maps(9, 8),
        dynamic=MAP,
    ),
    Case("anti_alias_valid", lambda: AntiAliasPool(padding="valid"), maps(15, 14), dynamic=MAP),
    Case(
        "anti_alias_time",
        lambda: AntiAliasPool(strides=3, filter="trainable", padding="circular"),
        rows(18),
        dynamic=ROW,
    ),
    Case("adaptive", lambda: AdaptivePolyphasePool(), maps(13, 10), dynamic=MAP, half=None),
    Case("adaptive_trainable", lambda: AdaptivePolyphasePool(filter="trainable"), maps(12, 9), dynamic=MAP, half=None),
    Case(
        "adaptive_l2",
        lambda: AdaptivePolyphasePool(strides=(2, 3), criterion="l2"),
        maps(14, 9),
        dynamic=MAP,
        half=None,
    ),
    Case(
        "adaptive_valid",
        lambda: AdaptivePolyphasePool(filter="binomial", padding="valid"),
        maps(13, 12),
        dynamic=MAP,
        half=None,
    ),
    Case(
        "adaptive_time",
        lambda: AdaptivePolyphasePool(strides=3, criterion="variance"),
        rows(20),
        dynamic=ROW,
        half=None,
    ),
    Case("time_mel_pool", lambda: layers.TimeMelPool("max_mel_mean_time"), maps(9, 7), dynamic=MAP),
    Case("global_pool", lambda: layers.GlobalTimeMelPool("mean_max_deviation"), maps(9, 7), dynamic=MAP),
    Case("spatial_padding", lambda: layers.SpatialPadding(3, "reflect"), maps(5, 4), dynamic=MAP),
    Case(
        "augmentations",
        lambda: layers.eat_augmentations(8000, mixing=False, seed=0),
        waveforms,
        dynamic=(None, None),
    ),
    Case("class_scores", lambda: layers.ClassScores("softmax", "abcd"), lambda rng: maps(1, 1)(rng)[:, 0, 0]),
    Case("vgg41", lambda: models.VGG41(6, (33, 28), width=0.125, class_names="abcdef"), spectrograms),
    Case("vgg41_blur", lambda: models.VGG41(6, (33, 28), "blur5", True, "reflect", width=0.125), spectrograms),
    Case("vgg41_adaptive", adaptive_vgg, spectrograms, half=None, dynamic=(None, None, 28)),
    Case("vgg42", lambda: models.VGG42(6, (33, 28), "tlpf1x5", width=0.25, activation=None), spectrograms),
    Case("waveform_classifier", waveform_classifier, lambda rng: waveforms(rng)[:, :1440]),
]

RATE = 8000
# With draws of their own in training, which `test_augmentation_layers.py` gives them.
RANDOM_LAYERS = {
    "gain": lambda **kw: layers.RandomGain(**kw),
    "fragment_gain": lambda **kw: layers.RandomFragmentGain(RATE, seconds=(0.01, 0.02), **kw),
    "time_mask": lambda **kw: layers.RandomTimeMask(RATE, **kw),
    "polarity": lambda **kw: layers.RandomPolarity(**kw),
    "quantisation": lambda **kw: layers.RandomQuantisation(**kw),
    "mu_law": lambda **kw: layers.RandomMuLaw((5, 8), **kw),
    "time_shift": lambda **kw: layers.RandomTimeShift(RATE, max_seconds=0.01, **kw),
    "time_shift_fourier": lambda **kw: layers.RandomTimeShift(RATE, 0.01, interpolation="fourier", **kw),
    "cyclic_shift": lambda **kw: layers.RandomCyclicShift(**kw),
    "time_reversal": lambda **kw: layers.RandomTimeReversal(**kw),
    "speed": lambda **kw: layers.RandomSpeed((0.8, 1.1), num_zeros=8, **kw),
    "low_pass": lambda **kw: layers.RandomLowPass(**kw),
    "high_pass": lambda **kw: layers.RandomHighPass(scale="sum", **kw),
    "white_noise": lambda **kw: layers.RandomNoise(**kw),
    "coloured_noise": lambda **kw: layers.RandomNoise(("pink", "violet"), (10, 30), **kw),
    "uniform_noise": lambda **kw: layers.RandomNoise("uniform", variant="released", **kw),
    "sine": lambda **kw: layers.RandomSine(RATE, **kw),
    "phase_noise": lambda **kw: layers.RandomPhaseNoise(0.5, 64, 16, damping=True, **kw),
}
