"""Inference: patches for a model, scores of files of any length, sound events, tables of both."""

from keras_audio_si.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "beam_tagging": "tag_files_by_beam",
        "embeddings": "write_embeddings",
        "event_tables": "write_events",
        "events": "Event find_events scores_over_time",
        "part_file": "PartFile digest_of",
        "patching": "PatchLayout patch_dataset patch_layout",
        "tag_tables": "write_tags",
        "tagging": "find_audio tag_files",
    },
)
