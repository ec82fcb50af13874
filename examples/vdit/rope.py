# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Positions: rotary embedding in three groups of channels, and the sinusoids of the time. NumPy, for both models."""

import numpy as np

ROPE_BASE = 256.0


def rotary(grid, groups):
    """cos, sin: float32 [N, head_dim / 2] for the tokens of a grid in raster order, w fastest.

    Channels (2i, 2i + 1) of a head turn as a pair. The first groups[0] channels turn with t, the next groups[1] with h,
    the rest with w; pair i of a group of c channels by position * ROPE_BASE^(-2i / c).
    """
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij")).reshape(3, -1)
    turns = [ROPE_BASE ** (-np.arange(0, size, 2) / size) for size in groups]
    angle = np.concatenate([place[:, None] * turn for place, turn in zip(places, turns)], axis=1)
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def time_frequencies(width):
    """float32 [width / 2]: of the cosines and sines that stand for the time 0 to 1."""
    return (1000.0 * 10000.0 ** (-np.arange(width // 2) / (width // 2))).astype(np.float32)


def size_features(grid):
    """float32 [3]: what the model is told of the grid, zero for 8 x 16 x 16."""
    return np.log2(np.array(grid) / (8, 16, 16)).astype(np.float32)
