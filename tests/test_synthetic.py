"""Synthetic events: what each class must sound like, and data sets that depend on their arguments alone."""

import numpy as np
import pytest
import scipy.signal
import soundfile

from keras_audio_si.data.synthetic import CLASS_NAMES, synthesize_clip, synthesize_event, write_dataset

pytestmark = pytest.mark.once

RATE = 16000


def spectral_flatness(event):
    _, power = scipy.signal.welch(event, RATE, nperseg=512)
    return np.exp(np.mean(np.log(power + 1e-12))) / np.mean(power)


def peak_track(event):
    """Strongest frequency of every 32 ms, without the faded ends."""
    hertz, _, spectrum = scipy.signal.stft(event, RATE, nperseg=512, noverlap=384, boundary=None)
    return hertz[np.abs(spectrum).argmax(axis=0)][4:-4]


def envelope(event):
    """Level of every 10 ms."""
    return np.sqrt(scipy.signal.lfilter(np.ones(160) / 160, 1, event**2))


def swings(curve):
    """How often a curve crosses the middle between its extremes."""
    return np.count_nonzero(np.diff(np.sign(curve - (curve.max() + curve.min()) / 2)))


def share_of_power(event, low, high):
    hertz, power = scipy.signal.welch(event, RATE, nperseg=1024)
    return power[(hertz >= low) & (hertz <= high)].sum() / power.sum()


