"""The cache of decoded clips: equal to decoding, reused while nothing changes, not stopped by bad files."""

import dataclasses
import errno
import os

import numpy as np
import pytest
import soundfile

from keras_audio_si.data import audio_io, clip_cache
from keras_audio_si.data.audio_io import read_audio
from keras_audio_si.data.clip_cache import ClipCache
from keras_audio_si.data.datasets import read_esc50
from keras_audio_si.data.manifest import Clip, Manifest

pytestmark = pytest.mark.once


@pytest.fixture
def manifest(tmp_path, rng):
    """Five clips of several lengths, rates and channel counts; number 1 is text and number 3 is missing."""
    clips = []
    for index, (rate, channels) in enumerate([(16000, 1), (0, 0), (44100, 2), (0, 0), (8000, 3)]):
        clips.append(Clip(f"{index}.wav", (("dog", "rain")[index % 2],), ("train", "test")[index // 3], fold=index))
        if rate:
            soundfile.write(tmp_path / f"{index}.wav", rng.uniform(-0.5, 0.5, (2000 + index, channels)), rate)
    (tmp_path / "1.wav").write_text("not audio")
    return Manifest(clips, root=tmp_path)


def test_clips_equal_decoding_them_one_by_one(manifest, tmp_path, capsys):
    cache = ClipCache.build(manifest, 16000, tmp_path / "cache", num_workers=2)
    assert [clip.path for clip in cache.manifest.clips] == ["0.wav", "2.wav", "4.wav"]
    assert cache.manifest.class_names == ("dog", "rain")
    assert cache.sample_rate == 16000
    assert len(cache) == 3
    for index, path in enumerate(cache.manifest.paths()):
        np.testing.assert_array_equal(cache.waveform(index), read_audio(path, 16000)[0])
        assert cache.waveform(index).dtype == np.float32
        assert cache.lengths[index] == len(cache.waveform(index))


def test_bad_files_are_reported_and_left_out(manifest, tmp_path, capsys):
    for _ in range(2):  # Also by the second call, which only opens the cache.
        cache = ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
        printed = capsys.readouterr()
        assert [os.path.basename(path) for path, _ in cache.failures] == ["1.wav", "3.wav"]
        assert "not audio" in cache.failures[0][1]
        assert "no such file" in cache.failures[1][1]
        assert printed.err.startswith("Left out 2 of 5 clips:\n")
        assert printed.err.count("1.wav") == printed.err.count("3.wav") == 1
        assert printed.out == ""


def test_progress_is_shown_on_request(manifest, tmp_path, capsys):
    ClipCache.build(manifest, 16000, tmp_path / "cache")
    assert "5/5 clips" in capsys.readouterr().err


def test_a_manifest_of_bad_files_is_an_error(manifest, tmp_path):
    with pytest.raises(ValueError, match=r"None of the 2 clips could be read. The first:.*1\.wav: is not audio"):
        ClipCache.build(manifest.subset([1, 3]), 16000, tmp_path / "cache", progress=False)


def test_a_split_of_bad_files_is_an_error(manifest, tmp_path):
    splits = ("train", "test", "train", "test", "train")
    clips = [dataclasses.replace(clip, split=name) for clip, name in zip(manifest.clips, splits, strict=True)]
    divided = dataclasses.replace(manifest, clips=tuple(clips))
    with pytest.raises(ValueError, match=r"None of the 2 clips of the split 'test' could be read. The first:.*1\.wav"):
        ClipCache.build(divided, 16000, tmp_path / "cache", progress=False)


def test_a_full_disk_says_which_one(manifest, tmp_path, monkeypatch):
    def full(*args):
        yield np.zeros(1 << 20, "float32")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(clip_cache.DECODERS, "soundfile", full)
    place = "no space left on device after 1 of 5 decoded clips .4 MiB."
    with pytest.raises(OSError, match=f"cannot write to .*cache.*{place}; make room, and run it again") as caught:
        ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_was_cut_short_is_not_used(manifest, tmp_path):
    ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
    (samples,) = (tmp_path / "cache").glob("*/samples.float32")
    samples.write_bytes(samples.read_bytes()[:-400])
    with pytest.raises(ValueError, match="samples.float32 is damaged: delete .*cache"):
        ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)


@pytest.mark.parametrize("content", ['{"lengths": [20', "{}"])
def test_a_damaged_index_is_named(manifest, tmp_path, content):
    ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
    (index,) = (tmp_path / "cache").glob("*/index.json")
    index.write_text(content)
    with pytest.raises(ValueError, match="index.json must be a JSON file|samples.float32 is damaged: delete .*cache"):
        ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)


def test_what_could_not_be_read_is_tried_again(manifest, tmp_path, monkeypatch):
    def build():
        cache = ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
        (samples,) = (tmp_path / "cache").glob("*/samples.float32")
        return [clip.path for clip in cache.manifest.clips], samples.stat().st_mtime_ns

    with monkeypatch.context() as patched:
        patched.setattr("os.access", lambda path, mode: path.name != "2.wav")
        found, built = build()
        assert found == ["0.wav", "4.wav"]
        assert build() == (found, built)  # As long as it cannot be read the cache is as good as it was.
    found, again = build()
    assert found == ["0.wav", "2.wav", "4.wav"] and again != built
    assert build() == (found, again)


def test_a_file_for_which_memory_is_too_small_is_left_out(manifest, tmp_path, monkeypatch):
    decode = audio_io.decode

    def too_long(file, path, mono):
        if path == manifest.paths()[0]:
            raise MemoryError("Unable to allocate 7. EiB")
        return decode(file, path, mono)

    monkeypatch.setattr(audio_io, "decode", too_long)
    cache = ClipCache.build(manifest, 8000, tmp_path, progress=False)
    assert "more memory than there is (Unable to allocate 7. EiB)" in dict(cache.failures)[str(manifest.paths()[0])]
    assert [clip.path for clip in cache.manifest.clips] == ["2.wav", "4.wav"]


def test_files_are_decoded_again_only_after_a_change(manifest, tmp_path, monkeypatch):
    decoded = []
    read = clip_cache.read_audio
    monkeypatch.setattr(clip_cache, "read_audio", lambda path, rate: decoded.append(path) or read(path, rate))
    good = manifest.subset([0, 2])

    def number_decoded(manifest, sample_rate=16000):
        decoded.clear()
        ClipCache.build(manifest, sample_rate, tmp_path / "cache", progress=False)
        return len(decoded)

    assert number_decoded(good) == 2
    assert number_decoded(good) == 0
    relabelled = Manifest([Clip(clip.path, ("other",)) for clip in good.clips], root=good.root)
    assert number_decoded(relabelled) == 0
    assert number_decoded(good, sample_rate=8000) == 2
    soundfile.write(tmp_path / "2.wav", np.zeros(100), 16000)
    assert number_decoded(good) == 2
    assert number_decoded(manifest) == 5
    (tmp_path / "3.wav").write_bytes((tmp_path / "0.wav").read_bytes())
    assert number_decoded(manifest) == 5


def test_an_interrupted_build_leaves_nothing_behind(manifest, tmp_path, monkeypatch):
    def interrupt(path, rate):
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_cache, "read_audio", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_builds_at_once_agree(manifest, tmp_path, monkeypatch):
    decode_all = clip_cache._decode_all

    def overtaken(*args):
        decode_all(*args)  # Another process is ready first.
        decode_all(*args)

    monkeypatch.setattr(clip_cache, "_decode_all", overtaken)
    assert len(ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)) == 3
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_selection_is_a_view(manifest, tmp_path):
    cache = ClipCache.build(manifest, 16000, tmp_path / "cache", progress=False)
    test = cache.select(split="test")
    assert [clip.path for clip in test.manifest.clips] == ["4.wav"]
    assert np.shares_memory(test.samples, cache.samples)
    np.testing.assert_array_equal(test.waveform(0), cache.waveform(2))
    assert len(cache.select(folds=[0, 2])) == 2


