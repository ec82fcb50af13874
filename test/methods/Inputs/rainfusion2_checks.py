# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# RainFusion2.0 from its formulas, in double precision, against lib/Methods/rainfusion2.weft, rainfusion2_strips.weft and
# rainfusion2_columns.weft.
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


PREDICTED = """attention predicted(dynamic bound: float, window_t: int = 1, window_h: int = 8, window_w: int = 16) {{
  order tiles(first: 1, t: window_t, h: window_h, w: window_w)
  mask {}(block_mean, {}: bound, min: {}{})
}}
"""


def blocks_of(grid, text, window, size, text_first):
    """Tokens of each block: windows in raster order, clipped at the grid's ends, and runs of text.

    The first frame is cut into runs of as many tokens as a window has, unless it is the only one. Of windows with 0
    frames, rows run on into the next frame. A window of two extents is one of strips, whose tokens are cut into runs, and
    one of a single extent is of columns likewise.
    """
    t, h, w = grid
    video = t * h * w
    tokens = np.arange(video).reshape(grid) + (text if text_first else 0)
    first = 0 if text_first else video
    words = [np.arange(first + i, first + min(i + size, text)) for i in range(0, text, size)]
    if len(window) < 3:
        blocks = runs_of_walk(tokens, walk_strips(tokens, window) if len(window) == 2 else walk_columns(tokens, window[0]), size)
        return words + blocks if text_first else blocks + words
    depth, rows = (window[0], h) if window[0] else (1, t * h)
    run = min(depth, t) * min(window[1], rows) * min(window[2], w)
    apart, part = (tokens[0].ravel(), tokens[1:]) if t > 1 else (tokens[:0].ravel(), tokens)
    blocks = [apart[i : i + run] for i in range(0, len(apart), run)]
    if window[0] == 0:
        part = part.reshape(1, -1, w)
    for a in range(0, part.shape[0], depth):
        for b in range(0, part.shape[1], window[1]):
            for c in range(0, w, window[2]):
                blocks.append(part[a : a + depth, b : b + window[1], c : c + window[2]].ravel())
    return words + blocks if text_first else blocks + words


def walk_strips(tokens, window):
    """Windows along strips of rows, frame by frame, without the first one."""
    t, h, w = tokens.shape
    return [tokens[a, b : b + window[0], c : c + window[1]].ravel() for a in range(t > 1, t)
            for b in range(0, h, window[0]) for c in range(0, w, window[1])]


def walk_columns(tokens, columns):
    """Strips of columns through all frames but the first."""
    t, _, w = tokens.shape
    return [tokens[t > 1 :, :, c : c + columns].ravel() for c in range(0, w, columns)]


def runs_of_walk(tokens, walk, size):
    """Parts of the video one behind the other, cut into runs; the first frame in its own order."""
    apart = tokens[: tokens.shape[0] > 1].ravel()
    return [part[i : i + size] for part in (apart, np.concatenate(walk)) for i in range(0, len(part), size)]


def block_scores(q, k, blocks, pool):
    """The greatest score of any two pools of two blocks: scaled products of mean queries and mean keys."""
    pools = [[tokens[i : i + pool] for i in range(0, len(tokens), pool)] for tokens in blocks]
    begins = np.cumsum([0] + [len(parts) for parts in pools[:-1]])
    means = [np.stack([x[tokens].mean(axis=0) for parts in pools for tokens in parts]) for x in (q, k)]
    scores = means[0] @ means[1].T / math.sqrt(q.shape[1])
    return np.maximum.reduceat(np.maximum.reduceat(scores, begins, axis=0), begins, axis=1)


def wanted(ranked, rule, bound):
    """How many of each row's ranked scores the rule keeps, and how near each one is to another decision."""
    rows, count = ranked.shape
    if rule == "topk":
        return np.full(rows, math.ceil(bound * count - 1e-9)), np.full(ranked.shape, np.inf)
    if rule == "threshold":
        return (ranked >= bound).sum(axis=1), np.abs(ranked - bound)
    weights = np.exp(ranked - ranked[:, :1])
    before = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    before = np.concatenate([np.zeros((rows, 1)), before[:, :-1]], axis=1)
    return (before < bound).sum(axis=1), np.abs(before - bound)


