# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Astraea from its formulas, in double precision, against lib/Methods/astraea.weft.
"""Usage: astraea_checks.py WEFT_RUN METHOD FOLDER"""

import json
import math
import os
import subprocess
import sys
import unittest

import numpy as np
from safetensors.numpy import load_file, save_file

WEFT_RUN, METHOD, FOLDER = sys.argv[1:4]
CHANNELS, WIDTH = 32, 48
OLDEST = 80


def attend(q, k, v):
    """Outputs and log-sum-exps of rows over all keys."""
    scores = np.einsum("bhic,bhjc->bhij", q, k) / math.sqrt(CHANNELS)
    greatest = scores.max(axis=3, keepdims=True)
    weights = np.exp(scores - greatest)
    total = weights.sum(axis=3, keepdims=True)
    return np.einsum("bhij,bhjc->bhic", weights / total, v), (greatest + np.log(total))[..., 0]


def importance(lse, drift, age, weight):
    return lse.mean(axis=1) * drift + weight * np.exp(age)


def select(scores, budget, always):
    """Which tokens are computed, and how far each score is from the last selected one."""
    count = math.ceil(budget * scores.shape[1] - 1e-9)
    order = np.argsort(-scores, axis=1, kind="stable")
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, order[:, :count], True, axis=1)
    margin = np.full(scores.shape, np.inf)
    if count:
        margin = np.abs(scores - np.take_along_axis(scores, order[:, count - 1 : count], axis=1))
    return chosen | always, margin


class Video:
    """A transformer block's input over the steps of a sampler, and its projections."""

    def __init__(self, grid, text, text_first, seed, batch, heads):
        self.grid, self.text, self.text_first, self.tokens = grid, text, text_first, math.prod(grid) + text
        self.batch, self.heads = batch, heads
        self.random = np.random.default_rng(seed)
        self.x = self.random.standard_normal((batch, self.tokens, WIDTH))
        self.projections = self.random.standard_normal((3, heads, WIDTH, CHANNELS)) / math.sqrt(WIDTH)

    def step(self):
        """Some tokens move a lot, others little."""
        speed = self.random.choice([0.01, 0.1, 1.0], (self.batch, self.tokens, 1))
        self.x = self.x + speed * self.random.standard_normal(self.x.shape)

    def first_frame_and_text(self):
        begin, frame = self.text if self.text_first else 0, self.grid[1] * self.grid[2]
        index = np.arange(self.tokens) - begin
        return (index < frame) | (index >= math.prod(self.grid))

    def empty_cache(self):
        return {"out": np.zeros((self.batch, self.heads, self.tokens, CHANNELS), np.float32),
                "lse": np.zeros((self.batch, self.heads, self.tokens), np.float32),
                "age": np.zeros((self.batch, self.tokens), np.int32)}

    def old_cache(self):
        """As if the tokens had been computed in different steps of the past."""
        cache = self.empty_cache()
        cache["out"] += self.random.standard_normal(cache["out"].shape).astype(np.float32)
        cache["lse"] += (math.log(self.tokens) + self.random.standard_normal(cache["lse"].shape)).astype(np.float32)
        cache["age"] += self.random.integers(0, 5, cache["age"].shape, np.int32)
        return cache

    def qkv(self):
        q, k, v = np.einsum("bsw,phwc->pbhsc", self.x, self.projections).astype(np.float32)
        return {"q": q, "k": k, "v": v}


