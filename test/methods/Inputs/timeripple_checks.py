# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# TimeRipple from its formulas, in double precision, against lib/Methods/timeripple.weft.
"""Usage: timeripple_checks.py WEFT_RUN METHOD FOLDER"""

import json
import math
import os
import subprocess
import sys
import unittest

import numpy as np
from safetensors.numpy import load_file, save_file

WEFT_RUN, METHOD, FOLDER = sys.argv[1:4]
OTHER = os.path.join(FOLDER, "other.weft")


def snap(x, threshold, grid, window, axes, whole):
    """Video tokens [t*h*w, d] with their neighbours' values, and which values are a neighbour's."""
    tokens, channels = x.shape
    cells = x.reshape(*grid, channels)
    place = np.arange(tokens).reshape(grid)
    donor = np.broadcast_to(np.arange(tokens)[:, None], x.shape).copy()
    # What a token takes in one step: of the axes that fire the first one, so it is written last.
    for axis in (2, 1, 0):
        count = grid[axis] // window
        if "thw"[axis] not in axes:
            continue
        first = np.moveaxis(cells, axis, 0)[: count * window]
        windows = first.reshape(count, window, *first.shape[1:])
        fires = windows.std(axis=1) < threshold  # population standard deviation
        if whole:
            fires = np.broadcast_to(fires.all(axis=-1, keepdims=True), fires.shape)
        places = np.moveaxis(place, axis, 0)[: count * window].reshape(count, window, *first.shape[1:-1])
        for i in range(1, window):
            target, source = places[:, i].ravel(), places[:, 0].ravel()
            step = fires.reshape(-1, channels)
            donor[target] = np.where(step, source[:, None], donor[target])
    columns = np.arange(channels)
    while True:
        further = donor[donor, columns]
        if (further == donor).all():
            return x[donor, columns], donor != np.arange(tokens)[:, None]
        donor = further


def attention(q, k, v):
    scores = q @ k.T / math.sqrt(q.shape[1])
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights @ v / weights.sum(axis=1, keepdims=True)


def smooth_field(generator, shape, grid, begin):
    """Random steps from token to token, small ones and in some places large ones; video tokens begin at `begin`."""
    x = generator.standard_normal(shape)
    video = x[:, :, begin : begin + math.prod(grid)].reshape(*shape[:2], *grid, shape[3])
    for axis in (2, 3, 4):
        for i in range(1, video.shape[axis]):
            here, there = [slice(None)] * 6, [slice(None)] * 6
            here[axis], there[axis] = i, i - 1
            near = generator.random(video[tuple(here)].shape[:-1] + (1,)) < 0.5
            noise = 0.2 * generator.standard_normal(video[tuple(here)].shape) * generator.random(near.shape)
            video[tuple(here)] = np.where(near, video[tuple(there)] + noise, video[tuple(here)])
    return x.astype(np.float32).astype(np.float64)


def run(method, attention_name, grid, text, text_first, threshold, tensors):
    paths = [os.path.join(FOLDER, name) for name in ("in.safetensors", "out.safetensors", "figures.json")]
    save_file({name: np.ascontiguousarray(x, np.float32) for name, x in zip("qkv", tensors)}, paths[0])
    _, heads, _, channels = tensors[0].shape
    command = [WEFT_RUN, method, f"--attention={attention_name}", "--grid=" + "x".join(map(str, grid)),
               f"--heads={heads}", f"--head-dim={channels}", "--repeat=1", "--block=64", f"--input={paths[0]}",
               f"--output={paths[1]}", f"--json={paths[2]}", f"--set=threshold={threshold}"]
    if text:
        command += [f"--text={text}"] + (["--text-first"] if text_first else [])
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr)
    with open(paths[2]) as file:
        return load_file(paths[1])["out"], json.load(file)["reuse"]


