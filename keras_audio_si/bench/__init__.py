"""Benchmarks of layers, models and the data pipeline, compared with plain Keras."""
