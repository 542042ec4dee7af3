"""Shift consistency of published networks before and after `swap_pooling`, with random weights.

    python recipes/swap_pooling.py --output runs/swap_pooling

ResNet50 and MobileNetV2 of `keras.applications` score spectrograms of synthetic sounds as images, and the same images
shifted circularly along time and mel. Then their strided convolutions and pools are replaced; all weights are kept, and
nothing is trained. This is repeated with circular instead of zero padding in all layers, where adaptive sampling is
exactly invariant. Batch statistics are those of the images, so that the scores of different images differ; changes of
scores are in standard deviations of each class over the images.

Paper: Fonseca, Ferraro, Serra: Improving Sound Event Classification by Increasing Shift Invariance in Convolutional
    Neural Networks, 2021. Its mechanisms in networks that are not in the paper, so there is no figure to compare with.
Expect: the table in docs/swap-pooling.md. With zero padding filters help and adaptive sampling hardly does; with
    circular padding adaptive sampling gives a consistency of 100 %, and changes at the level of rounding.
Cost: 5 to 10 minutes on two cores, no download.
Gives: table.csv and table.md.
"""

import argparse
import sys

import keras
import numpy as np

from keras_audio_si.cli.arguments import Parser, add_debug
from keras_audio_si.cli.main import guarded
from keras_audio_si.data.synthetic import CLASS_NAMES, synthesize_clip
from keras_audio_si.evaluation.report import format_text, write_table
from keras_audio_si.layers import LogMelSpectrogram, SpatialPadding
from keras_audio_si.models import swap_pooling

NETWORKS = {"ResNet50": keras.applications.ResNet50, "MobileNetV2": keras.applications.MobileNetV2}
POOLINGS = ("blur3", "aps", "blur3+aps-l2")
IMAGE = (128, 96, 3)  # Frames, mel bands, and the channels that the networks want.
NUM_CLASSES = 10
SHIFTS = {"by 1": 1, "by 1 to 31": 31}


def spectrogram_images(count, rng):
    """Standardised log-mel spectrograms of random events, as images `(count, 128, 96, 3)`."""
    front_end = LogMelSpectrogram(16000, num_mels=IMAGE[1])
    samples = front_end.num_samples(IMAGE[0])
    clips = [
        synthesize_clip((CLASS_NAMES[i % len(CLASS_NAMES)],), samples / 16000, 16000, rng)[:samples]
        for i in range(count)
    ]
    spectrograms = keras.ops.convert_to_numpy(front_end(np.stack(clips).astype("float32")))
    spectrograms = (spectrograms - spectrograms.mean()) / spectrograms.std()
    return np.repeat(spectrograms[..., None], 3, axis=-1)


def set_batch_statistics(model, images):
    """Makes the moving statistics of a network those of the images."""
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normalizations]
    for layer in normalizations:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum


def with_circular_padding(model):
    """A copy whose convolutions and pools wrap around at the borders, weights kept."""

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.MaxPooling2D):
            config["padding"] = "same"  # Until `swap_pooling` gives it its windows.
        elif has_window(layer):
            config["padding"] = "valid"
        return type(layer).from_config(config)

    def call(layer, x, **arguments):
        if isinstance(layer, keras.layers.ZeroPadding2D):
            return x
        return layer(SpatialPadding(layer.kernel_size[0], "circular")(x) if has_window(layer) else x, **arguments)

    def has_window(layer):
        kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        return isinstance(layer, kinds) and layer.kernel_size != (1, 1)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    copy.set_weights(model.get_weights())
    return copy


def shifted(images, largest, rng):
    """Every image shifted circularly by 1 to `largest` along time and along mel."""
    shifts = rng.integers(1, largest + 1, size=(len(images), 2))
    return np.stack([np.roll(image, shift, (0, 1)) for image, shift in zip(images, shifts, strict=True)])


def consistency(model, images, rng):
    """Share of images with the same top class after a shift, and the RMS change of the scores."""
    scores = model.predict(images, batch_size=32, verbose=0)
    mean, deviation = scores.mean(axis=0), scores.std(axis=0)
    row = {}
    for name, largest in SHIFTS.items():
        moved = model.predict(shifted(images, largest, rng), batch_size=32, verbose=0)
        same = ((scores - mean) / deviation).argmax(axis=1) == ((moved - mean) / deviation).argmax(axis=1)
        row[f"{name}: consistency (%)"] = 100 * float(same.mean())
        row[f"{name}: change"] = float(np.sqrt((((moved - scores) / deviation) ** 2).mean()))
    return row


def main(args):
    images = spectrogram_images(args.images, np.random.default_rng(args.seed))
    rows = []
    for name, build in NETWORKS.items():
        keras.utils.set_random_seed(args.seed)
        published = build(weights=None, input_shape=IMAGE, classes=NUM_CLASSES, classifier_activation=None)
        for borders, model in {"zeros": published, "circular": with_circular_padding(published)}.items():
            set_batch_statistics(model, images)
            padding = "circular" if borders == "circular" else "edge"
            for pooling in ("as published", *args.pooling):
                print(f"{name}, {borders}, {pooling}", flush=True)
                network = model
                if pooling != "as published":
                    network = swap_pooling(model, pooling, strided_convolutions=True, padding=padding)
                row = consistency(network, images, np.random.default_rng(args.seed + 1))
                rows.append({"network": name, "borders": borders, "pooling": pooling, **row})
    print(f"\n{format_text(rows)}\n")
    print("Table:", *write_table(rows, args.output, "table"))


if __name__ == "__main__":
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="runs/swap_pooling", metavar="DIR", help="folder of the table")
    parser.add_argument("--pooling", nargs="+", default=POOLINGS, metavar="NAME", help="see `list poolings`")
    parser.add_argument("--images", type=int, default=100, metavar="N", help="number of images (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, sounds and shifts (0)")
    add_debug(parser)
    sys.exit(guarded(main, parser.parse_args()))
