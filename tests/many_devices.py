"""Trains `tiny_training` on several devices, or as one of several processes, in a process of its own.

    python tests/many_devices.py FOLDER --devices N [--compare] [--cut STEP] [options of the training as JSON]

The folder has the results and `weights.npz`, the weights of the last epoch. `KERAS_BACKEND` chooses the backend. Prints
what it saw as one line of JSON.
"""
