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


def is_clear(recalls, bound, fallback):
    """Whether no recall that decides is nearly the bound, or nearly the greatest."""
    if np.abs(np.array(recalls) - bound).min() <= 1e-4:
        return False
    return fallback or max(recalls) >= bound or np.diff(sorted(recalls)[-2:]).min() > 1e-4


class Problem:
    """Candidates are (pairs, probe or None), the pairs a function of tokens that broadcast against each other."""

    def __init__(self, grid, text, text_first, heads, channels, seed, batch=1):
        self.grid, self.text, self.text_first = grid, text, text_first
        generator = np.random.default_rng(seed)
        shape = (batch, heads, math.prod(grid) + text, channels)
        self.q, self.k, self.v = (generator.standard_normal(shape).astype(np.float32).astype(float) for _ in range(3))
        self.t, self.h, self.w, self.is_text = coordinates(grid, text, text_first)
        self.places = self.h * grid[2] + self.w
        self.video = np.flatnonzero(~self.is_text)
        # Some heads look at a place, others at a frame, so that types differ.
        for head in range(heads):
            if head % 3 < 2:
                key = (self.places if head % 3 == 0 else self.t)[self.video]
                for tensor in (self.q, self.k):
                    tensor[:, head, self.video] *= 0.3
                    tensor[:, head, self.video, key % channels] += 4 + head / heads
        self.q, self.k = (x.astype(np.float32).astype(float) for x in (self.q, self.k))

    def near(self, frames):
        return lambda q, k: np.abs(self.t[q] - self.t[k]) <= frames

    def column(self, radius):
        return lambda q, k: (np.abs(self.h[q] - self.h[k]) <= radius) & (np.abs(self.w[q] - self.w[k]) <= radius)

    def checkerboard(self, size):
        return lambda q, k: self.h[k] % size == self.w[k] % size

    def strip(self, width):
        t, h, w = self.grid
        return lambda q, k: np.abs(self.places[q] - self.places[k]) <= width * h * w // 100

    def band(self, width):
        t, h, w = self.grid
        return lambda q, k: np.abs(q - k) <= width * h * w // 100 * (t - 1)

    def always(self, q, k):
        """The first frame and the text."""
        return (self.t[q] < 1) | (self.t[k] < 1) | self.is_text[q] | self.is_text[k]

    def recalls(self, batch, head, candidates):
        """Recalls of the candidates that have a probe."""
        weights, recalls = {}, []
        for pairs, kind in candidates:
            if not kind:
                continue
            tokens = self.video[probe(kind, self.grid)]
            if kind not in weights:
                q, k = self.q[batch, head, tokens], self.k[batch, head, tokens]
                weights[kind] = softmax(q @ k.T / math.sqrt(q.shape[1]))
            kept = pairs(tokens[:, None], tokens[None, :])
            recalls.append(np.where(kept, weights[kind], 0).sum() / weights[kind].sum())
        return recalls

    def sample(self, rows):
        """Tokens, all of them or some from the first to the last."""
        tokens = len(self.t)
        return np.unique(np.linspace(0, tokens - 1, min(rows or tokens, tokens)).astype(int))

    def attention(self, batch, head, pairs, rows):
        q, k, v = self.q[batch, head, rows], self.k[batch, head], self.v[batch, head]
        places = rows[:, None], np.arange(len(k))[None, :]
        scores = np.where(pairs(*places) | self.always(*places), q @ k.T / math.sqrt(q.shape[1]), -np.inf)
        return softmax(scores) @ v


