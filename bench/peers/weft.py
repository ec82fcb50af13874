# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weft as a contender: every sample is a run of weft-run on the tensors of a file."""

import json
import os
import subprocess

from blocks import write_map
from contender import Contender, Refusal

PROGRAMS = {"dense": "attention dense {}\n", "lists": "attention lists { mask given }\n"}
FIGURES = ("version", "threads", "compile_ms", "first_time_ms", "times_ms")


class Weft(Contender):
    """Dense attention, or given block lists. `tensors` is a .safetensors file with q, k and v; threads is None on a GPU."""

    def __init__(self, tool, folder, problem, tensors, threads, **what):
        super().__init__("weft", compiles=True, **what)
        self.threads = threads
        self.out = folder / "out.safetensors"
        program = write_program(folder, "lists" if self.lists else "dense")
        self.command = [tool, program, f"--input={tensors}", f"--grid={problem.grid}", f"--heads={problem.heads}"]
        self.command += [f"--head-dim={problem.head_dim}", f"--dtype={problem.dtype}", "--json=-"]
        if threads is None:
            self.command.append("--backend=cuda")
        if self.lists:
            given = folder / f"given-{self.density}.npy"
            write_map(given, self.lists)
            self.command.append(f"--given={given}")

    def first(self):
        from safetensors.torch import load_file

        figures = self.run(1, f"--output={self.out}")
        return first_call(figures), load_file(self.out)["out"]

    def sample(self, calls):
        figures = self.run(calls)
        self.first_calls.append(first_call(figures))
        return [milliseconds / 1e3 for milliseconds in figures["times_ms"]]

    def run(self, calls, *options):
        return run_tool([*self.command, f"--repeat={calls}", *options], self.threads)


def write_program(folder, name):
    path = folder / f"{name}.weft"
    path.write_text(PROGRAMS[name])
    return path


def first_call(figures):
    """Seconds of compiling a kernel and running it once."""
    return (figures["compile_ms"] + figures["first_time_ms"]) / 1e3


def run_tool(command, threads):
    """The figures that weft-run reports."""
    environment = {**os.environ} if threads is None else {**os.environ, "WEFT_NUM_THREADS": str(threads)}
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)
    except OSError as error:
        raise Refusal(f"{command[0]}: expected a program that runs, but got: {error.strerror}") from error
    if done.returncode != 0:
        raise Refusal(done.stderr.strip() or f"weft-run ended with status {done.returncode}")
    try:
        figures = json.loads(done.stdout)
    except ValueError:
        figures = {}
    missing = [name for name in FIGURES if name not in figures]
    if missing:
        raise Refusal(f"{command[0]}: expected figures with {', '.join(FIGURES)}, but got none for {missing[0]}")
    if figures["threads"] != threads:
        raise Refusal(f"{command[0]}: expected {threads} threads, but got {figures['threads']}")
    return figures


def tool_version(tool, folder):
    """The version that weft-run reports about itself, from a run on a few tokens."""
    command = [tool, write_program(folder, "dense"), "--grid=1x1x32", "--head-dim=32", "--repeat=1", "--json=-"]
    return run_tool(command, 1)["version"]
