"""Weights of the released DiffRes networks, by the formula of the golden arrays, put into ours."""

import numpy as np


def formula_weights(block_filters, channels, base, gain=1):
    """The tensors of ResConv1D blocks in the order of our weights, from those of the released state dict.

    Args:
        block_filters: Filters of each block.
        channels: Channels of the input.
        base: Seed of the first tensor, the positional encoding, which is no weight of ours.
        gain: Factor on the scales of the last block's normalisations.

    Returns:
        Pair of the list of arrays for `set_weights` and of the sums of all tensors that the formula makes.
    """
    index, sums, arrays = base, {}, []

    def draw(*shape):
        nonlocal index
        index += 1
        return np.random.default_rng(index).standard_normal(shape)

    for place, filters in enumerate(block_filters):
        last = place == len(block_filters) - 1
        for _ in range(2):
            n = draw(filters, channels, 5)
            kernel = n * np.sqrt(2 / (channels * 5))
            bias, scale, offset, mean = (draw(filters) for _ in range(4))
            scale = (1 + 0.1 * scale) * (gain if last else 1)
            variance = 1 + 0.1 * np.abs(draw(filters))
            made = [kernel, 0.1 * bias, scale, 0.1 * offset, 0.1 * mean, variance]
            made = [array.astype("float32") for array in made]
            for offset_of, array in enumerate(made):
                sums[index - 5 + offset_of - base] = array.sum(dtype="float64")
            index += 1  # num_batches_tracked
            arrays += [np.transpose(made[0], (2, 1, 0)), *made[1:]]
            channels = filters
    return arrays, sums
