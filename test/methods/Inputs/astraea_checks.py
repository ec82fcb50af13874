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
BATCH, HEADS, CHANNELS, WIDTH = 2, 3, 32, 48
OLDEST = 80


def attend(q, k, v):
    """Outputs and log-sum-exps of all rows over all keys."""
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

    def __init__(self, grid, text, seed):
        self.grid, self.text, self.tokens = grid, text, math.prod(grid) + text
        self.random = np.random.default_rng(seed)
        self.x = self.random.standard_normal((BATCH, self.tokens, WIDTH))
        self.projections = self.random.standard_normal((3, HEADS, WIDTH, CHANNELS)) / math.sqrt(WIDTH)

    def step(self):
        """Some tokens move a lot, others little."""
        speed = self.random.choice([0.01, 0.1, 1.0], (BATCH, self.tokens, 1))
        self.x = self.x + speed * self.random.standard_normal(self.x.shape)

    def qkv(self):
        q, k, v = np.einsum("bsw,phwc->pbhsc", self.x, self.projections).astype(np.float32)
        return {"q": q, "k": k, "v": v}


class Astraea(unittest.TestCase):
    def run_weft(self, program, video, values, cache, drift, options):
        paths = {name: os.path.join(FOLDER, name) for name in
                 ("in.safetensors", "cache.safetensors", "out.safetensors", "drift.npy", "report.json")}
        save_file({name: np.ascontiguousarray(x) for name, x in video.qkv().items()}, paths["in.safetensors"])
        save_file({name: np.ascontiguousarray(x) for name, x in cache.items()}, paths["cache.safetensors"])
        np.save(paths["drift.npy"], drift.astype(np.float32))
        command = [WEFT_RUN, program, "--grid=" + "x".join(map(str, video.grid)), f"--heads={HEADS}",
                   f"--head-dim={CHANNELS}", "--block=32", f"--input={paths['in.safetensors']}",
                   f"--cache={paths['cache.safetensors']}", f"--drift={paths['drift.npy']}",
                   f"--output={paths['out.safetensors']}", f"--json={paths['report.json']}"] + options
        command += [f"--set={name}={value}" for name, value in values.items()]
        if video.text:
            command.append(f"--text={video.text}")
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stderr)
        with open(paths["report.json"]) as file:
            return load_file(paths["out.safetensors"]), json.load(file)

    def check_step(self, program, video, values, cache, last, always, options):
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

        inputs = {name: array.astype(np.float64) for name, array in video.qkv().items()}
        out, lse = attend(inputs["q"], inputs["k"], inputs["v"])
        rows = np.broadcast_to(computed[:, None, :], lse.shape)
        np.testing.assert_array_equal(after["out"][~rows], cache["out"][~rows])
        np.testing.assert_array_equal(after["lse"][~rows], cache["lse"][~rows])
        if rows.any():
            error = np.linalg.norm(after["out"][rows] - out[rows]) / np.linalg.norm(out[rows])
            self.assertLess(error, 1e-5)
            np.testing.assert_allclose(after["lse"][rows], lse[rows], rtol=1e-5, atol=1e-5)
        last[computed] = video.x[computed]
        return {"out": after["out"].astype(np.float32), "lse": after["lse"].astype(np.float32), "age": after["age"]}

    def check(self, grid, text=0, budgets=(1.0, 0.5, 0.3, 0.0, 0.7, 0.3, 0.1), weight=0.5, program=METHOD, always=None,
              options=("--repeat=1",)):
        video = Video(grid, text, seed=abs(hash((grid, text, weight))) % 2**32)
        if always is None:
            always = np.zeros(video.tokens, bool)
        cache = {"out": np.zeros((BATCH, HEADS, video.tokens, CHANNELS), np.float32),
                 "lse": np.zeros((BATCH, HEADS, video.tokens), np.float32),
                 "age": np.zeros((BATCH, video.tokens), np.int32)}
        last = np.zeros_like(video.x)
        for budget in budgets:
            values = {"budget": budget, "weight": weight}
            cache = self.check_step(program, video, values, cache, last, always, list(options))
            video.step()

    def test_small(self):
        for text in (0, 7):
            self.check((2, 3, 5), text)

    def test_odd(self):
        for text in (0, 7):
            self.check((3, 7, 9), text)

    def test_one_frame(self):
        for text in (0, 7):
            self.check((1, 8, 8), text)

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
        grid, text = (3, 7, 9), 7
        always = np.zeros(math.prod(grid) + text, bool)
        always[: 7 * 9] = always[math.prod(grid) :] = True
        self.check(grid, text, budgets=(1.0, 0.3, 0.0, 0.1), program=program, always=always)


unittest.main(argv=sys.argv[:1])
