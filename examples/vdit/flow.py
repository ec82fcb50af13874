# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rectified flow: from noise to a video along z = (1 - time) x + time noise, in Euler steps. NumPy."""

import math

import numpy as np

from .config import CHANNELS, PATCH, Place, tokens_of
from .memory import check_memory

STEPS, GUIDANCE = 40, 2.0
SHIFT_TOKENS = 1024


def shift_time(time, grid):
    """More tokens say more about each other, so that a larger grid spends more of its steps at high noise."""
    shift = math.sqrt(max(tokens_of(grid) / SHIFT_TOKENS, 1.0))
    return shift * time / (1 + (shift - 1) * time)


def initial_noise(seed, grid):
    """float32 [N, C], the same on every machine."""
    return np.random.default_rng(seed).standard_normal((tokens_of(grid), CHANNELS), np.float32)


def sample(model, seeds, labels, grid, steps=STEPS, guidance=GUIDANCE, last=None):
    """Videos of the seeds [B] and classes' numbers [B]: float32 [B, t, 4 h, 4 w, 3], about -1 to 1.

    `model` is a Sampler of dit.py or dit_numpy.py. Each of its calls has 2 B clips: first those with their class, then
    those without. After step number `last`, if given, the rest is left out: the prediction of that step is returned.
    """
    check_memory(model, grid, 2 * len(seeds))
    z = np.stack([initial_noise(seed, grid) for seed in seeds])
    label = np.array([*labels, *[model.config.no_class()] * len(seeds)])
    times = [shift_time(1 - step / steps, grid) for step in range(steps)] + [0.0]
    for step in range(steps if last is None else last + 1):
        time, after = times[step : step + 2]
        both = model.predict(np.concatenate([z, z]), time, label, Place(grid, 0, step, steps, time))
        given, free = np.split(both, 2)
        x = free + np.float32(guidance) * (given - free)
        z = z + np.float32((after - time) / time) * (z - x)
    return to_video(x, grid)


def to_video(tokens, grid):
    """tokens [B, N, C] -> [B, t, 4 h, 4 w, 3]."""
    t, h, w = grid
    patches = tokens.reshape(-1, t, h, w, PATCH, PATCH, 3)
    return patches.transpose(0, 1, 2, 4, 3, 5, 6).reshape(-1, t, PATCH * h, PATCH * w, 3)


def psnr(video, reference):
    """Decibel, for a range of 2 (-1 to 1); two arrays of one shape, any."""
    error = np.mean(np.square(video.astype(np.float64) - reference))
    return math.inf if error == 0 else 10 * math.log10(4 / error)
