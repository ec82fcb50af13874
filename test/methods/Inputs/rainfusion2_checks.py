# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# RainFusion2.0 from its formulas, in double precision, against lib/Methods/rainfusion2.weft.
"""Usage: rainfusion2_checks.py WEFT_RUN METHOD FOLDER"""

import math
import os
import subprocess
import sys
import unittest

import numpy as np
from safetensors.numpy import load_file, save_file

WEFT_RUN, METHOD, FOLDER = sys.argv[1:4]
BLOCK = 128


def blocks_of(grid, text, window):
    """Tokens of each block: windows in raster order, clipped at the grid's ends, then runs of text.

    The first frame has windows of its own. Of windows with 0 frames, rows run on into the next frame.
    """
    t, h, w = grid
    tokens = np.arange(t * h * w).reshape(grid)
    blocks = []
    for part in (tokens[:1], tokens[1:]):
        if window[0] == 0:
            part = part.reshape(1, -1, w)
        depth = max(window[0], 1)
        for a in range(0, part.shape[0], depth):
            for b in range(0, part.shape[1], window[1]):
                for c in range(0, w, window[2]):
                    blocks.append(part[a : a + depth, b : b + window[1], c : c + window[2]].ravel())
    first = t * h * w
    blocks += [np.arange(first + i, first + min(i + BLOCK, text)) for i in range(0, text, BLOCK)]
    return blocks


def select(scores, keep):
    """Rows of the ceil(keep * n) greatest scores, of equal ones those with the lower index; and each row's bound."""
    count = scores.shape[1]
    number = math.ceil(keep * count - 1e-9)
    order = np.argsort(-scores, axis=1, kind="stable")
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, order[:, :number], True, axis=1)
    bound = np.take_along_axis(scores, order[:, number - 1 : number], axis=1) if number else np.full((count, 1), np.inf)
    return chosen, bound


def dense_blocks(blocks, grid):
    """Blocks with a token of the first frame, and of text."""
    t, h, w = grid
    return np.array([tokens[0] < h * w or tokens[0] >= t * h * w for tokens in blocks])


class Problem:
    def __init__(self, grid, text, keep, heads, channels, window, integers):
        self.grid, self.text, self.keep, self.window = grid, text, keep, window
        generator = np.random.default_rng(abs(hash((grid, text, keep))) % 2**32)
        shape = (1, heads, math.prod(grid) + text, channels)
        make = (lambda: generator.integers(-2, 3, shape)) if integers else (lambda: generator.standard_normal(shape))
        self.q, self.k, self.v = (make().astype(np.float32).astype(np.float64) for _ in range(3))

    def run(self):
        paths = [os.path.join(FOLDER, name) for name in ("in.safetensors", "map.npy", "out.safetensors")]
        tensors = {"q": self.q, "k": self.k, "v": self.v}
        save_file({name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()}, paths[0])
        values = {"keep": self.keep, "window_t": self.window[0], "window_h": self.window[1], "window_w": self.window[2]}
        _, heads, _, channels = self.q.shape
        command = [WEFT_RUN, METHOD, "--grid=" + "x".join(map(str, self.grid)), f"--heads={heads}", "--repeat=1",
                   f"--head-dim={channels}", f"--block={BLOCK}", f"--input={paths[0]}", f"--map={paths[1]}",
                   f"--output={paths[2]}"] + [f"--set={name}={value}" for name, value in values.items()]
        if self.text:
            command.append(f"--text={self.text}")
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stderr)
        return np.load(paths[1]).astype(bool), load_file(paths[2])["out"]

    def expected(self):
        """Each head's map, its scores less the row's bound, and the blocks."""
        blocks = blocks_of(self.grid, self.text, self.window)
        dense = dense_blocks(blocks, self.grid)
        maps, margins = [], []
        for q, k in zip(self.q[0], self.k[0]):
            means = [np.stack([x[tokens].mean(axis=0) for tokens in blocks]) for x in (q, k)]
            scores = means[0] @ means[1].T / math.sqrt(q.shape[1])
            chosen, bound = select(scores, self.keep)
            maps.append(chosen | dense[:, None] | dense[None, :])
            margins.append(np.abs(scores - bound))
        return np.array(maps), np.array(margins), blocks

    def attention(self, maps, blocks):
        """Softmax attention over the tokens of each row's blocks."""
        out = np.zeros(self.q.shape)
        for head, rows in enumerate(maps):
            for i, row in enumerate(rows):
                keys = np.concatenate([blocks[j] for j in np.flatnonzero(row)])
                scores = self.q[0, head, blocks[i]] @ self.k[0, head, keys].T / math.sqrt(self.q.shape[3])
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                out[0, head, blocks[i]] = weights @ self.v[0, head, keys] / weights.sum(axis=1, keepdims=True)
        return out


class RainFusion2(unittest.TestCase):
    def check(self, grid, text=0, keep=0.2, heads=2, channels=32, window=(1, 8, 16), integers=False, output=True):
        problem = Problem(grid, text, keep, heads, channels, window, integers)
        maps, out = problem.run()
        expected, margins, blocks = problem.expected()
        self.assertEqual(maps.shape, expected.shape)
        different = maps != expected
        self.assertLess(different.mean(), 1e-3)
        self.assertTrue((margins[different] < 1e-6).all(), margins[different])
        if output:
            reference = problem.attention(maps, blocks)
            error = np.linalg.norm(out - reference) / np.linalg.norm(reference)
            self.assertLess(error, 1e-5)

    def test_video(self):
        self.check((13, 45, 80), heads=1, output=False)

    def test_odd_video(self):
        self.check((21, 31, 53), 226, heads=1, keep=0.1, output=False)

    def test_image(self):
        self.check((1, 64, 64), 512, keep=0.5)

    def test_small(self):
        for text in (0, 77, 226, 512):
            self.check((2, 3, 5), text)

    def test_text(self):
        for text in (0, 77, 226, 512):
            self.check((3, 17, 20), text, keep=0.25)

    def test_shares(self):
        for keep in (0.0, 0.001, 0.5, 0.9, 1.0):
            self.check((4, 16, 16), 20, keep=keep)

    def test_window_of_two_frames(self):
        self.check((4, 16, 16), keep=0.25, window=(2, 8, 8))
        self.check((5, 7, 9), 20, keep=0.25, window=(2, 8, 4))

    def test_rows_that_run_on(self):
        for grid, text, window in (((3, 5, 8), 0, (0, 4, 4)), ((4, 7, 9), 20, (0, 11, 5)), ((13, 6, 5), 226, (0, 25, 5))):
            self.check(grid, text, keep=0.3, window=window)

    def test_integers(self):
        # Means of 128 integers are exact, and so are their scores but for the scale: equal scores are ties.
        self.check((3, 16, 32), 128, integers=True, channels=64)


unittest.main(argv=sys.argv[:1])
