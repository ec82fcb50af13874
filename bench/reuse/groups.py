#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How many tiles of scores could be copied group by group, at thresholds that save 50, 75 and 85 % by channel.

    groups.py OUT.json FILE.safetensors... [--groups 16,24,24]

A kernel computes scores tile by tile: queries of one block times keys of another. The share of a group of channels in a
tile could be copied instead of computed if every score of the tile is a neighbour's in this group: the query or the key
takes the values of a neighbour in all channels of the group. As that must hold for each pair, it holds for a tile if it
does for all its queries or for all its keys, wherever the neighbours lie. Counted are pairs of tile and group, over all
heads, in raster order and in boxes; and those of which nine tenths of the queries, or of the keys, qualify, which is
not enough to copy, but shows how far they are from it. RoPE groups of t, h and w are the channels in this order.
"""

import argparse
import json
import pathlib

import numpy as np

from neighbours import deviations, find_threshold, read

TARGETS = (0.5, 0.75, 0.85)
TILES = (16, 64, 128)
# Boxes of as many tokens, for orders that cut the video into such.
BOXES = {16: (1, 4, 4), 64: (1, 8, 8), 128: (1, 8, 16)}
NEARLY = 0.9


def blocks_raster(grid, size):
    """Token indices by block."""
    tokens = np.arange(int(np.prod(grid)))
    return [tokens[begin : begin + size] for begin in range(0, len(tokens), size)]


def blocks_boxes(grid, size):
    tokens = np.arange(int(np.prod(grid))).reshape(grid)
    t, h, w = BOXES[size]
    return [
        tokens[a : a + t, b : b + h, c : c + w].ravel()
        for a in range(0, grid[0], t)
        for b in range(0, grid[1], h)
        for c in range(0, grid[2], w)
    ]


def group_hits(least, groups, threshold):
    """[groups, heads, tokens]: whether a token takes a neighbour's values in all channels of the group."""
    ends = np.cumsum(groups)
    return np.stack([(least[..., end - size : end] < threshold).all(axis=-1) for size, end in zip(groups, ends)])


def shares_of_blocks(hits, blocks):
    """[groups, heads, blocks]: the share of a block's tokens."""
    return np.stack([hits[..., block].mean(axis=-1) for block in blocks], axis=-1)


def tiles(query_shares, key_shares, least):
    """The share of (tile, group) pairs whose queries or keys reach `least`."""
    q, k = ((shares >= least).mean(axis=-1) for shares in (query_shares, key_shares))
    return float(np.mean(1 - (1 - q) * (1 - k)))


def count(path, groups):
    tensors = read(path)
    q, k = (deviations(x, tensors.grid) for x in (tensors.q, tensors.k))
    for target in TARGETS:
        threshold, saved = find_threshold(q, k, target, per_head=False)
        hits = [group_hits(x, groups, threshold) for x in (q, k)]
        values = float(np.mean([(x < threshold).mean() for x in (q, k)]))
        for order, blocks_of in (("raster", blocks_raster), ("boxes", blocks_boxes)):
            for size in TILES:
                blocks = blocks_of(tensors.grid, size)
                shares = [shares_of_blocks(x, blocks) for x in hits]
                yield {
                    "file": path.stem,
                    "saving": saved,
                    "threshold": threshold,
                    "values": values,
                    "tokens_by_group": [float(np.mean([x[g].mean() for x in hits])) for g in range(len(groups))],
                    "order": order,
                    "tile": size,
                    "copied": tiles(*shares, 1),
                    "nearly": tiles(*shares, NEARLY),
                }


def main():
    parser = argparse.ArgumentParser(description="Counts tiles of scores that could be copied by groups of channels.")
    parser.add_argument("json", type=pathlib.Path)
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    parser.add_argument("--groups", default="16,24,24", help="channels of the RoPE groups")
    arguments = parser.parse_args()
    groups = [int(number) for number in arguments.groups.split(",")]
    found = [one for path in arguments.files for one in count(path, groups)]
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print("file             order   saved  tile  copied  nearly  tokens that qualify, by group")
    for one in found:
        tokens = " ".join(f"{share:.2%}" for share in one["tokens_by_group"])
        print(f"{one['file']:<16} {one['order']:<7} {one['saving']:>5.1%} {one['tile']:>5} {one['copied']:>7.3%} "
              f"{one['nearly']:>7.3%}  {tokens}")  # fmt: skip


if __name__ == "__main__":
    main()
