# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How near samples come to clips of the generator that were not trained on, as Frechet distances.

    python -m vdit.evaluate OUT.json --weights=W --grid=8x16x16 --count=512 --device=cuda

All sets have `count` clips, the classes in turn. Beside the samples stand other clips of the generator (as near as one
can come), such clips with their frames shuffled, and such clips frozen at their first frame.
"""

import json
import pathlib

import numpy as np

from .command import need_pytorch

if __name__ == "__main__":
    need_pytorch("evaluate.py")

import torch  # noqa: E402

from .backend import check_device  # noqa: E402
from .command import Parser, grid, guard, output, whole  # noqa: E402
from .config import CHANNELS, CLASSES, PATCH, VditError, grid_name, tokens_of  # noqa: E402
from .dit import Sampler  # noqa: E402
from .flow import GUIDANCE, STEPS, sample  # noqa: E402
from .frechet import distance, features, freeze, shuffle_frames  # noqa: E402
from .memory import bytes_available, check_bytes, check_memory  # noqa: E402
from .render import Renderer, load_textures  # noqa: E402
from .weights import WEIGHTS, load_weights  # noqa: E402

HELD_OUT, OTHERS, FIRST_SEED = (1000003, 1), (1000003, 2), 10**6
FRAMES = 5  # that frechet.py needs
SETS = 6  # of clips in float32: those that are compared, and a copy


def generated(sampler, labels, options):
    """Samples for labels [count]: float32 [count, t, H, W, 3]."""
    parts = []
    for start in range(0, len(labels), options.batch):
        some = labels[start : start + options.batch]
        seeds = range(FIRST_SEED + start, FIRST_SEED + start + len(some))
        with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
            parts.append(sample(sampler, seeds, some, options.grid, options.steps, options.guidance).clip(-1, 1))
    return np.concatenate(parts)


def drawn(renderer, seed, shape, labels, batch):
    """Clips of the generator for labels [count]: float32 [count, t, H, W, 3]."""
    t, h, w = shape
    starts = range(0, len(labels), batch)
    parts = [renderer.video([*seed, start], labels[start : start + batch], t, PATCH * h, PATCH * w) for start in starts]
    return torch.cat(parts).cpu().numpy()


def evaluate(sampler, textures, options):
    """Name -> distance to the held-out clips; and the samples."""
    labels = np.arange(options.count) % len(CLASSES)
    renderer = Renderer(textures, options.device)
    held_out, others = (drawn(renderer, seed, options.grid, labels, options.batch) for seed in (HELD_OUT, OTHERS))
    samples = generated(sampler, labels, options)
    reference = features(held_out)
    sets = {"samples": samples, "other clips": others}
    sets |= {"frames shuffled": shuffle_frames(others), "frozen": freeze(others)}
    return {name: distance(features(videos), reference) for name, videos in sets.items()}, samples


def parse_options(arguments=None):
    parser = Parser(prog="evaluate.py", description="Frechet distances of samples to clips of the generator.")
    parser.add_argument("out", type=output(".json"), help="a .json file")
    parser.add_argument("--weights", type=pathlib.Path, default=WEIGHTS)
    parser.add_argument("--grid", type=grid, default=(8, 16, 16), help="in tokens (default: 8x16x16)")
    parser.add_argument("--count", type=whole(2, 10**6), default=512, help="clips of a set (default: 512)")
    parser.add_argument("--batch", type=whole(1, 1024), default=64, help="clips at a time (default: 64)")
    parser.add_argument("--sheet", type=output(".png"), help="a .png file for a sample of each class")
    parser.add_argument("--steps", type=whole(1, 1000), default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    return parser.parse_args(arguments)


def check(sampler, options):
    """Refuses grids that the features are not made for or that do not fit into memory."""
    t, h, w = options.grid
    if t < FRAMES or h % 2 or w % 2:
        expected = f"expected {FRAMES} frames or more and even numbers of tokens along h and w"
        raise VditError(f"grid: {expected}, but got {grid_name(options.grid)}")
    check_memory(sampler, options.grid, 2 * min(options.batch, options.count))
    needed = SETS * options.count * tokens_of(options.grid) * CHANNELS * 4
    check_bytes(needed, bytes_available(), options.grid, f"sets of {options.count} clips")


def run(options):
    check_device(options.device)
    sampler = Sampler(*load_weights(options.weights), options.device)
    check(sampler, options)
    distances, samples = evaluate(sampler, load_textures(), options)
    if options.sheet:
        from .pictures import sheet

        sheet(samples[: len(CLASSES)], CLASSES).save(options.sheet)
    about = {"grid": grid_name(options.grid), "count": options.count}
    about |= {"guidance": options.guidance, "steps": options.steps}
    options.out.write_text(json.dumps(about | {"distance": distances}, indent=1) + "\n")
    print(options.out.read_text(), end="")


def main(arguments=None):
    guard("evaluate.py", run, parse_options(arguments))


if __name__ == "__main__":
    main()
