"""Experiments: settings, models and runs from them, published recipes and presets, reports."""
