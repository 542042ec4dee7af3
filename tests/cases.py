"""The layers and models that `test_contract.py` and `test_backends.py` hold to the contract."""

import sys
import unittest.mock

import keras
from harness import Case
from keras import ops

from keras_audio_si import layers, models
from keras_audio_si.layers import AdaptivePolyphasePool, AntiAliasPool
from keras_audio_si.models import vgg

_EFFICIENTNETS = sys.modules[keras.applications.EfficientNetB0.__module__]


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


def two_blocks(build, *args, **kwargs):
    """VGG41 or VGG42 with two of its four blocks, which compile faster; the case "vgg41" has all of them."""
    with unittest.mock.patch.object(vgg, "BLOCK_FILTERS", (48, 64)):
        return build(*args, width=0.125, **kwargs)


def small_efficientnet(**arguments):
    """An EfficientNet of `keras.applications` with four strided blocks of eight filters."""
    block = {"repeats": 1, "filters_in": 8, "filters_out": 8, "expand_ratio": 1, "id_skip": True, "se_ratio": 0.25}
    blocks = [{**block, "strides": 2, "kernel_size": size} for size in (3, 5, 3, 5)]
    return _EFFICIENTNETS.EfficientNet(0.01, 1.0, 0, blocks_args=blocks, **arguments)


def small_tagger(input_shape, class_names=None):
    """An `EfficientNetTagger` of three classes with that network."""
    with unittest.mock.patch.object(keras.applications, "EfficientNetB0", small_efficientnet):
        return models.EfficientNetTagger(3, input_shape, "B0", heads=2, class_names=class_names)


def with_larger_taps(network):
    """A network whose random weights make it differ from clip to clip: `built` takes taps for rows of a matrix."""
    weights = network.get_weights()
    taps = [w.ndim == 4 and w.shape[3] == 1 for w in weights]
    network.set_weights([3 * w * w.shape[2] ** 0.5 if one else w for one, w in zip(taps, weights, strict=True)])
    return network


def waveform_classifier():
    network = two_blocks(models.VGG41, 5, (16, 28), "tlpf3")
    return models.Classifier(layers.LogMelSpectrogram(8000, num_mels=28), network, input_samples=1440)


@keras.saving.register_keras_serializable(package="cases")
class MixedWithItsReverse(keras.layers.Layer):
    """A mixing in which the partner of each example is that example itself, reversed, and nothing is left to chance."""

    def __init__(self, mixing, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.mixing = mixing

    def call(self, x, training=None):
        batch = ops.shape(x)[0]
        index = ops.arange(batch)
        fixed = {name: ops.full((2 * batch,), value) for name, value in (("weight", 0.7), ("position", 0.5))}
        params = {**fixed, "partner": ops.concatenate([index + batch, index]), "high": fixed["weight"] > 0.5, "size": 0}
        both = ops.concatenate([x, ops.flip(x, axis=1)])
        return self.mixing.apply((both, ops.ones_like(both[:, :1])), params)[0][:batch]

    def compute_output_spec(self, x, training=None):
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self):
        return {**super().get_config(), "mixing": keras.saving.serialize_keras_object(self.mixing)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "mixing": keras.saving.deserialize_keras_object(config["mixing"])})


