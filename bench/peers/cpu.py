#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares Weft with PyTorch's attention on this machine's CPU.

All contenders get the same tensors, block lists and number of threads, and take turns in rounds: dense SDPA, compiled
FlexAttention and Weft, the latter two with random lists of whole blocks as well, and a matrix product. bench/README.md
says what is measured how.
"""

import importlib
import itertools
import pathlib
import shutil
import sys
import tempfile

from blocks import dense_pairs, random_lists
from contender import Problem, Refusal
from options import fail, parse_options
from report import LEGEND, Case, OtherLoad, header, machine, revision, write_json
from weft import Weft, tool_version

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def find_tool(name):
    """The path of weft-run."""
    built = ROOT / "build" / "bin" / "weft-run"
    wanted = name or (str(built) if built.exists() else "weft-run")
    found = shutil.which(wanted)
    if not found:
        fail(f"--weft-run: expected a program, but got '{wanted}'; scripts/build makes build/bin/weft-run")
    return found


def load_pytorch():
    """The module that needs PyTorch, which takes seconds to import: after the options were read."""
    try:
        importlib.import_module("safetensors.torch")
        return importlib.import_module("pytorch")
    except ImportError as error:
        fail(f"expected the packages of bench/peers/requirements.txt, but got: {error}")


class Comparison:
    """One run of this program. `figures` is what --json writes."""

    def __init__(self, options, tool, pytorch, folder):
        self.options, self.tool, self.pytorch, self.folder = options, tool, pytorch, folder
        try:
            weft = {"version": tool_version(tool, folder), "revision": revision(ROOT)}
        except Refusal as refusal:
            fail(f"--weft-run: {refusal}")
        versions = {"torch": str(pytorch.torch.__version__), "weft": weft}
        self.figures = {"machine": machine(), "versions": versions, "flex_start_seconds": {}, "cases": []}
        self.failed = False

    def run(self):
        where, torch, weft = self.figures["machine"], *self.figures["versions"].values()
        print(f"{where['cpu']}, {where['cores']} cores ({' '.join(where['extensions'])})")
        print(f"torch {torch}, weft {weft['version']}, revision {weft['revision'] or 'unknown'}\n")
        print(header(), flush=True)
        for threads in self.options.threads:
            self.run_threads(threads)
        print(f"\n{LEGEND}")
        return 1 if self.failed else 0

    def run_threads(self, threads):
        """All cases with one number of threads, and with an empty cache of compiled code: nothing is found there."""
        from torch._inductor.utils import fresh_cache

        options = self.options
        self.pytorch.torch.set_num_threads(threads)
        with fresh_cache():
            self.figures["flex_start_seconds"][threads] = self.pytorch.start_flex()
            for dtype in options.dtype:
                size = self.pytorch.choose_gemm_size(dtype)
                for head_dim, grid in itertools.product(options.head_dim, options.tokens):
                    self.run_case(Problem(dtype, head_dim, grid, options.heads), threads, size)

    def run_case(self, problem, threads, gemm_size):
        print(f"== {problem.dtype}, d={problem.head_dim}, {problem.grid} tokens, threads={threads}", file=sys.stderr)
        self.pytorch.torch.compiler.reset()
        tensors, contenders = self.make_contenders(problem, threads, gemm_size)
        reference = self.pytorch.Reference(tensors)
        for one in contenders:
            one.attempt(one.start, reference.error_of)
        load = OtherLoad()
        for _ in range(self.options.repeat):
            for one in contenders:
                one.attempt(one.add_round)
        self.report(Case(problem, threads, contenders, load.share()))

    def make_contenders(self, problem, threads, gemm_size):
        """q, k and v, and the contenders in the order of a round."""
        pytorch, densities = self.pytorch, self.options.densities
        tensors, file = pytorch.random_tensors(problem), self.folder / "qkv.safetensors"
        pytorch.save_file(tensors, file)
        place = self.tool, self.folder, problem, file, threads
        dense = {"flops": problem.flops(dense_pairs(problem.tokens))}
        contenders = [pytorch.sdpa(tensors, **dense), pytorch.flex(tensors, compiles=True, **dense)]
        contenders.append(Weft(*place, **dense))
        for share in densities:
            lists = random_lists(problem.tokens, share)
            what = {"flops": problem.flops(lists.visited_pairs()), "density": share, "lists": lists}
            contenders.append(pytorch.flex(tensors, compiles=share == densities[0], **what))
            contenders.append(Weft(*place, **what))
        return tensors, [*contenders, pytorch.gemm(problem.dtype, gemm_size)]

    def report(self, case):
        print("\n".join(case.lines()), flush=True)
        self.failed |= case.failed()
        self.figures["cases"].append(case.to_json())
        if self.options.json:
            write_json(self.options.json, self.figures)


def main():
    options = parse_options()
    tool = find_tool(options.weft_run)
    pytorch = load_pytorch()
    with tempfile.TemporaryDirectory(prefix="weft-peers-") as folder:
        sys.exit(Comparison(options, tool, pytorch, pathlib.Path(folder)).run())


if __name__ == "__main__":
    main()