def select(scores, rule, bound, least):
    """Each row's kept blocks, of equal scores those with the lower index first, and how near each decision was."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    number, near = wanted(ranked, rule, bound)
    number = np.minimum(np.maximum(number, least), scores.shape[1])
    chosen, margins = np.zeros(scores.shape, bool), np.empty(scores.shape)
    np.put_along_axis(chosen, order, np.arange(scores.shape[1]) < number[:, None], axis=1)
    last = np.take_along_axis(ranked, np.maximum(number, 1)[:, None] - 1, axis=1)
    np.put_along_axis(margins, order, np.minimum(near, np.abs(ranked - last)), axis=1)
    return chosen, margins


class Problem:
    def __init__(self, grid, text, text_first, keep, heads, channels, window, integers, block, rule, least, pool):
        self.grid, self.text, self.text_first, self.keep, self.window = grid, text, text_first, keep, window
        self.block, self.rule, self.least, self.pool = block, rule, least, pool
        self.blocks = blocks_of(grid, text, window, block, text_first)
        generator = np.random.default_rng(abs(hash((grid, text, keep))) % 2**32)
        shape = (1, heads, math.prod(grid) + text, channels)
        make = (lambda: generator.integers(-2, 3, shape)) if integers else (lambda: generator.standard_normal(shape))
        self.q, self.k, self.v = (make().astype(np.float32).astype(np.float64) for _ in range(3))
        if rule:
            self.spread(generator)

    def spread(self, generator):
        """Gives each block of queries and keys integers of its own, so that scores differ by more than a little."""
        for x in (self.q, self.k):
            for tokens in self.blocks:
                x[0][:, tokens] += generator.integers(-1, 2, (x.shape[1], 1, x.shape[3]))

    def program(self):
        """The method, or a file with one rule alone, and the values of its parameters."""
        if len(self.window) == 1:
            columns = os.path.join(os.path.dirname(METHOD), "rainfusion2_columns.weft")
            return columns, {"keep": self.keep, "columns": self.window[0]}
        if len(self.window) == 2:
            strips = os.path.join(os.path.dirname(METHOD), "rainfusion2_strips.weft")
            return strips, {"keep": self.keep, "rows": self.window[0], "columns": self.window[1]}
        values = {"window_t": self.window[0], "window_h": self.window[1], "window_w": self.window[2]}
        if not self.rule:
            return METHOD, values | {"keep": self.keep}
        path = os.path.join(FOLDER, "predicted.weft")
        argument = {"topk": "keep", "topp": "mass", "threshold": "score"}[self.rule]
        with open(path, "w") as file:
            file.write(PREDICTED.format(self.rule, argument, self.least, f", pool: {self.pool}" if self.pool else ""))
        return path, values | {"bound": self.keep}

    def run(self):
        paths = [os.path.join(FOLDER, name) for name in ("in.safetensors", "map.npy", "out.safetensors")]
        tensors = {"q": self.q, "k": self.k, "v": self.v}
        save_file({name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()}, paths[0])
        program, values = self.program()
        _, heads, _, channels = self.q.shape
        command = [WEFT_RUN, program, "--grid=" + "x".join(map(str, self.grid)), f"--heads={heads}", "--repeat=1",
                   f"--head-dim={channels}", f"--block={self.block}", f"--input={paths[0]}", f"--map={paths[1]}",
                   f"--output={paths[2]}"] + [f"--set={name}={value}" for name, value in values.items()]
        if self.text:
            command += [f"--text={self.text}"] + (["--text-first"] if self.text_first else [])
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stderr)
        return np.load(paths[1]).astype(bool), load_file(paths[2])["out"]

    def dense(self):
        """Blocks of the first frame, and of text; none where a rule stands alone."""
        t, h, w = self.grid
        begin = self.text if self.text_first else 0
        places = np.array([tokens[0] for tokens in self.blocks]) - begin
        return ((places < h * w) | (places >= t * h * w)) & (not self.rule)

    def expected(self):
        """Each head's map, and how near each of its decisions was."""
        dense = self.dense()
        maps, margins = [], []
        for q, k in zip(self.q[0], self.k[0]):
            scores = block_scores(q, k, self.blocks, self.pool or self.block)
            chosen, margin = select(scores, self.rule or "topk", self.keep, self.least)
            maps.append(chosen | dense[:, None] | dense[None, :])
            margins.append(margin)
        return np.array(maps), np.array(margins)

    def sample(self, rows):
        """Tokens, all of them or some from the first to the last."""
        tokens = self.q.shape[2]
        return np.unique(np.linspace(0, tokens - 1, min(rows or tokens, tokens)).astype(int))

    def attention(self, maps, rows):
        """Softmax attention of some tokens over the tokens of their row's blocks."""
        out = np.zeros((1, len(maps), len(rows), self.q.shape[3]))
        for head, kept in enumerate(maps):
            for row, tokens in zip(kept, self.blocks):
                places = np.flatnonzero(np.isin(rows, tokens))
                if not places.size or not row.any():
                    continue
                keys = np.concatenate([self.blocks[j] for j in np.flatnonzero(row)])
                scores = self.q[0, head, rows[places]] @ self.k[0, head, keys].T / math.sqrt(self.q.shape[3])
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                out[0, head, places] = weights @ self.v[0, head, keys] / weights.sum(axis=1, keepdims=True)
        return out


