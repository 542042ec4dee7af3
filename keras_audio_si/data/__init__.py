"""Data: audio files, manifests and layouts of data sets, decoded clips, patches as batches."""

from keras_audio_si.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "audio_io": "AudioError audio_info read_audio",
        "audio_stream": "stream_audio",
        "background": "BackgroundNoise",
        "clip_cache": "ClipCache",
        "clip_files": "ClipFiles",
        "datasets": "read_dataset",
        "loud_patches": "cut_loud_patches",
        "manifest": "Clip Manifest",
        "patch_sequence": "PatchSequence",
        "pipeline": "PatchDataset",
        "preparation": "prepare",
        "splits": "assign_splits",
        "statistics": "ClipStatistics clip_statistics",
        "synthetic": "write_dataset",
    },
)