def run(problem, attention, values, backend):
    paths = [os.path.join(FOLDER, name) for name in ("in.safetensors", "out.safetensors", "run.json")]
    tensors = {"q": problem.q, "k": problem.k, "v": problem.v}
    save_file({name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()}, paths[0])
    _, heads, _, channels = problem.q.shape
    command = [WEFT_RUN, METHOD, f"--attention={attention}", "--grid=" + "x".join(map(str, problem.grid)),
               f"--heads={heads}", f"--head-dim={channels}", f"--input={paths[0]}", f"--output={paths[1]}",
               f"--json={paths[2]}", f"--backend={backend}"]
    command += [f"--set={name}={value}" for name, value in values.items()]
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

    def check(self, problem, attention, values, candidates, bound, backend="cpu", rows=None):
        choices, recalls, out = run(problem, attention, values, backend)
        batch, heads = problem.q.shape[:2]
        fallback = candidates[-1][1] is None
        sample = problem.sample(rows)
        for pair in range(batch * heads):
            b, head = divmod(pair, heads)
            expected = problem.recalls(b, head, candidates)
            np.testing.assert_allclose(recalls[pair], expected, atol=2e-5)
            if is_clear(expected, bound, fallback):
                self.assertEqual(choices[pair], choose(expected, bound, fallback))
            self.chosen.add((attention, choices[pair]))
            reference = problem.attention(b, head, candidates[choices[pair]][0], sample)
            error = np.linalg.norm(out[b, head, sample] - reference) / np.linalg.norm(reference)
            self.assertLess(error, 1e-5)

    def problems(self):
        for number, (grid, text, text_first) in enumerate(GRIDS):
            with self.subTest(grid=grid, text=text, text_first=text_first):
                yield Problem(grid, text, text_first, 4, 64, number, batch=1 + number % 2)

    def paper(self, problem, radius, frames, size, bound, attention="rainfusion", **options):
        values = {"radius": radius, "frames": frames, "size": size, "recall": bound}
        candidates = [(problem.column(radius), "local"), (problem.near(frames), "global"),
                      (problem.checkerboard(size), None)]
        self.check(problem, attention, values, candidates, bound, **options)

    def columns(self, problem, radius, bound, height=2, width=3, **options):
        values = {"radius": radius, "height": height, "width": width, "recall": bound}
        candidates = [(problem.column(radius), "local"), (lambda q, k: (q == q) & (k == k), None)]
        self.check(problem, "columns", values, candidates, bound, **options)

    def two_types(self, problem, width, bound, **options):
        candidates = [(problem.strip(width), "local"), (problem.band(width), "global")]
        self.check(problem, "two_types", {"width": width, "recall": bound}, candidates, bound, **options)

    def nested_widths(self, problem, bound, **options):
        candidates = [(pattern(width), kind) for width in (12, 25, 50)
                      for pattern, kind in ((problem.strip, "local"), (problem.band, "global"))]
        self.check(problem, "nested_widths", {"recall": bound}, candidates, bound, **options)

    def test_paper(self):
        for problem in self.problems():
            self.paper(problem, 1, 1, 2, 0.9)
            self.paper(problem, 0, 2, 3, 0.5)

    def test_lattice(self):
        """The same in an order that keeps the lattice's keys together."""
        for problem in self.problems():
            self.paper(problem, 1, 1, 2, 0.9, attention="lattice")
            self.paper(problem, 0, 2, 3, 0.5, attention="lattice")

    def test_columns(self):
        for problem in self.problems():
            self.columns(problem, 1, 0.6)
            self.columns(problem, 0, 0.4, height=1, width=4)

    def test_two_types(self):
        for problem in self.problems():
            self.two_types(problem, 20, 0.95)
            self.two_types(problem, 10, 1.0)

    def test_nested_widths(self):
        for problem in self.problems():
            self.nested_widths(problem, 0.9)

    def test_small_with_text(self):
        for text, text_first in ((77, True), (226, False), (512, True)):
            self.paper(Problem((2, 3, 5), text, text_first, 3, 32, text), 1, 0, 2, 0.9)
            self.two_types(Problem((2, 3, 5), text, not text_first, 3, 32, text), 20, 0.95)

    def test_image(self):
        self.paper(Problem((1, 64, 64), 0, False, 2, 32, 3), 8, 0, 2, 0.2, rows=16)
        self.two_types(Problem((1, 64, 64), 77, True, 1, 32, 4), 20, 0.95, rows=16)
        self.nested_widths(Problem((1, 64, 64), 512, False, 1, 32, 5), 0.5, rows=16)

    def test_video(self):
        problem = Problem((13, 45, 80), 226, True, 1, 32, 2)
        self.paper(problem, 4, 1, 2, 0.02, rows=16)
        self.paper(problem, 4, 1, 2, 1.0, attention="lattice", rows=16)
        self.columns(problem, 4, 0.02, height=1, width=5, rows=16)
        self.two_types(Problem((13, 45, 80), 512, False, 1, 32, 7), 10, 0.15, rows=16)

    def test_odd_video(self):
        problem = Problem((21, 31, 53), 512, False, 2, 32, 5)
        self.paper(problem, 3, 2, 2, 0.5, rows=16)
        self.columns(problem, 3, 0.5, height=1, width=3, rows=16)
        problem = Problem((21, 31, 53), 77, True, 1, 32, 6)
        self.two_types(problem, 10, 0.95, rows=16)

    def test_interpreter(self):
        problem = Problem((3, 4, 5), 7, False, 3, 32, 1)
        self.paper(problem, 1, 0, 2, 0.6, backend="interpreter")

    @classmethod
    def tearDownClass(cls):
        """Every type is recognized somewhere."""
        expected = {(name, i) for name in ("rainfusion", "lattice") for i in range(3)}
        expected |= {(name, i) for name in ("two_types", "columns") for i in range(2)}
        assert expected <= cls.chosen, expected - cls.chosen
        assert len({choice for name, choice in cls.chosen if name == "nested_widths"}) >= 3, cls.chosen


unittest.main(argv=sys.argv[:1])