def sample(rows, count):
    """At most this many of the rows, from the first to the last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))]


class Astraea(unittest.TestCase):
    def run_weft(self, program, video, values, cache, drift, options):
        paths = {name: os.path.join(FOLDER, name) for name in
                 ("in.safetensors", "cache.safetensors", "out.safetensors", "drift.npy", "report.json")}
        save_file({name: np.ascontiguousarray(x) for name, x in video.qkv().items()}, paths["in.safetensors"])
        save_file({name: np.ascontiguousarray(x) for name, x in cache.items()}, paths["cache.safetensors"])
        np.save(paths["drift.npy"], drift.astype(np.float32))
        command = [WEFT_RUN, program, "--grid=" + "x".join(map(str, video.grid)), f"--heads={video.heads}",
                   f"--head-dim={CHANNELS}", "--block=32", f"--input={paths['in.safetensors']}",
                   f"--cache={paths['cache.safetensors']}", f"--drift={paths['drift.npy']}",
                   f"--output={paths['out.safetensors']}", f"--json={paths['report.json']}"] + options
        command += [f"--set={name}={value}" for name, value in values.items()]
        if video.text:
            command += [f"--text={video.text}"] + (["--text-first"] if video.text_first else [])
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stderr)
        with open(paths["report.json"]) as file:
            return load_file(paths["out.safetensors"]), json.load(file)

    def check_step(self, program, video, values, cache, last, always, options, checked):
        """One step from what is kept; returns what it keeps. `last` is updated where tokens are computed."""
        drift = np.linalg.norm(video.x - last, axis=2).astype(np.float32).astype(np.float64)
        after, report = self.run_weft(program, video, values, cache, drift, options)
        scores = importance(cache["lse"].astype(np.float64), drift, cache["age"], values["weight"])
        chosen, margin = select(scores, values["budget"], always)
        self.assertEqual(after["age"].shape, chosen.shape)
        computed = after["age"] == 0
        different = computed != chosen
        self.assertTrue((margin[different] < 1e-9 * np.abs(scores[different])).all(), "selection")
        np.testing.assert_array_equal(after["age"], np.where(computed, 0, np.minimum(cache["age"] + 1, OLDEST)))
        if report["backend"] == "cpu":
            self.assertEqual(report["row_count"], computed.sum())

        rows = np.broadcast_to(computed[:, None, :], after["lse"].shape)
        np.testing.assert_array_equal(after["out"][~rows], cache["out"][~rows])
        np.testing.assert_array_equal(after["lse"][~rows], cache["lse"][~rows])
        inputs = {name: array.astype(np.float64) for name, array in video.qkv().items()}
        for batch in range(video.batch):
            if computed[batch].any():
                self.check_rows(after, inputs, batch, sample(np.flatnonzero(computed[batch]), checked))
        last[computed] = video.x[computed]
        return {"out": after["out"].astype(np.float32), "lse": after["lse"].astype(np.float32), "age": after["age"]}

    def check_rows(self, after, inputs, batch, rows):
        q, k, v = (inputs[name][batch : batch + 1] for name in "qkv")
        out, lse = attend(q[:, :, rows], k, v)
        error = np.linalg.norm(after["out"][batch][:, rows] - out[0]) / np.linalg.norm(out)
        self.assertLess(error, 1e-5)
        np.testing.assert_allclose(after["lse"][batch][:, rows], lse[0], rtol=1e-5, atol=1e-5)

    def check(self, grid, text=0, text_first=False, budgets=(1.0, 0.5, 0.3, 0.0, 0.7, 0.3, 0.1), weight=0.5,
              program=METHOD, always=False, options=("--repeat=1",), batch=2, heads=3, old=False, checked=1 << 20):
        seed = abs(hash((grid, text, weight))) % 2**32
        video = Video(grid, text, text_first, seed, batch, heads)
        always = video.first_frame_and_text() if always else np.zeros(video.tokens, bool)
        cache, last = video.old_cache() if old else video.empty_cache(), np.zeros_like(video.x)
        if old:
            last[:] = video.x
            video.step()
        for budget in budgets:
            values = {"budget": budget, "weight": weight}
            cache = self.check_step(program, video, values, cache, last, always, list(options), checked)
            video.step()

    def check_large(self, grid, text=0, text_first=False, budgets=(0.02, 0.01), **options):
        """Steps from an old cache: all tokens' selection and all kept rows, and the outputs of some rows."""
        self.check(grid, text, text_first, budgets, batch=1, heads=2, old=True, checked=24, **options)

    def test_small(self):
        for text in (0, 7):
            self.check((2, 3, 5), text)

    def test_small_with_text(self):
        for text in (77, 226, 512):
            for text_first in (False, True):
                self.check((2, 3, 5), text, text_first, budgets=(1.0, 0.2))

    def test_odd(self):
        for text in (0, 7):
            self.check((3, 7, 9), text)

    def test_one_frame(self):
        for text in (0, 7):
            self.check((1, 8, 8), text)

    def test_image(self):
        for text, text_first in ((0, False), (77, True), (226, False), (512, True)):
            self.check_large((1, 64, 64), text, text_first, budgets=(0.3, 0.1, 0.0))

    def test_video(self):
        self.check_large((13, 45, 80))
        self.check_large((13, 45, 80), 226, budgets=(0.05,))

    def test_odd_video(self):
        self.check_large((21, 31, 53), 512)
        self.check_large((21, 31, 53), 77, True, budgets=(0.05,))

    def test_one_token(self):
        self.check((1, 1, 1), budgets=(1.0, 0.0, 0.5))

    def test_weights(self):
        for weight in (0.0, 3.0):
            self.check((3, 7, 9), weight=weight, budgets=(1.0, 0.2, 0.2, 0.2, 0.2))

    def test_interpreter(self):
        self.check((2, 3, 5), 7, budgets=(1.0, 0.4, 0.0), options=("--backend=interpreter",))

    def test_first_frame_and_text_always(self):
        program = os.path.join(FOLDER, "always.weft")
        with open(program, "w") as file:
            file.write("attention a(dynamic budget: float = 0.5, weight: float = 0.5) {\n"
                       "  rows topk(importance, keep: budget, age: weight) or q.text or q.t == 0\n}\n")
        for text_first in (False, True):
            self.check((3, 7, 9), 7, text_first, budgets=(1.0, 0.3, 0.0, 0.1), program=program, always=True)
        self.check_large((21, 31, 53), 226, True, budgets=(0.02,), program=program, always=True)


unittest.main(argv=sys.argv[:1])
