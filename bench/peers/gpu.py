#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compares Weft with PyTorch's attention on this machine's GPU.

cuDNN, FlashAttention-2 and FlexAttention as PyTorch has them, and Weft, on the shapes of published models; the latter
two with random lists of whole blocks as well. All get the same tensors and lists and take turns in rounds. Times are of
the device. bench/README.md says what is measured how.
"""

import argparse
import importlib
import json
import pathlib
import sys
import tempfile

from blocks import dense_pairs, random_lists
from contender import Problem, Refusal
from cpu import find_tool
from weft import Weft, tool_version

# Name, grid, heads, head dim: fewer heads than the model where memory or time asks for it.
SHAPES = {
    "wan-480p": ("21x30x52", 12, 128),
    "wan-720p": ("21x45x80", 6, 128),
    "hunyuan-720p": ("33x45x80", 4, 128),
    "hunyuan-544p": ("33x34x60", 8, 128),
    "cogvideox": ("13x30x45", 48, 64),
    "open-sora-plan": ("24x45x80", 6, 96),
    "open-sora": ("16x30x54", 16, 72),
    # Of no model in the list: the same tokens with a head dim that cuDNN pads too.
    "dim-80": ("16x30x54", 16, 80),
    "dim-96": ("16x30x54", 16, 96),
}
SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
# Relative to float64, and to the best of PyTorch's own.
ERROR_LIMIT = 3e-3


def fail(message):
    sys.exit(f"gpu.py: error: {message}")


def names_of(text):
    names = text.split(",")
    for name in names:
        if name not in SHAPES:
            raise argparse.ArgumentTypeError(f"expected names among {', '.join(SHAPES)}, but got '{name}'")
    return names


def shares(text):
    try:
        values = [float(part) for part in text.split(",") if part]
    except ValueError:
        values = [2]
    if not all(0 < value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"expected shares between 0 and 1, but got '{text}'")
    return values


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--shapes", type=names_of, default=list(SHAPES), help=f"some of {','.join(SHAPES)}")
    parser.add_argument("--sparsities", type=shares, default=list(SPARSITIES), help="shares of the blocks left out")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--json", type=pathlib.Path, help="file for all figures, rewritten after every shape")
    parser.add_argument("--plot", type=pathlib.Path, help="picture of the figures; needs matplotlib")
    parser.add_argument("--weft-run", help="the tool (default: build/bin/weft-run, else from PATH)")
    return parser.parse_args()


def make_contenders(torch_gpu, tool, folder, problem, sparsities):
    """The tensors, and the contenders in the order of a round."""
    tensors, file = torch_gpu.random_tensors(problem), folder / "qkv.safetensors"
    torch_gpu.save(tensors, file)
    dense = {"flops": problem.flops(dense_pairs(problem.tokens))}
    contenders = [torch_gpu.cudnn(tensors, **dense), torch_gpu.flash(tensors, **dense)]
    contenders.append(torch_gpu.flex(tensors, compiles=True, **dense))
    contenders.append(Weft(tool, folder, problem, file, None, **dense))
    for sparsity in sparsities:
        lists = random_lists(problem.tokens, 1 - sparsity)
        what = {"flops": problem.flops(lists.visited_pairs()), "density": round(1 - sparsity, 4), "lists": lists}
        contenders.append(torch_gpu.flex(tensors, **what))
        contenders.append(Weft(tool, folder, problem, file, None, **what))
    return tensors, contenders


def describe(name, problem, contenders):
    """What --json has of a shape: per contender its time, rate, error and ratios."""
    seconds = {(one.name, one.density): one.seconds() for one in contenders}
    rows = []
    for one in contenders:
        over = lambda other: other / one.seconds() if other and one.seconds() else None  # noqa: E731
        rows.append({
            "name": one.name, "density": one.density, "seconds": one.seconds(), "rounds": one.rounds,
            "tflops": one.gflops() and one.gflops() / 1e3, "error": one.error, "refusal": one.refusal,
            "first_seconds": one.first_seconds(), "over_cudnn_dense": over(seconds.get(("cudnn", 1.0))),
            "over_flex": over(seconds.get(("flex", one.density))),
        })
    return {"shape": name, "grid": problem.grid, "heads": problem.heads, "head_dim": problem.head_dim,
            "tokens": problem.tokens, "contenders": rows}


def print_case(case):
    def cell(value, form):
        return "-" if value is None else format(value, form)

    print(f"{case['shape']}: {case['grid']}, {case['heads']} heads of {case['head_dim']}")
    for row in case["contenders"]:
        if row["refusal"]:
            print(f"  {row['name']:6} {row['density']:5.2f}  {row['refusal']}")
            continue
        print(f"  {row['name']:6} {row['density']:5.2f} {cell(row['seconds'] and row['seconds'] * 1e3, '9.3f')} ms "
              f"{cell(row['tflops'], '6.0f')} TFLOP/s  over cuDNN dense {cell(row['over_cudnn_dense'], '5.2f')}  over "
              f"Flex {cell(row['over_flex'], '5.2f')}  error {cell(row['error'], '.1e')}  first "
              f"{cell(row['first_seconds'], '.2f')} s")
    sys.stdout.flush()


def is_wrong(case):
    """Whether Weft failed, or is further from float64 than the limit or twice cuDNN."""
    errors = [row["error"] for row in case["contenders"] if row["name"] != "weft" and row["error"] is not None]
    limit = min(ERROR_LIMIT, 2 * min(errors)) if errors else ERROR_LIMIT
    return any(row["error"] is None or row["error"] > limit for row in case["contenders"] if row["name"] == "weft")


def load_pyplot():
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        fail(f"--plot: expected matplotlib, but got: {error}")
    return pyplot


def plot(pyplot, figures, path):
    """Rate on visited pairs, and speed-up over cuDNN's dense attention, against sparsity."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5))
    for number, case in enumerate(figures["cases"]):
        for name, style in (("weft", "-"), ("flex", ":")):
            rows = sorted((1 - row["density"], row) for row in case["contenders"]
                          if row["name"] == name and row["seconds"])
            label = f"{name}, {case['shape']}"
            for axis, figure_of in zip(axes, ("tflops", "over_cudnn_dense")):
                axis.plot([x for x, _ in rows], [row[figure_of] for _, row in rows], style, color=f"C{number}",
                          marker=".", label=label)
    axes[1].set_yscale("log", base=2)
    for axis, title in zip(axes, ("TFLOP/s on visited pairs", "speed-up over dense cuDNN")):
        axis.set_xlabel("sparsity")
        axis.set_title(title)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=7)
    figure.suptitle(figures["device"])
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    options = parse_options()
    tool = find_tool(options.weft_run)
    pyplot = load_pyplot() if options.plot else None
    try:
        torch_gpu = importlib.import_module("pytorch_gpu")
    except ImportError as error:
        fail(f"expected the packages of bench/peers/requirements.txt, but got: {error}")
    if not torch_gpu.has_gpu():
        fail("expected a GPU that PyTorch can use, but there is none")
    failed = False
    with tempfile.TemporaryDirectory(prefix="weft-peers-") as folder:
        folder = pathlib.Path(folder)
        try:
            version = tool_version(tool, folder)
        except Refusal as refusal:
            fail(f"--weft-run: {refusal}")
        figures = {"device": torch_gpu.device_name(), "torch": torch_gpu.version(), "weft": version, "cases": []}
        print(f"{figures['device']}, torch {figures['torch']}, weft {version}")
        for name in options.shapes:
            grid, heads, head_dim = SHAPES[name]
            problem = Problem("bf16", head_dim, grid, heads)
            tensors, contenders = make_contenders(torch_gpu, tool, folder, problem, options.sparsities)
            reference = torch_gpu.Reference(tensors)
            for one in contenders:
                one.attempt(one.start, reference.error_of)
            for _ in range(options.repeat):
                for one in contenders:
                    one.attempt(one.add_round)
            case = describe(name, problem, contenders)
            print_case(case)
            failed |= is_wrong(case)
            figures["cases"].append(case)
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.plot:
        plot(pyplot, figures, options.plot)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
