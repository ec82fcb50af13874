# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a comparison prints and writes: one line of the table per mask, and everything measured as JSON."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import time

# Relative root mean square errors beyond these are mistakes, not rounding.
ERROR_LIMITS = {"f32": 1e-5, "bf16": 1e-2}

COLUMNS = (
    ("threads", 7), ("dtype", 5), ("d", 3), ("tokens", 6), ("visited", 7), ("SDPA", 6), ("Flex", 6), ("Weft", 6),
    ("GEMM", 6), ("/SDPA", 6), ("/Flex", 6), ("/GEMM", 6), ("Flex", 7), ("Weft", 6), ("ratio", 6), ("SDPA", 7),
    ("Flex", 7), ("Weft", 7), ("spread", 6), ("others", 6),
)  # fmt: skip
GROUPS = (("", 5), ("GFLOP/s", 4), ("Weft's speed over", 3), ("first call (s)", 3), ("error", 3), ("", 2))

LEGEND = """\
visited            share of the pairs of tokens that the lists name; SDPA has no lists and always computes all pairs
GFLOP/s            4 x head dim x visited pairs / time; GEMM: matrix products of PyTorch, 2 x size^3 / time
Weft's speed over  median over the rounds of peer's time / Weft's; GEMM: ratio of the rates
first call         compiling and running once; other densities of lists use the same kernel
error              relative root mean square to attention in float64, on sampled rows
spread             (slowest - fastest round) / median, of the contender that varied most
others             share of the cores' time that other processes took"""


class OtherLoad:
    """Share of the cores' time that went to other processes since this was made; None where that is not known."""

    def __init__(self):
        self.start = self.read()

    @staticmethod
    def read():
        own, tick = sum(os.times()[:4]), os.sysconf("SC_CLK_TCK")
        try:
            fields = [int(word) for word in open("/proc/stat").readline().split()[1:9]]
        except (OSError, ValueError):
            return None
        return time.monotonic(), sum(fields) / tick - (fields[3] + fields[4]) / tick - own

    def share(self):
        end = self.read()
        if not self.start or not end:
            return None
        return max(0.0, (end[1] - self.start[1]) / (end[0] - self.start[0]) / os.cpu_count())


def cpu_info():
    """Model name and the vector extensions of the processor."""
    try:
        lines = open("/proc/cpuinfo", encoding="utf-8").read().splitlines()
    except OSError:
        lines = []
    info = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    words = info.get("flags", info.get("Features", "")).split()
    extensions = [word for word in words if word.startswith(("avx2", "avx512", "amx", "sve", "bf16"))]
    return info.get("model name", platform.processor() or platform.machine()), sorted(set(extensions))


def machine():
    model, extensions = cpu_info()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": model, "cores": cores, "extensions": extensions, "system": platform.platform()}


def revision(root):
    """The revision of the sources in a folder; None if it is no checkout."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return None
    done = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or None


def speed_over(weft, peer):
    """Median over the rounds of the peer's time over Weft's."""
    if not weft or not peer or not weft.rounds or not peer.rounds:
        return None
    return statistics.median(theirs / ours for theirs, ours in zip(peer.rounds, weft.rounds))


def quotient(numerator, denominator):
    return None if numerator is None or denominator is None else numerator / denominator


class Case:
    """The contenders of one shape with one number of threads, after they were measured."""

    def __init__(self, problem, threads, contenders, others):
        self.problem, self.threads, self.contenders, self.others = problem, threads, contenders, others

    def find(self, name, density=1.0):
        return next((one for one in self.contenders if (one.name, one.density) == (name, density)), None)

    def ratios(self, density):
        weft, peer = self.find("weft", density), self.find("flex", density)
        return {
            "density": density,
            "weft_over_sdpa": speed_over(weft, self.find("sdpa")),
            "weft_over_flex": speed_over(weft, peer),
            "weft_over_gemm": quotient(weft.gflops(), self.find("gemm").gflops()),
            "first_flex_over_weft": quotient(peer.first_seconds(), weft.first_seconds()),
        }

    def densities(self):
        return [one.density for one in self.contenders if one.name == "weft"]

    def mistakes(self):
        """Lines about results that are wrong."""
        limit = ERROR_LIMITS[self.problem.dtype]
        wrong = [one for one in self.contenders if one.error is not None and not one.error <= limit]
        return [f"{place(one)}: expected an error of at most {limit:g}, but got {one.error:.2e}" for one in wrong]

    def failed(self):
        """Something is wrong, or Weft itself did not run."""
        return bool(self.mistakes()) or any(one.refusal for one in self.contenders if one.name == "weft")

    def lines(self):
        """The rows of the table, and below them why a contender was not measured."""
        refusals = [f"{place(one)}: not measured: {one.refusal}" for one in self.contenders if one.refusal]
        return [self.line(density) for density in self.densities()] + refusals + self.mistakes()

    def line(self, density):
        weft, peer, dense = self.find("weft", density), self.find("flex", density), density == 1
        sdpa, gemm, ratios = self.find("sdpa"), self.find("gemm"), self.ratios(density)
        shown = [one for one in (weft, peer, *((sdpa, gemm) if dense else ())) if one.rounds]
        first = peer.compiles
        words = [str(self.threads), self.problem.dtype, str(self.problem.head_dim), str(self.problem.tokens)]
        words += [f"{weft.flops / sdpa.flops:.3f}", cell(dense and sdpa.gflops(), ".1f"), cell(peer.gflops(), ".1f")]
        words += [cell(weft.gflops(), ".1f"), cell(dense and gemm.gflops(), ".1f")]
        words += [cell(ratios[f"weft_over_{name}"], ".2f") for name in ("sdpa", "flex", "gemm")]
        words += [cell(first and one.first_seconds(), ".2f") for one in (peer, weft)]
        words += [cell(ratios["first_flex_over_weft"], ".1f")]
        words += [cell(dense and sdpa.error, ".1e"), cell(peer.error, ".1e"), cell(weft.error, ".1e")]
        words += [cell(max((one.spread() for one in shown), default=None), ".0%"), cell(self.others, ".0%")]
        return row(words)

    def to_json(self):
        names = ("name", "density", "flops", "calls", "rounds", "error", "refusal")
        contenders = [
            {
                **{name: getattr(one, name) for name in names},
                "seconds": one.seconds(),
                "gflops": one.gflops(),
                "spread": one.spread(),
                "first_seconds": one.first_seconds(),
            }
            for one in self.contenders
        ]
        problem = vars(self.problem) | {"tokens": self.problem.tokens, "threads": self.threads}
        ratios = [self.ratios(density) for density in self.densities()]
        return problem | {"others": self.others, "ratios": ratios, "contenders": contenders}


def place(contender):
    return f"  {contender.name}, {contender.density:.0%} of the blocks"


def cell(value, form):
    return "-" if value is None or value is False else format(value, form)


def row(words):
    return "  ".join(word.rjust(width) for word, (_, width) in zip(words, COLUMNS))


def header():
    """Two lines: the groups of columns, centred over them, and the columns' names."""
    widths, groups = [width for _, width in COLUMNS], []
    for name, count in GROUPS:
        taken, widths = widths[:count], widths[count:]
        groups.append(name.center(sum(taken) + 2 * (count - 1), "-" if name else " "))
    return "  ".join(groups).rstrip() + "\n" + row([name for name, _ in COLUMNS])


def write_json(path, figures):
    """Writes the file so that it appears whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
