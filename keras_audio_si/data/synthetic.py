"""Synthetic sound events of ten classes, and data sets made of them without a download."""

import pathlib

import numpy as np
import soundfile

from keras_audio_si.checks import check_choice, check_integer
from keras_audio_si.data.manifest import Clip, Manifest
from keras_audio_si.data.prepared import MANIFEST_FILE
from keras_audio_si.data.text_files import read_json
from keras_audio_si.files import write_json, written_whole

GENERATOR = 1  # To be increased when the sounds change, so that a folder with older sounds is not reused.
SETTINGS_FILE = "settings.json"
MIN_SAMPLE_RATE = 8000  # The highest frequencies below fit under its Nyquist frequency.
SPLITS = ("train", "val", "test", "train", "train")  # Assigned in turn to the clips of a class.
EVENT_SECONDS = (0.3, 0.9)
PAUSE_SECONDS = (0.0, 0.4)
EVENT_DECIBELS = (-6.0, 0.0)
SIGNAL_TO_NOISE_DECIBELS = (3.0, 25.0)
FADE_SECONDS = 0.01


def _log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _phase(hertz, sample_rate):
    """Phase in radians of an oscillator whose frequency is given at every sample."""
    return 2 * np.pi * np.cumsum(hertz) / sample_rate


def _shaped_noise(samples, sample_rate, rng, gain):
    """White noise whose spectrum is multiplied by `gain(hertz)`."""
    hertz = np.fft.rfftfreq(samples, 1 / sample_rate)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * gain(hertz), samples)


def _tone(time, sample_rate, rng):
    return np.sin(2 * np.pi * _log_uniform(rng, 200, 3000) * time + rng.uniform(0, 2 * np.pi))


def _chirp(time, sample_rate, rng, upwards):
    low = _log_uniform(rng, 200, 1200)
    high = low * rng.uniform(1.6, 3)
    first, last = (low, high) if upwards else (high, low)
    return np.sin(_phase(first * (last / first) ** (time / time[-1]), sample_rate))


def _chirp_up(time, sample_rate, rng):
    return _chirp(time, sample_rate, rng, upwards=True)


def _chirp_down(time, sample_rate, rng):
    return _chirp(time, sample_rate, rng, upwards=False)


def _vibrato(time, sample_rate, rng):
    depth, rate = rng.uniform(0.03, 0.1), rng.uniform(4, 9)
    wobble = np.sin(2 * np.pi * rate * time + rng.uniform(0, 2 * np.pi))
    return np.sin(_phase(_log_uniform(rng, 300, 2500) * (1 + depth * wobble), sample_rate))


def _harmonics(time, sample_rate, rng):
    fundamental = _log_uniform(rng, 100, 400)
    orders = np.arange(1, rng.integers(5, 9) + 1)
    amplitudes = orders ** -rng.uniform(0.3, 1.2)
    phases = rng.uniform(0, 2 * np.pi, len(orders))
    return amplitudes @ np.sin(2 * np.pi * fundamental * np.outer(orders, time) + phases[:, None])


def _bell(time, sample_rate, rng):
    # Strike tones of a bell are not multiples of one another; higher ones die away sooner.
    ratios = np.array([0.5, 1.0, 1.19, 1.71, 2.0, 2.74]) * rng.uniform(0.98, 1.02, 6)
    hertz = _log_uniform(rng, 300, 1200) * ratios
    decay = rng.uniform(3, 8) * np.sqrt(ratios)
    partials = np.exp(-np.outer(decay, time)) * np.sin(2 * np.pi * np.outer(hertz, time))
    return rng.uniform(0.4, 1, 6) @ partials


def _clicks(time, sample_rate, rng):
    # A click is a damped resonance that lasts a few milliseconds.
    period = 1 / rng.uniform(8, 30)
    since = (time + rng.uniform(0, period)) % period
    return np.exp(-since * rng.uniform(400, 1500)) * np.sin(2 * np.pi * _log_uniform(rng, 1000, 3500) * since)


def _noise_burst(time, sample_rate, rng):
    noise = _shaped_noise(len(time), sample_rate, rng, lambda hertz: np.ones_like(hertz))
    return noise * np.exp(-time * rng.uniform(8, 25))


def _modulated_noise(time, sample_rate, rng):
    noise = _shaped_noise(len(time), sample_rate, rng, lambda hertz: (1 + hertz / 500) ** -0.5)
    modulation = np.sin(2 * np.pi * rng.uniform(5, 15) * time + rng.uniform(0, 2 * np.pi))
    return noise * (1 + rng.uniform(0.8, 1) * modulation)


