# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes q, k and v of attention calls while a video is sampled: as they enter the attention, after RoPE.

    python -m vdit.dump FOLDER --class=orbit --grid=8x16x16 --layers=1,4 --at=10,25 --heads=0,2

One file for each layer and step, layerL-stepS.safetensors, with q, k and v [1, heads, N, d] in float16 or float32, of
the clip with its class (not of the one without, which guidance adds). Its metadata: grid, layer, heads, step, steps,
time, class and seed.
"""

import pathlib

import numpy as np
from safetensors.numpy import save_file

from .backend import add_backend, dense_attention, make_sampler
from .command import Parser, check_below, folder, grid, guard, several, whole
from .config import grid_name
from .flow import STEPS, sample
from .weights import WEIGHTS, load_weights


class Recorder:
    """An attention that keeps q, k and v of some layers, steps and heads on its way to another one."""

    def __init__(self, attention, layers, steps, heads):
        self.attention, self.layers, self.steps, self.heads = attention, layers, steps, heads
        self.calls = []  # (place, {"q": [1, heads, N, d], ...})

    def __call__(self, q, k, v, place):
        """q, k, v [B, H, N, d] -> [B, H, N, d]."""
        if place.layer in self.layers and place.step in self.steps:
            self.calls.append((place, {name: self.first_clip(x) for name, x in zip("qkv", (q, k, v))}))
        return self.attention(q, k, v, place)

    def first_clip(self, x):
        """[B, H, N, d] of either backend -> NumPy [1, heads, N, d]."""
        chosen = x[:1, self.heads]
        return np.ascontiguousarray(chosen if isinstance(chosen, np.ndarray) else chosen.float().cpu().numpy())


def parse_options(arguments=None):
    number = several(whole(0, 9999))
    parser = Parser(prog="dump.py", description="Writes q, k and v of attention calls.")
    parser.add_argument("out", type=folder, help="a folder")
    parser.add_argument("--class", dest="name", default="orbit", help="(default: orbit)")
    parser.add_argument("--grid", type=grid, default=(8, 16, 16), help="in tokens (default: 8x16x16)")
    parser.add_argument("--layers", type=number, help="(default: all)")
    parser.add_argument("--heads", type=number, help="(default: all)")
    parser.add_argument("--at", type=number, default=[STEPS // 2], help=f"steps, from 0 (default: {STEPS // 2})")
    parser.add_argument("--steps", type=whole(1, 1000), default=STEPS, help=f"in all (default: {STEPS})")
    parser.add_argument("--seed", type=whole(0, 10**9 - 1), default=1)
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="(default: float16)")
    parser.add_argument("--weights", type=pathlib.Path, default=WEIGHTS)
    add_backend(parser)
    return parser.parse_args(arguments)


def run(options):
    weights, config = load_weights(options.weights)
    label = config.index(options.name)
    layers = options.layers or list(range(config.depth))
    heads = options.heads or list(range(config.heads))
    check_below("layers", layers, config.depth)
    check_below("heads", heads, config.heads)
    check_below("at", options.at, options.steps)
    recorder = Recorder(dense_attention(options.backend), layers, options.at, heads)
    sampler = make_sampler(weights, config, options.backend, options.device, recorder)
    sample(sampler, [options.seed], [label], options.grid, options.steps, last=max(options.at))
    options.out.mkdir(parents=True, exist_ok=True)
    for place, tensors in recorder.calls:
        about = {"grid": grid_name(place.grid), "layer": place.layer, "heads": ",".join(map(str, heads))}
        about |= {"step": place.step, "steps": place.steps, "time": round(place.time, 6)}
        about |= {"class": options.name, "seed": options.seed}
        path = options.out / f"layer{place.layer}-step{place.step}.safetensors"
        arrays = {name: array.astype(options.dtype) for name, array in tensors.items()}
        save_file(arrays, path, {name: str(value) for name, value in about.items()})


def main(arguments=None):
    guard("dump.py", run, parse_options(arguments))


if __name__ == "__main__":
    main()
