# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Frechet distance between sets of videos, by features that are fixed: how much changes over time and space. NumPy.

At each of four scales (means of 1, 2, 4 and 8 pixels each way), the logarithm of 0.001 plus the mean, over the video,
of
  - the difference of frames 1, 2, 3 and 4 apart, and the second difference of three consecutive frames,
  - the difference of a frame and the one before, shifted by a pixel of the scale to the left, right, up and down,
  - the difference of pixels beside and below each other, and the deviation from the frame's mean,
all of them absolute; and the mean and deviation of each colour: 54 numbers. The distance is that of the normal
distributions after each feature was brought to mean 0 and deviation 1 over the reference.
"""

import numpy as np

SCALES = (1, 2, 4, 8)
FRAMES_APART = (1, 2, 3, 4)


def features(videos):
    """videos [B, t, H, W, 3], -1 to 1, at least 5 frames -> float64 [B, 54]."""
    return np.stack([video_features(np.asarray(video, np.float32)) for video in videos])


def video_features(video):
    """video [t, H, W, 3] -> [54]."""
    t, height, width, _ = video.shape
    result = []
    for scale in SCALES:
        x = video.reshape(t, height // scale, scale, width // scale, scale, 3).mean((2, 4))
        changes = [x[apart:] - x[:-apart] for apart in FRAMES_APART] + [x[2:] - 2 * x[1:-1] + x[:-2]]
        before, after = x[:-1], x[1:]
        changes += [after[:, :, :-1] - before[:, :, 1:], after[:, :, 1:] - before[:, :, :-1]]
        changes += [after[:, :-1] - before[:, 1:], after[:, 1:] - before[:, :-1]]
        changes += [x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1], x - x.mean((1, 2), keepdims=True)]
        result += [np.log(0.001 + np.abs(change).mean()) for change in changes]
    return np.array([*result, *video.mean((0, 1, 2)), *video.std((0, 1, 2))], np.float64)


def root(matrix):
    """The square root [F, F] of a symmetric positive semidefinite matrix [F, F]."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def distance(features_, reference):
    """Of features [n, F] to those of the reference [m, F]."""
    mean, deviation = reference.mean(0), reference.std(0)
    a, b = (features_ - mean) / deviation, (reference - mean) / deviation
    first = root(np.cov(a, rowvar=False))
    values = np.linalg.eigvalsh(first @ np.cov(b, rowvar=False) @ first)
    traces = np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + traces - 2 * np.sum(np.sqrt(np.maximum(values, 0))))


def shuffle_frames(videos, seed=0):
    """The frames of each of videos [B, t, H, W, 3] in random order."""
    random = np.random.default_rng(seed)
    return np.stack([video[random.permutation(len(video))] for video in videos])


def freeze(videos):
    """The first frame of each of videos [B, t, H, W, 3] throughout."""
    return np.repeat(videos[:, :1], videos.shape[1], axis=1)