def _band_noise(time, sample_rate, rng):
    centre, octaves = _log_uniform(rng, 400, 2500), rng.uniform(0.15, 0.5)

    def gain(hertz):
        return np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / centre) / octaves) ** 2)

    return _shaped_noise(len(time), sample_rate, rng, gain)


EVENTS = {
    "band_noise": _band_noise,
    "bell": _bell,
    "chirp_down": _chirp_down,
    "chirp_up": _chirp_up,
    "clicks": _clicks,
    "harmonics": _harmonics,
    "modulated_noise": _modulated_noise,
    "noise_burst": _noise_burst,
    "tone": _tone,
    "vibrato": _vibrato,
}
CLASS_NAMES = tuple(EVENTS)


def synthesize_event(class_name, seconds, sample_rate, rng):
    """Makes one sound event with parameters drawn at random.

    Args:
        class_name: One of `CLASS_NAMES`.
        seconds: Duration.
        sample_rate: In Hz, at least 8000.
        rng: `numpy.random.Generator`.

    Returns:
        `(samples,)` float64 with a peak of 1.

    Raises:
        ValueError: If the class is unknown, or the duration or the rate too small.

    Example:

    >>> import numpy as np
    >>> from keras_audio_si.data.synthetic import synthesize_event
    >>> synthesize_event("bell", seconds=0.5, sample_rate=16000, rng=np.random.default_rng(0)).shape
    (8000,)
    """
    check_choice("class_name", class_name, EVENTS)
    if sample_rate < MIN_SAMPLE_RATE:
        raise ValueError(f"`sample_rate` must be at least {MIN_SAMPLE_RATE} Hz. Received: sample_rate={sample_rate}")
    if seconds < 4 * FADE_SECONDS:
        raise ValueError(f"`seconds` must be at least {4 * FADE_SECONDS}. Received: seconds={seconds}")
    samples = round(seconds * sample_rate)
    event = EVENTS[class_name](np.arange(samples) / sample_rate, sample_rate, rng)
    fade = round(FADE_SECONDS * sample_rate)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade)) ** 2
    event[:fade] *= ramp
    event[-fade:] *= ramp[::-1]
    return event / np.abs(event).max()


def synthesize_clip(class_names, seconds, sample_rate, rng, signal_to_noise_decibels=SIGNAL_TO_NOISE_DECIBELS):
    """Makes a clip with repeated events of each class and coloured background noise.

    Places, durations, levels and all parameters of the events are drawn anew each time; events of different
    classes overlap.

    Args:
        class_names: Some of `CLASS_NAMES`; none for background noise alone.
        seconds: Duration.
        sample_rate: In Hz, at least 8000.
        rng: `numpy.random.Generator`.
        signal_to_noise_decibels: Lowest and highest level of the events above the noise, in dB.

    Returns:
        `(samples,)` float32 with a peak between 0.3 and 0.9.

    Raises:
        TypeError: If `class_names` is a single string.
        ValueError: If a class is unknown, or the duration (under 0.3 s) or the rate too small.

    Example:

    >>> import numpy as np
    >>> from keras_audio_si.data.synthetic import synthesize_clip
    >>> synthesize_clip(["tone", "clicks"], seconds=2, sample_rate=8000, rng=np.random.default_rng(0)).shape
    (16000,)
    """
    if isinstance(class_names, str):
        raise TypeError(f"`class_names` must be a sequence of names. Received: class_names={class_names!r}")
    if seconds < EVENT_SECONDS[0]:
        raise ValueError(f"`seconds` must be at least {EVENT_SECONDS[0]}. Received: seconds={seconds}")
    clip = np.zeros(round(seconds * sample_rate))
    for class_name in class_names:
        start = rng.uniform(0, min(PAUSE_SECONDS[1], seconds / 3))
        while start < seconds - EVENT_SECONDS[0] / 2:  # The last event may be cut off, but not to nothing.
            duration = rng.uniform(*EVENT_SECONDS)
            first = round(start * sample_rate)
            event = synthesize_event(class_name, duration, sample_rate, rng)[: len(clip) - first]
            clip[first : first + len(event)] += event * 10 ** (rng.uniform(*EVENT_DECIBELS) / 20)
            start += duration + rng.uniform(*PAUSE_SECONDS)
    slope = rng.uniform(0, 1)  # From white to brown noise.
    noise = _shaped_noise(len(clip), sample_rate, rng, lambda hertz: np.maximum(hertz, 50) ** -slope)
    level = np.sqrt(np.mean(clip**2)) or 1.0
    noise *= level / np.sqrt(np.mean(noise**2)) * 10 ** (-rng.uniform(*signal_to_noise_decibels) / 20)
    clip += noise
    return (clip * rng.uniform(0.3, 0.9) / np.abs(clip).max()).astype("float32")


