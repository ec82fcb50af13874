# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What each head attends to while videos are sampled, as numbers and pictures.

    python -m vdit.analyse OUT.json --class=orbit,pan --grid=8x16x16 --at=5,20,35 --pictures=FOLDER

The numbers of statistics.py are means over the classes and the steps, on some random queries. --pictures draws
heads.png and offsets.png.
"""

import json
import pathlib

import numpy as np

from . import statistics
from .backend import add_backend, dense_attention, make_sampler
from .command import Parser, check_below, class_labels, folder, grid, guard, output, several, whole
from .config import VditError, grid_name, tokens_of
from .flow import STEPS, sample
from .memory import bytes_available, check_bytes
from .weights import WEIGHTS, load_weights

ROW_BYTES = 56  # for each pair of a query and a key


class Observer:
    """An attention that looks at the first clip of some steps on its way to another one."""

    def __init__(self, attention, steps, queries):
        self.attention, self.steps, self.queries = attention, steps, queries
        self.seen = {}  # (layer, head) -> list of what `observe` gives

    def __call__(self, q, k, v, place):
        """q, k, v [B, H, N, d] -> [B, H, N, d]."""
        if place.step in self.steps:
            for head in range(q.shape[1]):
                seen = self.observe(array(q[0, head]), array(k[0, head]), place.grid)
                self.seen.setdefault((place.layer, head), []).append(seen)
        return self.attention(q, k, v, place)

    def observe(self, q, k, shape):
        """Numbers by name, and the two maps; q, k [N, d]."""
        rows = statistics.choose_queries(shape, self.queries)
        p = statistics.probabilities(q, k, rows)
        alike = np.concatenate([statistics.similarity(q, shape), statistics.similarity(k, shape)])
        numbers = statistics.masses(p, rows, shape) | dict(zip(statistics.SIMILARITIES, alike))
        return numbers, statistics.offset_map(p, rows, shape), statistics.frame_map(p, rows, shape)

    def heads(self):
        """A record for each head, layers first."""
        result = []
        for (layer, head), seen in sorted(self.seen.items()):
            numbers, offsets, frames = zip(*seen)
            means = {name: float(np.mean([one[name] for one in numbers])) for name in numbers[0]}
            maps = {"offsets": np.mean(offsets, 0).tolist(), "frames": np.mean(frames, 0).tolist()}
            result.append({"layer": layer, "head": head, "looks": statistics.verdict(means), **means, **maps})
        return result


def array(x):
    """x [N, d] of either backend -> float32 [N, d], NumPy."""
    return x if isinstance(x, np.ndarray) else x.float().cpu().numpy()


def parse_options(arguments=None):
    parser = Parser(prog="analyse.py", description="What each head attends to.")
    parser.add_argument("out", type=output(".json"), help="a .json file")
    parser.add_argument("--class", dest="classes", default="left,spin,orbit,pan", help="(default: left,spin,orbit,pan)")
    parser.add_argument("--grid", type=grid, default=(8, 16, 16), help="in tokens (default: 8x16x16)")
    parser.add_argument("--at", type=several(whole(0, 999)), default=[5, 20, 35], help="steps (default: 5,20,35)")
    parser.add_argument("--steps", type=whole(1, 1000), default=STEPS, help=f"in all (default: {STEPS})")
    parser.add_argument("--queries", type=whole(1, 10**6), default=512, help="(default: 512)")
    parser.add_argument("--seed", type=whole(0, 10**9 - 1), default=1)
    parser.add_argument("--pictures", type=folder, help="a folder")
    parser.add_argument("--weights", type=pathlib.Path, default=WEIGHTS)
    add_backend(parser)
    return parser.parse_args(arguments)


def run(options):
    if min(options.grid) < 2:
        raise VditError(f"grid: expected two tokens or more each way, but got {grid_name(options.grid)}")
    check_below("at", options.at, options.steps)
    tokens = tokens_of(options.grid)
    rows = min(options.queries, tokens)
    check_bytes(ROW_BYTES * rows * tokens, bytes_available(), options.grid, f"the rows of {rows} queries")
    weights, config = load_weights(options.weights)
    observer = Observer(dense_attention(options.backend), options.at, options.queries)
    sampler = make_sampler(weights, config, options.backend, options.device, observer)
    for label in class_labels(options.classes, config):
        sample(sampler, [options.seed], [label], options.grid, options.steps, last=max(options.at))
    rows = statistics.choose_queries(options.grid, options.queries)
    about = {"grid": grid_name(options.grid), "classes": options.classes, "at": options.at, "steps": options.steps}
    about |= {"seed": options.seed, "queries": options.queries, "even": statistics.even_masses(options.grid, rows)}
    record = about | {"heads": observer.heads()}
    options.out.write_text(json.dumps(record) + "\n")
    if options.pictures:
        from .head_pictures import draw

        draw(record, options.pictures)


def main(arguments=None):
    guard("analyse.py", run, parse_options(arguments))


if __name__ == "__main__":
    main()