@keras.saving.register_keras_serializable(package="cases")
class MaskedPairs(keras.layers.Layer):
    """A resolution layer: the sum of every two frames, of those that the mask has; several channels are equal."""

    def __init__(self, channels=1, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, x, mask=None):
        if mask is not None:
            x = ops.where(mask[..., None], x, 0.0)
        pairs = x[:, 0 : x.shape[1] // 2 * 2 : 2] + x[:, 1::2]
        return ops.repeat(pairs[..., None], self.channels, axis=-1)

    def compute_mask(self, inputs, previous_mask):
        return None if previous_mask is None else previous_mask[:, 0 : inputs.shape[1] // 2 * 2 : 2]

    def compute_output_shape(self, shape):
        return (shape[0], None if shape[1] is None else shape[1] // 2, shape[2], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


def masked_classifier(lengths="zeros"):
    """17 frames, by pairs 8, into a convolution with a head of attention."""
    inputs = keras.Input((8, 12, 1))
    maps = keras.Model(inputs, keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    head = keras.Sequential([layers.AttentionHead(5, heads=2), layers.ClassScores(None, "abcde")])
    front_end = layers.LogMelSpectrogram(8000, num_mels=12)
    return models.Classifier(front_end, maps, MaskedPairs(), head, front_end.num_samples(17), lengths)


def with_padding(rng):
    clips = waveforms(rng)[:, :1520]
    clips[1, 700:] = clips[2, 300:] = 0.0
    return clips


def mixing_case(name, build):
    return Case(name, lambda: MixedWithItsReverse(build()), waveforms, dynamic=(None, None))


def heuri_net():
    """The network of HeuriNet with small convolutions in front of it: 20 frames of 12 bands."""
    front_end = layers.HeuriFrontEnd(8000, (4, 12), (31, 5), (5, 2), (3, 3), (2, 3))
    piczak = models.PiczakNet(5, (20, 12), deltas=True, filters=6, dense_units=8, class_names="abcde")
    return models.Classifier(front_end, piczak, input_samples=front_end.num_samples(20), standardise="bands")


def mel_convolution():
    front_end = layers.MelConvolution(8000, num_mels=12, max_hz=4000.0, center=True, drop_last_frame=True)
    return layers.RescaledFrontEnd(front_end, 0.2, 1.0)


MAP = (None, None, None, 4)
ROW = (None, None, 4)
FRAMES = (None, None, 28)


def eat():
    """With common residual blocks, which compile faster; the modified one is a case of its own."""
    small = {"channels": 2, "transformer_layers": 1, "heads": 2, "embedding_dim": 8, "feed_forward_dim": 12}
    return models.EAT(5, (250,), (4,), **small, residual="common", activation="softmax", class_names="abcde")


def adaptive_vgg():
    return two_blocks(models.VGG41, 6, (None, 28), "tlpf5+aps")


def masked_vgg():
    return models.with_masks(two_blocks(models.VGG41, 6, (None, 28), "average"))


CASES = [
    Case("log_mel", front_end, waveforms, dynamic=(None, None)),
    Case(
        "log_mel_centred_decibels",
        lambda: front_end(center=True, compression="decibel", top_db=60.0),
        waveforms,
        dynamic=(None, None),
    ),
    Case(
        "log_mel_convolution",
        lambda: front_end(dft="conv", top_db=40.0, reference="max"),
        waveforms,
        dynamic=(None, None),
    ),
    Case("td_filterbanks", lambda: layers.TDFilterbanks(2000, 4), waveforms, dynamic=(None, None)),
    # oneDNN adds up a long kernel in other blocks for another batch.
    Case("sinc_filters", lambda: layers.SincFilters(2000, 4), waveforms, dynamic=(None, None), rounding=2e-5),
    Case("leaf", lambda: layers.LEAF(2000, 4, padding="valid", filter_stride=5), waveforms, dynamic=(None, None)),
    Case("pcen", lambda: layers.PCEN(), lambda rng: spectrograms(rng) ** 2, dynamic=(None, None, 28)),
    Case(
        "mst_front_end",
        lambda: layers.MSTFrontEnd(8000, (12, 8, 6), (64, 3, 3), (32, 1, 1)),
        waveforms,
        dynamic=(None, None),
    ),
    # Decibels of sums of which some nearly vanish: processors and libraries add up in another order.
    Case("mel_convolution", mel_convolution, waveforms, dynamic=(None, None), rounding=3e-5),
    Case("standardise", lambda: layers.Standardise(), maps(9, 7), dynamic=MAP),
    Case("standardise_bands", lambda: layers.Standardise(per_band=True), spectrograms, dynamic=FRAMES),
    Case("deltas", lambda: layers.Deltas(5), spectrograms, dynamic=(None, None, 28)),
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
    mixing_case("mixup_gain_aware", lambda: layers.MixUp(gain_aware=True)),
    mixing_case("time_mix", lambda: layers.TimeMix()),
    mixing_case("freq_mix", lambda: layers.FreqMix(8000)),
    mixing_case("phase_mix", lambda: layers.PhaseMix(8000)),
    Case("phase_waveform", lambda: layers.PhaseWaveform("both", 256, 64), waveforms, dynamic=(None, None)),
    Case("time_mel_pool", lambda: layers.TimeMelPool("max_mel_mean_time"), maps(9, 7), dynamic=MAP),
    Case("global_pool", lambda: layers.GlobalTimeMelPool("mean_max_deviation"), maps(9, 7), dynamic=MAP),
    Case("spatial_padding", lambda: layers.SpatialPadding(3, "reflect"), maps(5, 4), dynamic=MAP),
    Case(
        "augmentations",
        lambda: layers.eat_augmentations(8000, mixings=(), seed=0),
        waveforms,
        dynamic=(None, None),
    ),
    Case("class_scores", lambda: layers.ClassScores("softmax", "abcd"), lambda rng: maps(1, 1)(rng)[:, 0, 0]),
    Case("vgg41", lambda: models.VGG41(6, (33, 28), width=0.125, class_names="abcdef"), spectrograms),
    Case("vgg41_blur", lambda: two_blocks(models.VGG41, 6, (33, 28), "blur5", True, "reflect"), spectrograms),
    Case("vgg41_adaptive", adaptive_vgg, spectrograms, half=None, dynamic=(None, None, 28)),
    Case("vgg42", lambda: two_blocks(models.VGG42, 6, (33, 28), "tlpf1x5", activation=None), spectrograms),
    Case("fit_length", lambda: layers.FitLength(16, sample_rate=8000), rows(27)),
    Case("time_convolution", lambda: layers.TimeConvolution(6, 5), rows(27), dynamic=ROW),
    Case("time_convolution_by_channel", lambda: layers.TimeConvolution(None, 5, 3, "edge"), rows(26), dynamic=ROW),
    Case("time_residual_block", lambda: layers.TimeResidualBlock(5, 3), rows(25), dynamic=ROW),
    Case("attention_head", lambda: layers.AttentionHead(5, heads=2), maps(6, 3), dynamic=MAP),
    Case("attention_head_of_frames", lambda: layers.AttentionHead(5, heads=0), rows(6), dynamic=ROW),
    Case("class_token", lambda: layers.ClassToken(), rows(9)),
    Case("transformer_block", lambda: layers.TransformerBlock(2, 6), rows(9), dynamic=ROW),
    Case("change_hop_size", lambda: layers.ChangeHopSize(0.6), spectrograms, dynamic=FRAMES),
    Case("average_pool_frames", lambda: layers.AveragePoolFrames(num_frames=7), spectrograms, dynamic=FRAMES),
    Case("average_max_pool_frames", lambda: layers.AverageMaxPoolFrames(0.3), spectrograms, dynamic=FRAMES),
    Case("conv_average_pool", lambda: layers.ConvAveragePool(0.5), spectrograms, dynamic=FRAMES),
    Case("res_conv_1d", lambda: layers.ResConv1D(5, 2, negative_slope=0.1), spectrograms, dynamic=FRAMES),
    # The logarithm of a small weight, a difference of positions, shows their rounding.
    Case("diffres", lambda: layers.DiffResLayer(), spectrograms, dynamic=FRAMES, rounding=1e-4),
    Case("eat", eat, lambda rng: waveforms(rng)[:, :250]),
    Case("masked_classifier", masked_classifier, with_padding),
    Case("masked_vgg", masked_vgg, spectrograms, dynamic=(None, None, 28)),
    Case("heuri_net", heuri_net, lambda rng: waveforms(rng)[:, :1261]),
    Case("waveform_classifier", waveform_classifier, lambda rng: waveforms(rng)[:, :1440]),
]

RATE = 8000
# With draws of their own in training, which `test_augmentation_layers.py` gives them.
RANDOM_LAYERS = {
    "gain": lambda **kw: layers.RandomGain(**kw),
    "fragment_gain": lambda **kw: layers.RandomFragmentGain(RATE, seconds=(0.01, 0.02), **kw),
    "time_mask": lambda **kw: layers.RandomTimeMask(RATE, **kw),
    "polarity": lambda **kw: layers.PolarityInversion(**kw),
    "quantisation": lambda **kw: layers.BitCrush(**kw),
    "mu_law": lambda **kw: layers.RandomMuLaw((5, 8), **kw),
    "time_shift": lambda **kw: layers.RandomTimeShift(RATE, max_seconds=0.01, **kw),
    "time_shift_fourier": lambda **kw: layers.RandomTimeShift(RATE, 0.01, interpolation="fourier", **kw),
    "cyclic_shift": lambda **kw: layers.Roll(**kw),
    "time_reversal": lambda **kw: layers.Reverse(**kw),
    "speed": lambda **kw: layers.RandomSpeed((0.8, 1.1), num_zeros=8, **kw),
    "low_pass": lambda **kw: layers.RandomLowPass(**kw),
    "high_pass": lambda **kw: layers.RandomHighPass(scale="sum", **kw),
    "white_noise": lambda **kw: layers.RandomNoise(**kw),
    "coloured_noise": lambda **kw: layers.RandomNoise(("pink", "violet"), (10, 30), **kw),
    "uniform_noise": lambda **kw: layers.RandomNoise("uniform", variant="released", **kw),
    "sine": lambda **kw: layers.RandomSine(RATE, **kw),
    "phase_noise": lambda **kw: layers.RandomPhaseNoise(RATE, (0.3, 0.5), ((64, 16), (32, 8)), damping=True, **kw),
}
