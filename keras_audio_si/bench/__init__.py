"""Benchmarks beside plain Keras, measured in turn in one run: layers, models and the data pipeline."""