class TimeRipple(unittest.TestCase):
    def check(self, grid, text=0, text_first=False, threshold=0.3, window=2, axes=None, channels=32, heads=2,
              rows=None, only=None):
        axes = axes or "".join(axis for axis, extent in zip("thw", grid) if extent >= window)
        generator = np.random.default_rng(sum(grid) + text + window)
        shape = (1, heads, math.prod(grid) + text, channels)
        begin = text if text_first else 0
        q, k = (smooth_field(generator, shape, grid, begin) for _ in range(2))
        v = generator.standard_normal(shape)
        video = slice(begin, begin + math.prod(grid))
        tokens = shape[2]
        sample = np.unique(np.linspace(0, tokens - 1, min(rows or tokens, tokens)).astype(int))
        for whole, name in ((False, "timeripple"), (True, "timeripple_token")):
            if only not in (None, name):
                continue
            method = METHOD
            if window != 2 or axes != "".join(a for a, extent in zip("thw", grid) if extent >= 2):
                method = OTHER
                with open(OTHER, "w") as file:
                    file.write(f"attention {name}(dynamic threshold: float) {{ reuse neighbours("
                               f"{'token' if whole else 'channel'}, threshold: threshold, window: {window}, "
                               f"axes: {' '.join(axes)}) }}")
            out, reuse = run(method, name, grid, text, text_first, threshold, (q, k, v))
            expected, taken = np.zeros((1, heads, len(sample), channels)), {"q": 0, "k": 0}
            for head in range(heads):
                snapped = {}
                for letter, x in (("q", q), ("k", k)):
                    values = x[0, head].copy()
                    values[video], replaced = snap(values[video], threshold, grid, window, axes, whole)
                    snapped[letter] = values
                    taken[letter] += replaced.sum()
                expected[0, head] = attention(snapped["q"][sample], snapped["k"], v[0, head])
            error = np.linalg.norm(out[:, :, sample] - expected) / np.linalg.norm(expected)
            self.assertLess(error, 1e-5, (grid, text, whole))
            if not threshold:
                self.assertEqual(taken, {"q": 0, "k": 0})
            self.assertAlmostEqual(reuse["queries"], taken["q"] / q.size)
            self.assertAlmostEqual(reuse["keys"], taken["k"] / k.size)
            self.assertEqual(reuse["granularity"], "token" if whole else "channel")
            # All tokens of a dense attention merge as far as their values are equal.
            saved = 0
            if whole:
                for head in range(heads):
                    saved += self.saved(q, k, head, video, threshold, grid, window, axes) / heads
            self.assertAlmostEqual(reuse["work_saved"], saved)

    def saved(self, q, k, head, video, threshold, grid, window, axes):
        shares = []
        for x in (q, k):
            _, replaced = snap(x[0, head][video], threshold, grid, window, axes, True)
            shares.append(replaced[:, 0].sum() / x.shape[2])
        return 1 - (1 - shares[0]) * (1 - shares[1])

    def test_small(self):
        self.check((2, 3, 5))
        self.check((2, 3, 5), 7)
        for text, text_first in ((77, True), (226, False), (512, True)):
            self.check((2, 3, 5), text, text_first)

    def test_videos(self):
        self.check((13, 45, 80), 226, True, heads=1, rows=16, only="timeripple")
        self.check((13, 45, 80), 77, heads=1, rows=16, only="timeripple_token")
        self.check((21, 31, 53), 512, heads=1, rows=16)

    def test_odd(self):
        for grid in ((21, 3, 5), (3, 7, 9)):
            for text in (0, 7):
                self.check(grid, text)

    def test_text_first(self):
        self.check((3, 7, 9), 7, True)

    def test_one_frame(self):
        self.check((1, 9, 13))
        self.check((1, 1, 30), 7)
        self.check((1, 64, 64), rows=16)
        self.check((1, 64, 64), 512, True, rows=16)

    def test_thresholds(self):
        for threshold in (0, 0.01, 0.1, 100.0):
            self.check((4, 6, 7), 7, threshold=threshold)

    def test_windows(self):
        for window in (3, 4, 5):
            self.check((6, 7, 11), 7, window=window, threshold=0.4)

    def test_axes(self):
        for axes in ("t", "h", "w", "th", "tw", "hw"):
            self.check((5, 6, 7), axes=axes)

    def test_many_channels(self):
        self.check((4, 8, 10), channels=128)


unittest.main(argv=sys.argv[:1])
