"""The command `keras-audio-si`."""
