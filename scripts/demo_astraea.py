#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs lib/Methods/astraea.weft over some denoising steps of the demo's clip.

    demo_astraea.py WEFT_RUN METHOD FEATURES.safetensors OUT_DIR [--budget B] [--steps N] [--of M] [--dense FILE]

A sampler of M steps of rectified flow that predicts perfectly has, before step i, the input

    x_i = (i / M) x + (1 - i / M) noise

of a layer, where x [tokens, channels] is `x` of FEATURES, as demo_clip.py wrote it, and noise is normal with the
standard deviation of every channel. q, k and v are projected from x_i as demo_clip.py does from x. The last N of the M
steps are run. The first of them has the budget 1, since it has no cache; the others have the budget B, and go on from
what weft-run wrote at the step before: outputs, log-sum-exps and ages. The drift of a token is |x_i - x_j|, where j is
the step that last computed it.

Writes OUT_DIR/astraea.json: what weft-run --json says of the last step, where error_dense is about the outputs of all
tokens, cached ones as well (error_dense_computed: of the computed ones), and steps [{step, budget, rows, drift}], drift
being the mean; and OUT_DIR/astraea.rows.npy, uint8 [steps, t, h, w]: 1 where a step computed a token. Dense attention
for the comparison is FILE.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from demo_clip import GRID, HEAD_DIM, HEADS, TOKENS, project

SEED = 6
NAMES = ("out", "lse", "age")


def fail(message):
    sys.exit(f"demo_astraea.py: error: {message}")


def read_features(path):
    try:
        with safe_open(path, "np") as file:
            x = file.get_tensor("x")
    except (OSError, ValueError) as error:
        fail(f"{path}: cannot read the tensor 'x': {error}")
    if x.ndim != 2 or x.shape[0] != TOKENS:
        fail(f"{path}: expected 'x' as [{TOKENS}, channels], but got {list(x.shape)}")
    return x


def noisy(x, noise, share):
    return ((1 - share) * x + share * noise).astype(np.float32)


class Runner:
    """Calls of weft-run on the tensors in a folder."""

    def __init__(self, weft_run, folder):
        self.weft_run, self.folder = weft_run, folder

    def path(self, name):
        return str(self.folder / name)

    def write_inputs(self, x):
        save_file(dict(zip("qkv", project(x))), self.path("qkv.safetensors"))

    def run(self, program, *options):
        shape = ["x".join(map(str, GRID)), str(HEADS), str(HEAD_DIM)]
        command = [self.weft_run, program, *map("=".join, zip(("--grid", "--heads", "--head-dim"), shape))]
        command += ["--dtype=f32", f"--input={self.path('qkv.safetensors')}", *options]
        try:
            result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        except OSError as error:
            fail(f"cannot run {self.weft_run}: {error}")
        if result.returncode:
            fail(f"{self.weft_run} ended with status {result.returncode}: {result.stderr.strip()}")

    def step(self, method, budget, drift, options=()):
        """One step on what the last one left; which tokens it computed, bool [tokens]."""
        np.save(self.path("drift.npy"), drift[None].astype(np.float32))
        cache = self.folder / "cache.safetensors"
        self.run(
            method,
            f"--set=budget={budget}",
            f"--drift={self.path('drift.npy')}",
            f"--output={self.path('next.safetensors')}",
            *([f"--cache={cache}"] if cache.exists() else []),
            *options,
        )
        (self.folder / "next.safetensors").rename(cache)
        return load_file(cache)["age"][0] == 0

    def output(self):
        return load_file(self.path("cache.safetensors"))["out"]

    def dense_output(self, dense):
        self.run(dense, "--repeat=1", f"--output={self.path('dense.safetensors')}")
        return load_file(self.path("dense.safetensors"))["out"]


def run_steps(runner, arguments, features, result):
    """The steps' figures and rows [steps, tokens]; the last step writes its JSON to `result`."""
    noise = np.random.default_rng(SEED).standard_normal(features.shape) * features.std(0)
    last, figures, rows = None, [], []
    for step in range(arguments.of - arguments.steps, arguments.of):
        x = noisy(features, noise, 1 - step / arguments.of)
        runner.write_inputs(x)
        drift = np.zeros(TOKENS) if last is None else np.linalg.norm(x - last, axis=1)
        budget = 1.0 if last is None else arguments.budget
        is_last = step == arguments.of - 1
        options = ["--check=dense", "--repeat=3", f"--json={result}"] if is_last else ["--repeat=1"]
        computed = runner.step(arguments.method, budget, drift, options)
        last = np.where(computed[:, None], x, x if last is None else last)
        figures.append({"step": step, "budget": budget, "rows": float(computed.mean()), "drift": float(drift.mean())})
        rows.append(computed)
    return figures, np.array(rows)


def main():
    parser = argparse.ArgumentParser(description="Runs Astraea over denoising steps of the demo's clip.")
    parser.add_argument("weft_run", type=pathlib.Path)
    parser.add_argument("method", type=pathlib.Path, help="astraea.weft")
    parser.add_argument("features", type=pathlib.Path, help="what demo_clip.py --features-to wrote")
    parser.add_argument("folder", type=pathlib.Path, help="where the results go")
    parser.add_argument("--dense", type=pathlib.Path, required=True, help="a program of dense attention")
    parser.add_argument("--budget", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--of", type=int, default=20)
    arguments = parser.parse_args()
    if not 2 <= arguments.steps <= arguments.of:
        fail(f"expected 2 to {arguments.of} steps, but got {arguments.steps}")
    if not arguments.folder.is_dir():
        fail(f"expected a folder, but got {arguments.folder}")

    features = read_features(arguments.features)
    result = arguments.folder / "astraea.json"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        runner = Runner(arguments.weft_run, pathlib.Path(name))
        steps, rows = run_steps(runner, arguments, features, result)
        out, dense = runner.output(), runner.dense_output(arguments.dense)
    report = json.loads(result.read_text(encoding="utf-8"))
    report["error_dense_computed"] = report["error_dense"]
    report["error_dense"] = float(np.linalg.norm(out - dense) / np.linalg.norm(dense))
    report["steps"] = steps
    result.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    np.save(arguments.folder / "astraea.rows.npy", rows.reshape(-1, *GRID).astype(np.uint8))


if __name__ == "__main__":
    main()