@pytest.mark.parametrize("class_name", CLASS_NAMES)
@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_events_have_their_length_and_level_and_fade(class_name, sample_rate):
    event = synthesize_event(class_name, 0.5, sample_rate, np.random.default_rng(3))
    assert event.shape == (sample_rate // 2,)
    assert np.isfinite(event).all()
    assert np.abs(event).max() == pytest.approx(1)
    assert event[0] == event[-1] == 0


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_parameters_vary_with_the_generator_and_only_with_it(class_name):
    first, again, other = (synthesize_event(class_name, 0.5, RATE, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.corrcoef(first, other)[0, 1] < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_what_their_names_say(seed):
    event = {name: synthesize_event(name, 0.8, RATE, np.random.default_rng(seed)) for name in CLASS_NAMES}
    track = {name: peak_track(event[name]) for name in CLASS_NAMES}
    flatness = {name: spectral_flatness(event[name]) for name in CLASS_NAMES}
    assert np.ptp(track["tone"]) == 0
    assert (np.diff(track["chirp_up"]) >= 0).all() and track["chirp_up"][-1] > 1.3 * track["chirp_up"][0]
    assert (np.diff(track["chirp_down"]) <= 0).all() and track["chirp_down"][0] > 1.3 * track["chirp_down"][-1]
    pitch = np.diff(np.unwrap(np.angle(scipy.signal.hilbert(event["vibrato"]))))[800:-800]
    assert 5 <= swings(pitch) <= 13 and 1.05 < pitch.max() / pitch.min() < 1.25  # 0.7 s of 4 to 9 Hz.
    centre = track["band_noise"].mean()
    assert share_of_power(event["band_noise"], centre / 3, 3 * centre) > 0.95 and np.ptp(track["band_noise"]) > 0
    pulses, _ = scipy.signal.find_peaks(envelope(event["clicks"]), height=0.02, distance=300)
    assert 0.8 * 8 - 2 <= len(pulses) <= 0.8 * 30 + 1
    spectrum = np.abs(np.fft.rfft(event["harmonics"] * np.hanning(len(event["harmonics"]))))
    lines, _ = scipy.signal.find_peaks(spectrum, height=spectrum.max() / 20, distance=40)
    assert 4 <= len(lines) <= 8 and np.ptp(np.diff(lines)) <= 2  # Equally spaced.
    assert max(flatness[name] for name in ("tone", "harmonics", "bell")) < 0.05
    assert min(flatness[name] for name in ("noise_burst", "modulated_noise")) > 0.4
    half = len(event["bell"]) // 2
    for decaying in ("bell", "noise_burst"):
        assert np.sum(event[decaying][:half] ** 2) > 4 * np.sum(event[decaying][half:] ** 2)
    modulated = envelope(event["modulated_noise"])[400:-400]
    assert modulated.min() < 0.35 * modulated.max()


@pytest.mark.parametrize("sample_rate", [8000, RATE])
def test_nothing_aliases(sample_rate):
    for name in ("tone", "chirp_up", "vibrato", "harmonics", "bell"):
        for seed in range(5):
            event = synthesize_event(name, 0.5, sample_rate, np.random.default_rng(seed))
            hertz, power = scipy.signal.welch(event, sample_rate, nperseg=512)
            assert power[hertz > 3800].sum() < 1e-3 * power.sum(), (name, seed)


def test_every_second_of_a_clip_holds_its_class():
    for seed in range(5):
        clip = synthesize_clip(["tone"], 4, RATE, np.random.default_rng(seed))
        for second in np.split(clip, 4):
            loudest = max(np.split(second, 20), key=np.std)
            assert spectral_flatness(loudest) < 0.6


def test_clips_have_their_length_and_level():
    rng = np.random.default_rng(0)
    clip = synthesize_clip(["tone", "bell"], 3, RATE, rng)
    assert clip.dtype == np.float32
    assert clip.shape == (3 * RATE,)
    assert 0.3 <= np.abs(clip).max() <= 0.9
    quiet = synthesize_clip([], 1, RATE, rng)
    assert np.isfinite(quiet).all() and quiet.std() > 0
    for seed in range(10):
        shortest = synthesize_clip(["tone"], 0.3, RATE, np.random.default_rng(seed))
        assert spectral_flatness(shortest) < 0.5  # The tone is there, not the noise alone.


def test_a_data_set_is_a_function_of_its_arguments(tmp_path):
    def contents(folder):
        return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    settings = dict(num_clips=25, sample_rate=8000, min_seconds=0.5, max_seconds=0.8)
    manifest = write_dataset(tmp_path / "a", **settings)
    again = write_dataset(tmp_path / "b", **settings)
    write_dataset(tmp_path / "c", **settings, seed=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")
    assert manifest.clips == again.clips
    assert manifest.class_names == CLASS_NAMES
    assert manifest.label_matrix().sum(axis=1).tolist() == [1] * 25
    assert {clip.split for clip in manifest.clips} == {"train", "val", "test"}
    for path in manifest.paths():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (8000, 1, "PCM_16")
        assert 0.5 - 1e-3 <= info.duration <= 0.8 + 1e-3

    longer = write_dataset(tmp_path / "d", **{**settings, "num_clips": 27})
    assert longer.clips[:25] == manifest.clips
    assert (
        contents(tmp_path / "d").items()
        >= {path: content for path, content in contents(tmp_path / "a").items() if path.suffix == ".wav"}.items()
    )


def test_what_is_there_is_kept_and_other_settings_are_refused(tmp_path):
    settings = dict(num_clips=3, sample_rate=8000, max_seconds=0.6)
    manifest = write_dataset(tmp_path, **settings)
    times = [path.stat().st_mtime_ns for path in manifest.paths()]
    assert write_dataset(tmp_path, **settings) == manifest
    assert [path.stat().st_mtime_ns for path in manifest.paths()] == times
    manifest.paths()[1].unlink()
    assert write_dataset(tmp_path, **settings) == manifest
    assert manifest.paths()[1].is_file()
    with pytest.raises(ValueError, match="'seed': 0.*'seed': 5"):
        write_dataset(tmp_path, **settings, seed=5)
    (tmp_path / "of the user" / "dog").mkdir(parents=True)
    with pytest.raises(ValueError, match="of the user holds other files, such as dog: choose another folder"):
        write_dataset(tmp_path / "of the user", **settings)
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ValueError, match="settings.json must be a JSON file"):
        write_dataset(tmp_path, **settings)


def test_multi_label_clips_have_one_to_three_classes(tmp_path):
    manifest = write_dataset(tmp_path, 40, sample_rate=8000, multi_label=True, max_seconds=0.5)
    counts = manifest.label_matrix().sum(axis=1)
    assert set(counts.tolist()) == {1, 2, 3}
    assert (manifest.label_matrix().sum(axis=0) >= 4).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda rng: synthesize_event("cat", 1, RATE, rng), ValueError, "Received: class_name='cat'"),
        (
            lambda rng: synthesize_event("tone", 1, 4000, rng),
            ValueError,
            "`sample_rate` must be at least 8000 Hz",
        ),
        (
            lambda rng: synthesize_event("tone", 0.01, RATE, rng),
            ValueError,
            "`seconds` must be at least 0.04",
        ),
        (lambda rng: synthesize_clip(["tone"], 0.1, RATE, rng), ValueError, "`seconds` must be at least 0.3"),
        (lambda rng: synthesize_clip("tone", 1, RATE, rng), TypeError, "sequence of names"),
        (lambda rng: write_dataset("nowhere", 0), ValueError, "`num_clips` must be an integer of at least 1"),
        (lambda rng: write_dataset("nowhere", 5, min_seconds=3, max_seconds=2), ValueError, "min_seconds=3"),
    ],
)
def test_wrong_arguments_are_explained(call, error, message, rng):
    with pytest.raises(error, match=message):
        call(rng)
