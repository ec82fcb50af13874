# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# RainFusion from its formulas, in double precision, against lib/Methods/rainfusion.weft.
"""Usage: rainfusion_checks.py WEFT_RUN METHOD FOLDER"""

import json
import math
import os
import subprocess
import sys
import unittest

import numpy as np
from safetensors.numpy import load_file, save_file

WEFT_RUN, METHOD, FOLDER = sys.argv[1:4]
FAR = 1 << 20


def coordinates(grid, text, text_first):
    """t, h, w of each token, and whether it is text."""
    t, h, w = grid
    video = np.stack(np.unravel_index(np.arange(t * h * w), grid))
    words = np.full((3, text), FAR)
    parts = [words, video] if text_first else [video, words]
    place = np.concatenate(parts, axis=1)
    return place[0], place[1], place[2], place[0] == FAR


def probe(kind, grid):
    """Video tokens: the second frame, or every s-th token of all frames."""
    t, h, w = grid
    frame = h * w
    if kind == "local":
        begin = frame if t > 1 else 0
        return np.arange(begin, begin + frame)
    stride = t
    while math.gcd(stride, frame) != 1:
        stride += 1
    return np.arange(0, t * frame, stride)


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def choose(recalls, bound, fallback):
    """The first that reaches the bound, else the fallback or the greatest."""
    for i, recall in enumerate(recalls):
        if recall >= bound:
            return i
    return len(recalls) if fallback else int(np.argmax(recalls))


class Problem:
    """Candidates are (pairs, probe or None), the pairs as a matrix over all tokens."""

    def __init__(self, grid, text, text_first, heads, channels, seed, batch=1):
        self.grid, self.text, self.text_first = grid, text, text_first
        generator = np.random.default_rng(seed)
        shape = (batch, heads, math.prod(grid) + text, channels)
        self.q, self.k, self.v = (generator.standard_normal(shape).astype(np.float32).astype(float) for _ in range(3))
        t, h, w, self.is_text = coordinates(grid, text, text_first)
        # Some heads look at a place, others at a frame, so that types differ.
        for head in range(heads):
            if head % 3 < 2:
                key = h * grid[2] + w if head % 3 == 0 else t
                for token in np.flatnonzero(~self.is_text):
                    for tensor in (self.q, self.k):
                        tensor[:, head, token] *= 0.3
                        tensor[:, head, token, key[token] % channels] += 4 + head / heads
        self.q, self.k = (x.astype(np.float32).astype(float) for x in (self.q, self.k))
        q, k = np.index_exp[:, None], np.index_exp[None, :]
        self.dt, self.dh, self.dw = (np.abs(x[q] - x[k]) for x in (t, h, w))
        self.places, self.index = h * grid[2] + w, np.arange(len(t))
        self.key_h, self.key_w = h[k], w[k]
        first = t < 1
        self.always = first[q] | first[k] | self.is_text[q] | self.is_text[k]
        self.video = np.flatnonzero(~self.is_text)

    def near(self, frames):
        return self.dt <= frames

    def column(self, radius):
        return (self.dh <= radius) & (self.dw <= radius)

    def checkerboard(self, size):
        return np.broadcast_to(self.key_h % size == self.key_w % size, self.always.shape)

    def strip(self, width):
        t, h, w = self.grid
        return np.abs(self.places[:, None] - self.places[None, :]) <= width * h * w // 100

    def band(self, width):
        t, h, w = self.grid
        return np.abs(self.index[:, None] - self.index[None, :]) <= width * h * w // 100 * (t - 1)

    def recall(self, batch, head, pairs, kind):
        tokens = self.video[probe(kind, self.grid)]
        q, k = self.q[batch, head, tokens], self.k[batch, head, tokens]
        weights = softmax(q @ k.T / math.sqrt(q.shape[1]))
        return (weights * pairs[np.ix_(tokens, tokens)]).sum() / weights.sum()

    def attention(self, batch, head, pairs):
        q, k, v = self.q[batch, head], self.k[batch, head], self.v[batch, head]
        scores = np.where(pairs | self.always, q @ k.T / math.sqrt(q.shape[1]), -np.inf)
        return softmax(scores) @ v


