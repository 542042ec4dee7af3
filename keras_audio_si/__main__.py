"""`python -m keras_audio_si` is the command `keras-audio-si`."""

import sys

from keras_audio_si.cli.main import main

sys.exit(main())
