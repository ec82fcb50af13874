# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints how bad a schedule's budgets are for the test model of examples/vdit, for weft-search.

Samples a clip with Astraea's token selection (arXiv 2506.05096): each step computes in every block the budget's share of
the tokens, those of greatest importance, against the keys of all; the others keep the block's output of the last step
that computed them. Printed is the mean square error to the clip of budgets 1. NumPy alone.
"""

import argparse
import json
import math
import os
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from vdit.config import VditError
from vdit.dit_numpy import Sampler, gelu, rms_norm, rotate
from vdit.flow import sample
from vdit.weights import load_weights

WEIGHT = np.float64(0.5)  # of the exponential of an age
OLDEST = 80


def importance(lse, drift, age):
    """lse [B, H, N], drift and age [B, N] -> [B, N]."""
    return lse.mean(1, dtype=np.float64) * drift + WEIGHT * np.exp(age)


def select(scores, budget):
    """The ceil(budget * N) tokens of each row, of equal scores those with the lower index: [B, n], ascending."""
    count = math.ceil(budget * scores.shape[1] - 1e-9)
    return np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :count], axis=1)


def take(x, rows, axis):
    """Rows [B, n] of x, one clip after the other, on the axis of tokens."""
    return np.stack([np.take(clip, tokens, axis - 1) for clip, tokens in zip(x, rows)])


class Cache:
    """What one block keeps: its output, inputs and log-sum-exps of the steps that computed them last, and ages."""

    def __init__(self, x, heads):
        self.out, self.last = np.empty_like(x), x.copy()
        self.lse = np.zeros((len(x), heads, x.shape[1]), np.float32)
        self.age = np.zeros(x.shape[:2], np.int32)

    def select(self, x, budget):
        """The rows of this step; all tokens are then one step older, until keep() takes those that were computed."""
        drift = np.linalg.norm((x - self.last).astype(np.float64), axis=2)
        rows = select(importance(self.lse, drift, self.age), budget)
        self.age = np.minimum(self.age + 1, OLDEST)
        return rows

    def keep(self, x, rows, out, lse):
        for clip, tokens in enumerate(rows):
            self.out[clip, tokens], self.last[clip, tokens] = out[clip], x[clip, tokens]
            self.lse[clip][:, tokens], self.age[clip, tokens] = lse[clip], 0


class SelectingSampler(Sampler):
    """The model with one budget for each step."""

    def __init__(self, weights, config, budgets):
        super().__init__(weights, config)
        self.budgets, self.caches = budgets, {}

    def block(self, name, x, shared, label, turn, place):
        if name not in self.caches:
            self.caches[name] = Cache(x, self.config.heads)
        cache = self.caches[name]
        rows = cache.select(x, self.budgets[place.step])
        if rows.shape[1]:
            cache.keep(x, rows, *self.compute(name, x, rows, shared, label, turn))
        return cache.out.copy()

    def compute(self, name, x, rows, shared, label, turn):
        """The block's output [B, n, D] and log-sum-exps [B, H, n] of some rows."""
        modulation = np.split((shared + self.weights[name + "modulation"][label])[:, None], 6, -1)
        shift, scale, gate = modulation[:3]
        attended, lse = self.attend_rows(name, rms_norm(x) * (1 + scale) + shift, rows, turn)
        x = take(x, rows, 1) + gate * self.linear(name + "out", attended)
        shift, scale, gate = modulation[3:]
        hidden = gelu(self.linear(name + "up", rms_norm(x) * (1 + scale) + shift))
        return x + gate * self.linear(name + "down", hidden), lse

    def attend_rows(self, name, x, rows, turn):
        """Queries of the rows, keys and values of all tokens."""
        parts = np.split(self.weights[name + "qkv.weight"], 3)
        q, k, v = (self.heads_of(source @ part.T) for source, part in zip((take(x, rows, 1), x, x), parts))
        q, k = rms_norm(q) * self.weights[name + "q_gain"], rms_norm(k) * self.weights[name + "k_gain"]
        q = np.stack([rotate(clip[None], turn[0][tokens], turn[1][tokens])[0] for clip, tokens in zip(q, rows)])
        scores = q @ rotate(k, *turn).transpose(0, 1, 3, 2) * np.float32(1 / math.sqrt(q.shape[3]))
        greatest = scores.max(-1, keepdims=True)
        np.exp(scores - greatest, out=scores)
        total = scores.sum(-1, keepdims=True)
        out = scores @ v / total
        return out.transpose(0, 2, 1, 3).reshape(len(x), rows.shape[1], -1), (greatest + np.log(total))[..., 0]

    def heads_of(self, x):
        return x.reshape(*x.shape[:2], self.config.heads, -1).transpose(0, 2, 1, 3)


def sample_clip(args, budgets):
    weights, config = load_weights()
    model = SelectingSampler(weights, config, budgets)
    grid = tuple(map(int, args.grid.split("x")))
    return sample(model, seeds=[args.seed], labels=[config.index(args.label)], grid=grid, steps=len(budgets))


def reference_clip(args, steps):
    """From the file of --reference, if there is one; else it is sampled, and written there at once or not at all."""
    path = pathlib.Path(args.reference) if args.reference else None
    if path and path.exists():
        return np.load(path)
    clip = sample_clip(args, [1.0] * steps)
    if path:
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".npy")
        with os.fdopen(handle, "wb") as file:
            np.save(file, clip)
        os.replace(name, path)
    return clip


def read_budgets(path):
    with open(path, encoding="utf-8") as file:
        budgets = json.load(file).get("budgets")
    if not budgets or budgets[0] != 1 or not all(0 <= budget <= 1 for budget in budgets):
        raise VditError(f"{path}: expected budgets from 0 to 1 that begin with 1, but got {budgets}")
    return budgets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schedule", help="JSON with budgets")
    parser.add_argument("--class", dest="label", default="pan", help="(default: pan)")
    parser.add_argument("--seed", type=int, default=1, help="of the noise (default: 1)")
    parser.add_argument("--grid", default="8x8x8", help="TxHxW (default: 8x8x8)")
    parser.add_argument("--reference", help=".npy that keeps the clip of budgets 1 for the next call")
    args = parser.parse_args()
    budgets = read_budgets(args.schedule)
    reference = reference_clip(args, len(budgets)).astype(np.float64)
    print(float(np.mean(np.square(sample_clip(args, budgets) - reference))))


if __name__ == "__main__":
    try:
        main()
    except (VditError, OSError, ValueError) as error:
        sys.exit(f"astraea.py: error: {error}")
