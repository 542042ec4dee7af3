"""The command line interface `keras-audio-si`."""
