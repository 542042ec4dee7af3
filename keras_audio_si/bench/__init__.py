"""What things cost beside plain Keras, measured in turn in one run: layers, models, and the way of the data."""
