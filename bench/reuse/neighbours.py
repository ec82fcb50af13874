# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which values are a neighbour's at which threshold: docs/language.md, Score reuse, with windows of two tokens."""

import dataclasses
import pathlib

import numpy as np
from safetensors import safe_open


@dataclasses.dataclass
class Tensors:
    """q, k and v of one file as float64 [heads, tokens, channels], without text."""

    path: pathlib.Path
    dtype: str
    grid: tuple
    q: np.ndarray
    k: np.ndarray

    @property
    def heads(self):
        return self.q.shape[0]

    @property
    def channels(self):
        return self.q.shape[2]


def read(path):
    with safe_open(path, "np") as file:
        grid = tuple(map(int, file.metadata()["grid"].split("x")))
        q, k = (file.get_tensor(name) for name in "qk")
    if q.shape[0] != 1 or q.shape[2] != np.prod(grid):
        raise ValueError(f"{path}: expected [1, heads, {np.prod(grid)}, channels], but got {list(q.shape)}")
    dtype = {"float32": "f32", "float16": "f16"}[q.dtype.name]
    return Tensors(path, dtype, grid, q[0].astype(np.float64), k[0].astype(np.float64))


def deviations(x, grid):
    """[heads, tokens, channels]: the least deviation of the windows that the token is the second of; infinity if there
    is none. A value is a neighbour's if this is below the threshold."""
    heads, tokens, channels = x.shape
    cells = x.reshape(heads, *grid, channels)
    least = np.full(cells.shape, np.inf)
    for axis in (1, 2, 3):
        even = 2 * (cells.shape[axis] // 2)
        first, second = (np.take(cells, np.arange(start, even, 2), axis) for start in (0, 1))
        place = [slice(None)] * 5
        place[axis] = slice(1, even, 2)
        least[tuple(place)] = np.minimum(least[tuple(place)], np.abs(second - first) / 2)
    return least.reshape(heads, tokens, channels)


def token_deviations(x, grid):
    """[heads, tokens]: the same for windows that fire in all channels at once."""
    heads, tokens, channels = x.shape
    cells = x.reshape(heads, *grid, channels)
    least = np.full(cells.shape[:-1], np.inf)
    for axis in (1, 2, 3):
        even = 2 * (cells.shape[axis] // 2)
        first, second = (np.take(cells, np.arange(start, even, 2), axis) for start in (0, 1))
        place = [slice(None)] * 4
        place[axis] = slice(1, even, 2)
        most = np.max(np.abs(second - first) / 2, axis=-1)
        least[tuple(place)] = np.minimum(least[tuple(place)], most)
    return least.reshape(heads, tokens)


def saving(q, k, threshold, per_head):
    """1 - (1 - r_q)(1 - r_k) with the shares of deviations below the threshold: over all heads together, as weft-run
    counts channels, or the mean over heads, as it counts pairs."""
    shares = [(x < threshold).reshape(x.shape[0], -1).mean(axis=1) for x in (q, k)]
    if not per_head:
        shares = [share.mean() for share in shares]
    return float(np.mean(1 - (1 - shares[0]) * (1 - shares[1])))


def find_threshold(q, k, target, per_head):
    """The threshold at which deviations q and k save `target`, and what they then save."""
    low, high = 0.0, float(max(x[np.isfinite(x)].max() for x in (q, k)))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if saving(q, k, middle, per_head) < target else (low, middle)
    return high, saving(q, k, high, per_head)
