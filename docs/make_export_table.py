"""Writes the tables of docs/export.md: differences, sizes and times of every network in every format.

    KERAS_BACKEND=tensorflow python docs/make_export_table.py --data ESC-50 --layout auto

A process for each network trains it on all cores, and one for each row measures on one core; what is measured is kept
in `--results`, and is measured once. Networks are those of the preset "quick" after some steps (see
`train_some_steps`), and the trained model of the package. The machine should do nothing else.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from keras_audio_si.files import written_whole

FOLDER = pathlib.Path(__file__).parent
NETWORKS = {
    "vgg41-esc10": {},
    "VGG41": {"network": "vgg41", "pooling": "max"},
    "VGG41, TLPF + APS": {"network": "vgg41", "pooling": "tlpf5+aps"},
    "VGG42": {"network": "vgg42", "pooling": "max"},
    "mel + PCEN, VGG41": {"network": "vgg41", "front_end": "mel-pcen"},
    "LEAF, VGG41": {"network": "vgg41", "front_end": "leaf"},
    "DiffRes, VGG41": {"network": "vgg41", "resolution": "diffres", "frames_per_second": 25},
    "EfficientNet-B0": {"network": "efficientnet-b0"},
    "EAT-S": {"network": "eat-s"},
    "EAT-M": {"network": "eat-m"},
    "PiczakNet": {"network": "piczak"},
    "HeuriNet": {"network": "heurinet"},
    "MSTNet": {"network": "mstnet"},
    "MelConvNet": {"network": "melconvnet"},
}
FORMATS = (
    ("keras", "float32"),
    ("savedmodel", "float32"),
    ("onnx", "float32"),
    ("litert", "float32"),
    ("litert", "float16"),
    ("litert", "int8"),
)
NAMES = {"keras": "Keras model", "savedmodel": "SavedModel", "onnx": "ONNX", "litert": "LiteRT"}
DEVICE_NETWORKS = ("vgg41-esc10", "VGG41", "VGG41, TLPF + APS")
CLOCK_HZ, SRAM_BYTES = 240e6, 512 * 1024  # ESP32-S3, one core.
WINDOWS, STEPS, CALLS = 16, 20, 15


def build(network, data, layout, folder):
    """The model of a row, with the classes of the data, and windows of its clips."""
    import keras

    from keras_audio_si.data.clip_cache import ClipCache
    from keras_audio_si.data.datasets import read_dataset
    from keras_audio_si.export.before_after import windows_over
    from keras_audio_si.models.metadata import front_end_of
    from keras_audio_si.models.pretrained import pretrained

    def clips_of(model):
        return ClipCache.build(manifest, front_end_of(model).sample_rate, "runs/cache")

    manifest, path = read_dataset(data, layout), folder / f"{network}.keras"
    if NETWORKS[network] and not path.exists():
        train_some_steps(NETWORKS[network], manifest, clips_of, path)
    model = keras.models.load_model(path, compile=False) if NETWORKS[network] else pretrained(network)
    return model, windows_over(model, clips_of(model), WINDOWS)


def train_some_steps(settings, manifest, clips_of, path):
    """Trains a network on the windows of its row, and saves it.

    Of random weights nothing could be seen: they give one class a score of 1, or, with fitting statistics of batch
    normalisation, enlarge differences of rounding a thousand times.
    """
    import keras

    from keras_audio_si.experiments.model import build_model
    from keras_audio_si.experiments.presets import preset
    from keras_audio_si.inference.patching import patch_dataset
    from keras_audio_si.models import recalibrate
    from keras_audio_si.spacing import evenly_spaced
    from keras_audio_si.training import adapt

    keras.utils.set_random_seed(0)
    model = build_model(manifest.class_names, preset("quick", **settings))
    patches = patch_dataset(model, clips_of(model))
    chosen = evenly_spaced(patches.num_patches, WINDOWS)
    windows = np.asarray(patches.waveforms(chosen), "float32")
    adapt(model, patches)
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy", jit_compile=False)
    model.fit(windows, patches.labels[patches.patch_clip[chosen]], WINDOWS, epochs=STEPS, verbose=0)
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers()):
        recalibrate(model, [windows])
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def exported(model, format, precision, path, windows):
    """Exports a model; the function that scores a window `(1, samples)`, and the bytes that the copy has."""
    from keras_audio_si.export import export
    from keras_audio_si.export.check_export import LOADERS

    if format == "keras":
        model.save(path.with_suffix(".keras"))
        return lambda window: model.predict_on_batch(window), path.with_suffix(".keras").stat().st_size
    export(model, path, format, precision, representative=windows if format == "litert" else None)
    if format != "onnx":
        files = path.rglob("*") if path.is_dir() else [path]
        return LOADERS[format](str(path))[1], sum(file.stat().st_size for file in files if file.is_file())
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda window: session.run(["scores"], {"waveforms": window})[0], path.stat().st_size


def measure(network, format, precision, data, layout, models):
    """The figures of one row, a dict."""
    import tensorflow as tf

    from keras_audio_si.export.litert_counts import count_litert
    from keras_audio_si.inference.patching import patch_layout
    from keras_audio_si.inference.tagging import score_windows

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model, windows = build(network, data, layout, models)
    cut = patch_layout(model)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "exported"
        score, size = exported(model, format, precision, path, windows)
        scores = np.concatenate([score(window[None]) for window in windows])
        times = []
        for _ in range(CALLS):
            started = time.perf_counter()
            score(windows[:1])
            times.append(time.perf_counter() - started)
        row = {
            "difference": float(np.abs(scores - score_windows(model, windows)).max()),
            "bytes": size,
            "milliseconds": 1e3 * statistics.median(times) * cut.sample_rate / cut.patch_samples,
        }
        if format == "litert":
            row["counts"] = count_litert(path)._asdict()
    return row


def format_table(results):
    """The table of all formats, lines of Markdown."""
    lines = ["| network | format | largest difference | kB | ms per second of audio |", "|---|---|---:|---:|---:|"]
    for network in NETWORKS:
        for format, precision in FORMATS:
            row = results.get(f"{network}/{format}/{precision}")
            if row is None:
                continue
            name = NAMES[format] + ("" if precision == "float32" else f", {precision}")
            if "error" in row:
                lines.append(
                    f"| {network} | {name} | refused: {row['error'].split('ValueError: ')[-1].replace('|', '/')} | | |"
                )
                continue
            difference = "" if format == "keras" else f"{row['difference']:.1e}"
            figures = f"{row['bytes'] / 1e3:,.0f} | {row['milliseconds']:.2f}"
            lines.append(f"| {network} | {name} | {difference} | {figures} |")
    return "\n".join(lines)


def format_device_table(results):
    """The table of counts for a small device, lines of Markdown."""
    lines = [
        "| network | LiteRT | M products per second of audio, float32 | int8 | products per clock cycle | weights, kB "
        "| activations, kB | of 512 kB of SRAM |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for network in DEVICE_NETWORKS:
        for precision in ("float32", "int8"):
            counts = results.get(f"{network}/litert/{precision}", {}).get("counts")
            if counts is None:
                continue
            rates = [counts["products"].get(of, 0) / counts["seconds"] for of in ("FLOAT32", "INT8")]
            kilobytes = [counts["weight_bytes"] / 1e3, counts["activation_bytes"] / 1e3]
            cells = [f"{rate / 1e6:.1f}" for rate in rates] + [f"{sum(rates) / CLOCK_HZ:.2f}"]
            cells += [f"{size:,.0f}" for size in kilobytes] + [f"{counts['activation_bytes'] / SRAM_BYTES:.1f} times"]
            lines.append(f"| {network} | {precision} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_tables(page, results):
    """Puts both tables between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    for name, table in (("exports", format_table(results)), ("device", format_device_table(results))):
        start, end = f"<!-- {name}: docs/make_export_table.py -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n\n{table}\n\n{end}{rest.partition(end)[2]}"
    with written_whole(page) as temporary:
        pathlib.Path(temporary).write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="folder of a data set: real audio, for differences and int8")
    parser.add_argument("--layout", default="auto", help="its layout (auto)")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, metavar="NAME", help="these networks")
    parser.add_argument("--results", type=pathlib.Path, default="runs/exports.json", help="what has been measured")
    parser.add_argument("--page", type=pathlib.Path, default=FOLDER / "export.md", help="page with the markers")
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--build", help=argparse.SUPPRESS)
    args = parser.parse_args()
    models = args.results.parent / "exported"
    if args.build:
        build(args.build, args.data, args.layout, models)
        return
    if args.row:
        print(json.dumps(measure(*args.row, args.data, args.layout, models)))
        return
    results = json.loads(args.results.read_text()) if args.results.exists() else {}
    core = min(os.sched_getaffinity(0))
    command = [sys.executable, __file__, "--data", args.data, "--layout", args.layout, "--results", str(args.results)]
    for network in args.only or NETWORKS:
        missing = [format for format in FORMATS if f"{network}/{'/'.join(format)}" not in results]
        if missing:  # Not by one thread on one core, where TensorFlow hung in a training step of EAT-M.
            subprocess.run([*command, "--build", network], check=True)
        for format, precision in missing:
            key = f"{network}/{format}/{precision}"
            run = subprocess.run(
                [*command, "--row", network, format, precision],
                capture_output=True,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
            error = (run.stderr.strip().splitlines() or ["no output"])[-1]
            results[key] = {"error": error} if run.returncode else json.loads(run.stdout.strip().splitlines()[-1])
            print(key, results[key], flush=True)
            args.results.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(args.results) as temporary:
                pathlib.Path(temporary).write_text(json.dumps(results, indent=1))
    write_tables(args.page, results)


if __name__ == "__main__":
    main()
