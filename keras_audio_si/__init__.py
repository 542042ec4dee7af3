"""Audio classification for Keras 3."""