class RainFusion2(unittest.TestCase):
    def check(self, grid, text=0, text_first=False, keep=0.2, heads=2, channels=32, window=(1, 8, 16), integers=False,
              block=BLOCK, rule=None, least=0, pool=None, rows=None):
        problem = Problem(grid, text, text_first, keep, heads, channels, window, integers, block, rule, least, pool)
        maps, out = problem.run()
        expected, margins = problem.expected()
        self.assertEqual(maps.shape, expected.shape)
        different = maps != expected
        self.assertLess(different.mean(), 1e-3)
        self.assertTrue((margins[different] < 1e-6).all(), margins[different])
        sample = problem.sample(rows)
        reference = problem.attention(maps, sample)
        difference = np.linalg.norm(out[:, :, sample] - reference)
        self.assertLessEqual(difference, 1e-5 * np.linalg.norm(reference))
        return expected

    def test_video(self):
        self.check((13, 45, 80), heads=1, rows=64)
        self.check((13, 45, 80), 77, True, heads=1, rows=64)

    def test_odd_video(self):
        self.check((21, 31, 53), 226, heads=1, keep=0.1, rows=64)
        self.check((21, 31, 53), 512, True, heads=1, keep=0.1, rows=64)

    def test_image(self):
        self.check((1, 64, 64), 512, keep=0.5, rows=64)
        self.check((1, 64, 64), 226, True, keep=0.5, rows=64)

    def test_small(self):
        for text in (0, 77, 226, 512):
            self.check((2, 3, 5), text)
            self.check((2, 3, 5), text, True, window=(1, 2, 2), keep=0.5)

    def test_text(self):
        for text in (0, 77, 226, 512):
            self.check((3, 17, 20), text, keep=0.25)
        self.check((3, 17, 20), 226, True, keep=0.25)

    def test_blocks_of_64(self):
        self.check((13, 45, 80), 226, heads=1, keep=0.1, window=(1, 8, 8), block=64, rows=64)
        self.check((21, 31, 53), 77, True, heads=1, keep=0.1, window=(2, 4, 8), block=64, rows=64)
        for text in (0, 512):
            self.check((3, 17, 20), text, keep=0.25, window=(1, 8, 8), block=64)
            self.check((2, 3, 5), text, True, keep=0.25, window=(1, 8, 8), block=64)

    def test_shares(self):
        for keep in (0.0, 0.001, 0.5, 0.9, 1.0):
            self.check((4, 16, 16), 20, keep=keep)

    def test_window_of_two_frames(self):
        self.check((4, 16, 16), keep=0.25, window=(2, 8, 8))
        self.check((5, 7, 9), 20, keep=0.25, window=(2, 8, 4))

    def test_rows_that_run_on(self):
        for grid, text, window in (((3, 5, 8), 0, (0, 4, 4)), ((4, 7, 9), 20, (0, 11, 5)), ((13, 6, 5), 226, (0, 25, 5))):
            self.check(grid, text, keep=0.3, window=window)

    def test_strips(self):
        for grid, text, window in (((3, 17, 20), 0, (8, 16)), ((4, 7, 9), 20, (3, 4)), ((1, 9, 30), 7, (8, 16)),
                                   ((2, 3, 5), 512, (2, 2))):
            self.check(grid, text, keep=0.3, window=window)
        self.check((13, 45, 80), 226, True, heads=1, keep=0.1, window=(8, 16), rows=64)
        self.check((21, 31, 53), heads=1, keep=0.1, window=(8, 8), block=64, rows=64)

    def test_columns(self):
        for grid, text, window in (((3, 17, 20), 0, (4,)), ((4, 7, 9), 20, (4,)), ((1, 9, 30), 7, (16,)), ((2, 3, 5), 512, (2,))):
            self.check(grid, text, keep=0.3, window=window)
        self.check((13, 45, 80), 226, True, heads=1, keep=0.1, window=(16,), rows=64)
        self.check((21, 31, 53), heads=1, keep=0.1, window=(8,), block=64, rows=64)

    def test_integers(self):
        # Means of 128 integers are exact, and so are their scores but for the scale: equal scores are ties.
        self.check((3, 16, 32), 128, integers=True, channels=64)

    def rules(self, grid, text=0, text_first=False, **options):
        """Every rule, with and without pools; shares and bounds that keep neither nothing nor everything."""
        for rule, bound in (("topk", 0.15), ("topp", 0.7), ("threshold", 0.8)):
            for least, pool in ((0, None), (2, 48)):
                with self.subTest(grid=grid, rule=rule, least=least, pool=pool):
                    maps = self.check(grid, text, text_first, keep=bound, rule=rule, least=least, pool=pool, heads=1,
                                      rows=64, **options)
                    self.assertGreaterEqual(maps.sum(axis=2).min(), least)
                    self.assertTrue(maps.any() and not maps.all())

    def test_rules(self):
        self.rules((3, 17, 20), 226)
        self.rules((1, 32, 40), 77, True, window=(1, 8, 8), block=64)

    def test_rules_ends(self):
        """Nothing, `min` alone, and everything."""
        for rule, none, everything in (("topk", 0.0, 1.0), ("topp", 0.0, 1.0), ("threshold", 1e9, -1e9)):
            options = {"rule": rule, "rows": 64}
            self.assertEqual(self.check((3, 9, 10), 77, keep=none, **options).sum(), 0)
            least = self.check((3, 9, 10), 77, keep=none, least=3, pool=16, **options)
            self.assertTrue((least.sum(axis=2) == 3).all())
            self.assertTrue(self.check((3, 9, 10), 77, keep=everything, pool=16, **options).all())
        self.assertTrue(self.check((2, 3, 5), 77, keep=0.0, rule="topk", least=99).all())

    def test_rules_integers(self):
        """Pools of 32 of the blocks' 128 integers: equal scores are ties."""
        for rule, bound in (("topk", 0.2), ("threshold", 0.5)):
            self.check((3, 16, 32), 128, keep=bound, rule=rule, least=1, pool=32, integers=True, channels=64, rows=64)

    def test_rules_videos(self):
        self.check((13, 45, 80), 512, keep=0.1, rule="topk", least=2, pool=32, heads=1, rows=64)
        self.check((21, 31, 53), 77, True, keep=0.5, rule="topp", least=2, heads=1, rows=64)
        self.check((21, 31, 53), keep=1.5, rule="threshold", least=1, pool=64, heads=1, rows=64)


unittest.main(argv=sys.argv[:1])
