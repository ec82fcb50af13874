# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Samples videos.

    python -m vdit.sample left.gif --class=left --seed=1
    python -m vdit.sample sheet.png --class=all --grid=8x16x16 --backend=torch --device=cuda
    python -m vdit.sample videos.npy --class=spin,grow         float32 [classes, t, 4 h, 4 w, 3], -1 to 1

A .gif shows the first class only. The same seed gives the same video with either backend and on any device.
"""

import pathlib

import numpy as np

from .backend import add_backend, make_sampler
from .command import Parser, class_labels, grid, guard, output, whole
from .flow import GUIDANCE, STEPS, sample
from .weights import WEIGHTS, load_weights


def parse_options(arguments=None):
    parser = Parser(prog="sample.py", description="Samples videos of a class.")
    parser.add_argument("out", type=output(".gif", ".png", ".npy"), help="a .gif, .png or .npy file")
    parser.add_argument("--class", dest="classes", default="all", help="names, separated by commas (default: all)")
    parser.add_argument("--grid", type=grid, default=(8, 16, 16), help="in tokens (default: 8x16x16)")
    parser.add_argument("--seed", type=whole(0, 10**9 - 1), default=1, help="of the first class; the next ones follow")
    parser.add_argument("--steps", type=whole(1, 1000), default=STEPS, help=f"(default: {STEPS})")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help=f"1 is without (default: {GUIDANCE})")
    parser.add_argument("--weights", type=pathlib.Path, default=WEIGHTS)
    add_backend(parser)
    return parser.parse_args(arguments)


def write(path, videos, names):
    if path.suffix == ".npy":
        np.save(path, videos)
        return
    from .pictures import save_gif, sheet

    if path.suffix == ".gif":
        save_gif(path, videos[0])
    else:
        sheet(videos, names).save(path)


def run(options):
    weights, config = load_weights(options.weights)
    labels = class_labels(options.classes, config)
    sampler = make_sampler(weights, config, options.backend, options.device)
    seeds = range(options.seed, options.seed + len(labels))
    one_by_one = [
        sample(sampler, [seed], [label], options.grid, options.steps, options.guidance)
        for seed, label in zip(seeds, labels)
    ]
    write(options.out, np.concatenate(one_by_one), [config.classes[label] for label in labels])


def main(arguments=None):
    guard("sample.py", run, parse_options(arguments))


if __name__ == "__main__":
    main()
