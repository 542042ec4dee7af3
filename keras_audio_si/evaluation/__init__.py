"""Evaluation: clip-level metrics, scores of patches and votes, robustness to shifts, intervals, reports."""

from keras_audio_si.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "calibration": "Calibration reliability",
        "clips": "ClipEvaluation evaluate_clips score_clips",
        "comparison": "Comparison compare_results write_comparison",
        "html_report": "write_report",
        "intervals": "Difference Interval bootstrap",
        "onsets": "OnsetScores match_onsets onset_scores",
        "patches": "PatchEvaluation evaluate_patches",
        "report": "Estimate",
        "shift": "ShiftResult shift_consistency shift_table stability",
        "shift_clips": "select_patches",
        "thresholds": "f1_thresholds",
    },
)