def run(problem, attention, values, backend):
    paths = [os.path.join(FOLDER, name) for name in ("in.safetensors", "out.safetensors", "run.json")]
    tensors = {"q": problem.q, "k": problem.k, "v": problem.v}
    save_file({name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()}, paths[0])
    _, heads, _, channels = problem.q.shape
    command = [WEFT_RUN, METHOD, f"--attention={attention}", "--grid=" + "x".join(map(str, problem.grid)),
               f"--heads={heads}", f"--head-dim={channels}", f"--input={paths[0]}", f"--output={paths[1]}",
               f"--json={paths[2]}", f"--backend={backend}"] + [f"--set={name}={value}" for name, value in values.items()]
    command += ["--repeat=1", "--block=64"] if backend == "cpu" else []
    command += [f"--text={problem.text}"] if problem.text else []
    command += ["--text-first"] if problem.text_first else []
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr)
    with open(paths[2]) as file:
        report = json.load(file)
    return report["choices"], report["recalls"], load_file(paths[1])["out"]


GRIDS = [((2, 3, 5), 0, False), ((3, 8, 9), 7, False), ((1, 8, 8), 0, False), ((1, 6, 7), 7, True),
         ((4, 5, 7), 7, True), ((5, 6, 10), 0, False), ((7, 1, 1), 0, False)]


class RainFusion(unittest.TestCase):
    chosen = set()

    def check(self, problem, attention, values, candidates, bound, backend="cpu"):
        choices, recalls, out = run(problem, attention, values, backend)
        batch, heads = problem.q.shape[:2]
        fallback = candidates[-1][1] is None
        for pair in range(batch * heads):
            b, head = divmod(pair, heads)
            expected = [problem.recall(b, head, pairs, kind) for pairs, kind in candidates if kind]
            np.testing.assert_allclose(recalls[pair], expected, atol=2e-5)
            ordered = sorted(expected + [bound])
            if min(np.diff(ordered)) > 1e-4:
                self.assertEqual(choices[pair], choose(expected, bound, fallback))
            self.chosen.add((attention, choices[pair]))
            reference = problem.attention(b, head, candidates[choices[pair]][0])
            error = np.linalg.norm(out[b, head] - reference) / np.linalg.norm(reference)
            self.assertLess(error, 1e-5)

    def problems(self):
        for number, (grid, text, text_first) in enumerate(GRIDS):
            with self.subTest(grid=grid, text=text, text_first=text_first):
                yield Problem(grid, text, text_first, 4, 64, number, batch=1 + number % 2)

    def test_paper(self):
        for problem in self.problems():
            for radius, frames, size, bound in ((1, 1, 2, 0.9), (0, 2, 3, 0.5)):
                values = {"radius": radius, "frames": frames, "size": size, "recall": bound}
                candidates = [(problem.column(radius), "local"), (problem.near(frames), "global"),
                              (problem.checkerboard(size), None)]
                self.check(problem, "rainfusion", values, candidates, bound)

    def test_two_types(self):
        for problem in self.problems():
            for width, bound in ((20, 0.95), (10, 1.0)):
                candidates = [(problem.strip(width), "local"), (problem.band(width), "global")]
                self.check(problem, "two_types", {"width": width, "recall": bound}, candidates, bound)

    def test_nested_widths(self):
        for problem in self.problems():
            candidates = [(pattern(width), kind) for width in (12, 25, 50)
                          for pattern, kind in ((problem.strip, "local"), (problem.band, "global"))]
            self.check(problem, "nested_widths", {"recall": 0.9}, candidates, 0.9)

    def test_interpreter(self):
        problem = Problem((3, 4, 5), 7, False, 3, 32, 1)
        candidates = [(problem.column(1), "local"), (problem.near(0), "global"), (problem.checkerboard(2), None)]
        values = {"radius": 1, "frames": 0, "recall": 0.6}
        self.check(problem, "rainfusion", values, candidates, 0.6, "interpreter")

    @classmethod
    def tearDownClass(cls):
        """Every type is recognized somewhere."""
        expected = {("rainfusion", i) for i in range(3)} | {("two_types", i) for i in range(2)}
        assert expected <= cls.chosen, expected - cls.chosen
        assert len({choice for name, choice in cls.chosen if name == "nested_widths"}) >= 3, cls.chosen


unittest.main(argv=sys.argv[:1])
