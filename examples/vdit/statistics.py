# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a head attends to, and how much neighbouring tokens' channels are alike. NumPy."""

import numpy as np

REACH = 8  # of the maps of offsets along h and w
MASSES = ("same_frame", "near", "same_place", "first_frame", "perplexity")
SIMILARITIES = tuple(f"{name}_{axis}" for name in "qk" for axis in "thw")


def coordinates(grid):
    """t, h and w of each token: three arrays [N]."""
    return np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij")).reshape(3, -1)


def choose_queries(grid, count, seed=0):
    """Random tokens, sorted [count]."""
    tokens = int(np.prod(grid))
    return np.sort(np.random.default_rng(seed).permutation(tokens)[:count])


def probabilities(q, k, rows):
    """The softmax rows of a head; q, k [N, d], rows [R] -> [R, N]."""
    scores = q[rows] @ k.T / np.float32(np.sqrt(q.shape[1]))
    p = np.exp(scores - scores.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def masses(p, rows, grid):
    """Means over the queries, by the names of MASSES; p [R, N].

    same_frame: in the query's frame; near: of that, at most 2 tokens away along h and w; same_place: in all other
    frames together, at most 1 token away along h and w; first_frame: in frame 0, by queries of other frames;
    perplexity: exp(entropy) / N, 1 for an even spread.
    """
    place = coordinates(grid)
    dt, dh, dw = np.abs(place[:, rows, None] - place[:, None])  # each [R, N]
    far = np.maximum(dh, dw)
    later = place[0, rows] > 0
    values = {
        "same_frame": (p * (dt == 0)).sum(1), "near": (p * ((dt == 0) & (far <= 2))).sum(1),
        "same_place": (p * ((dt > 0) & (far <= 1))).sum(1), "first_frame": (p * (place[0] == 0)).sum(1)[later],
        "perplexity": np.exp(-(p * np.log(p + 1e-30)).sum(1)) / p.shape[1],
    }  # fmt: skip
    return {name: float(value.mean()) if value.size else 0.0 for name, value in values.items()}


def even_masses(grid, rows):
    """The same for attention that is spread evenly."""
    tokens = int(np.prod(grid))
    return masses(np.full((len(rows), tokens), 1 / tokens, np.float32), rows, grid)


def offset_map(p, rows, grid):
    """Mean mass by the offset of key to query along h and w, all frames; p [R, N] -> [2 REACH + 1, 2 REACH + 1]."""
    place = coordinates(grid)
    dh, dw = place[1:, None] - place[1:, rows, None]
    inside = (np.abs(dh) <= REACH) & (np.abs(dw) <= REACH)
    side = 2 * REACH + 1
    cells = (dh + REACH) * side + dw + REACH
    return np.bincount(cells[inside], p[inside], side * side).reshape(side, side) / len(rows)


def frame_map(p, rows, grid):
    """Mean mass by the query's frame and the key's: [t, t], 0 for frames without a query; p [R, N]."""
    by_key = p.reshape(len(rows), grid[0], -1).sum(2)
    own = coordinates(grid)[0, rows] == np.arange(grid[0])[:, None]  # [t, R]
    return own.astype(p.dtype) @ by_key / np.maximum(own.sum(1, keepdims=True), 1)


def similarity(x, grid):
    """How alike neighbours along t, h and w are; x [N, d] -> [3]: 1 for equal ones, 0 for unrelated ones.

    1 - E (a - b)^2 / (2 Var), over pairs of neighbours and all channels, Var over all tokens of a channel.
    """
    x = x.reshape(*grid, -1)
    spread = 2 * x.var((0, 1, 2)).mean()
    pairs = (x[1:] - x[:-1], x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1])
    return [1 - float(np.square(pair).mean() / spread) for pair in pairs]


def verdict(means):
    """What a head looks like, from its masses."""
    if means["same_frame"] >= 0.5:
        return "spatial"
    if means["same_place"] >= 0.25:
        return "temporal"
    return "even" if means["perplexity"] >= 0.5 else "content"