def write_dataset(
    folder,
    num_clips,
    sample_rate=16000,
    seed=0,
    multi_label=False,
    min_seconds=0.5,
    max_seconds=4.0,
    signal_to_noise_decibels=SIGNAL_TO_NOISE_DECIBELS,
):
    """Writes a data set of synthetic clips: 16-bit WAV files and `manifest.csv`.

    Clip `i` is a function of `seed` and `i` alone. Classes take turns, and three of five clips of each class
    are "train", one is "val" and one "test". A folder that was written with the same arguments is left as it
    is.

    Args:
        folder: Folder to write to, made if need be.
        num_clips: Number of clips; 21 or more give every split something.
        sample_rate: In Hz, at least 8000.
        seed: Non-negative integer.
        multi_label: Whether clips have one to three classes, or one each.
        min_seconds: Shortest duration.
        max_seconds: Longest duration.
        signal_to_noise_decibels: Lowest and highest level of the events above the noise, in dB.

    Returns:
        A `Manifest`.

    Raises:
        ValueError: If an argument is out of its range, or the folder holds other files or clips made with other
            arguments.

    Example:

    >>> import tempfile
    >>> from keras_audio_si.data.synthetic import write_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = write_dataset(folder, num_clips=3, sample_rate=8000, max_seconds=0.5)
    >>> [clip.labels for clip in manifest.clips]
    [('band_noise',), ('bell',), ('chirp_down',)]
    """
    check_integer(1, num_clips=num_clips)
    if not EVENT_SECONDS[0] <= min_seconds <= max_seconds:
        raise ValueError(
            f"Must hold: {EVENT_SECONDS[0]} <= `min_seconds` <= `max_seconds`. "
            f"Received: min_seconds={min_seconds}, max_seconds={max_seconds}"
        )
    folder = pathlib.Path(folder)
    settings = {
        "generator": GENERATOR,
        "num_clips": num_clips,
        "sample_rate": sample_rate,
        "seed": seed,
        "multi_label": multi_label,
        "min_seconds": min_seconds,
        "max_seconds": max_seconds,
        "signal_to_noise_decibels": list(signal_to_noise_decibels),
    }
    settings_file = folder / SETTINGS_FILE
    if settings_file.is_file():
        present = read_json(settings_file)
        if present != settings:
            raise ValueError(
                f"{folder} holds synthetic clips made with {present}, not with {settings}: "
                "delete it or choose another folder."
            )
        manifest = Manifest.read(folder / MANIFEST_FILE, CLASS_NAMES)
        if all(path.is_file() for path in manifest.paths()):
            return manifest
    elif others := sorted(path.name for path in folder.glob("*") if path.name != "audio"):
        raise ValueError(f"{folder} holds other files, such as {others[0]}: choose another folder.")
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    clips = []
    for index in range(num_clips):
        rng = np.random.default_rng((seed, index))
        labels = _draw_labels(index, multi_label, rng)
        clip = Clip(f"audio/{index:06d}.wav", labels, SPLITS[index // len(CLASS_NAMES) % len(SPLITS)])
        seconds = rng.uniform(min_seconds, max_seconds)
        waveform = synthesize_clip(labels, seconds, sample_rate, rng, signal_to_noise_decibels)
        with written_whole(folder / clip.path) as temporary:
            soundfile.write(temporary, waveform, sample_rate, subtype="PCM_16")
        clips.append(clip)
    manifest = Manifest(clips, CLASS_NAMES, folder)
    manifest.write(folder / MANIFEST_FILE)
    write_json(settings_file, settings, indent=1)  # Last, as a sign that the data set is complete.
    return manifest


def _draw_labels(index, multi_label, rng):
    first = index % len(CLASS_NAMES)
    others = rng.permutation(np.delete(np.arange(len(CLASS_NAMES)), first))
    count = rng.integers(0, 3) if multi_label else 0
    return tuple(CLASS_NAMES[number] for number in sorted([first, *others[:count]]))
