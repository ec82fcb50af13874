# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is measured of every contender: its first call, its error, and its time in each round."""

import dataclasses
import math
import statistics

# A contender's part of a round lasts about this long, so that short calls are repeated.
ROUND_SECONDS = 0.1
MAX_CALLS = 20


@dataclasses.dataclass(frozen=True)
class Problem:
    """One shape: tokens of a grid `TxHxW` attend to each other in every head."""

    dtype: str
    head_dim: int
    grid: str
    heads: int

    @property
    def tokens(self):
        return math.prod(map(int, self.grid.split("x")))

    def flops(self, pairs):
        return 4 * self.head_dim * self.heads * pairs


class Refusal(Exception):
    """Why a contender does not run a case, in one line."""

    def __init__(self, message):
        lines = str(message).strip().splitlines() or ["no reason given"]
        super().__init__(lines[0][:200])


class Contender:
    """One implementation with one mask. `first()` gives seconds and the output, `sample(calls)` seconds of calls.

    `density` is 1 without lists. `compiles` says that the first call compiles, so that its time is worth telling.
    """

    is_attention = True

    def __init__(self, name, flops, density=1.0, lists=None, compiles=False):
        self.name, self.flops, self.density, self.lists, self.compiles = name, flops, density, lists, compiles
        self.refusal = self.error = None
        self.first_calls, self.rounds = [], []
        self.calls = 1

    def start(self, error_of):
        """Calls once, checks the output, and chooses how many calls a round takes."""
        seconds, out = self.first()
        self.first_calls.append(seconds)
        if self.is_attention:
            self.error = error_of(out, self.lists)
        estimate = statistics.median(self.sample(1))
        self.calls = max(1, min(MAX_CALLS, math.ceil(ROUND_SECONDS / max(estimate, 1e-6))))

    def add_round(self):
        self.rounds.append(statistics.median(self.sample(self.calls)))

    def attempt(self, step, *arguments):
        """Runs a step; a contender that fails once is out, and keeps the reason."""
        if self.refusal:
            return
        try:
            step(*arguments)
        except Refusal as refusal:
            self.refusal, self.rounds = str(refusal), []

    def seconds(self):
        """The median of the rounds; None if it was not measured, as in all of the following."""
        return statistics.median(self.rounds) if self.rounds else None

    def gflops(self):
        return self.flops / self.seconds() / 1e9 if self.rounds else None

    def spread(self):
        """The slowest round beyond the fastest, over the median."""
        return (max(self.rounds) - min(self.rounds)) / self.seconds() if self.rounds else None

    def first_seconds(self):
        return statistics.median(self.first_calls) if self.rounds and self.compiles else None