def test_waveforms_in_memory():
    cache = ClipCache.from_waveforms([np.arange(3), np.arange(2)], [("dog",), ()], 100, class_names=("cat", "dog"))
    assert cache.manifest.label_matrix().tolist() == [[0, 1], [0, 0]]
    assert cache.waveform(1).tolist() == [0, 1]
    assert cache.waveform(1).dtype == np.float32
    with pytest.raises(ValueError, match="'clip-1' has none"):
        ClipCache.from_waveforms([np.arange(3), np.arange(0)], [("dog",), ()], 100)
    with pytest.raises(ValueError, match="must be finite.*are in: clip-1, clip-2"):
        ClipCache.from_waveforms([np.zeros(2), np.array([0, np.nan]), np.array([np.inf])], [()] * 3, 100, ("dog",))
    with pytest.raises(ValueError, match="`manifest` and `lengths` must be of one length. Received: 1 and 2"):
        ClipCache.from_waveforms([np.arange(3), np.arange(2)], [("dog",)], 100)


def test_real_clips(shared_data, tmp_path):
    few = read_esc50(shared_data / "esc50").subset(range(0, 320, 40))
    cache = ClipCache.build(few, 16000, tmp_path, progress=False)
    assert cache.failures == ()
    assert [clip.clip_id for clip in cache.manifest.clips] == [clip.clip_id for clip in few.clips]
    assert cache.lengths.min() > 0.2 * 16000 and cache.lengths.max() <= 5.1 * 16000
    assert np.isfinite(cache.samples).all()
