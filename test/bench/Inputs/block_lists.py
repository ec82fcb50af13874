# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks that weft-run visits what a BlockMask of the same lists names.

    block_lists.py FOLDER-OF-PEERS WEFT-RUN PROGRAM OUT-FOLDER
"""

import json
import pathlib
import subprocess
import sys


def named_blocks(lists):
    """The lists as FlexAttention reads them: the first counts[i] numbers of row i."""
    return [row[:count] for count, row in zip(lists.counts(), lists.indices())]


def visited_blocks(path, blocks):
    """The full blocks of a map that weft-run wrote."""
    cells = path.read_bytes()[-blocks * blocks :]
    assert set(cells) <= {0, 2}, f"expected empty and full blocks, but got kinds {set(cells)}"
    return [[key for key in range(blocks) if cells[query * blocks + key]] for query in range(blocks)]


def run(tool, program, folder, lists, write_map):
    given, visited = folder / "given.npy", folder / "visited.npy"
    write_map(given, lists)
    command = [tool, program, f"--grid=1x1x{lists.tokens}", "--head-dim=32", "--repeat=1", f"--given={given}"]
    done = subprocess.run([*command, f"--map={visited}", "--json=-"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["density"], visited_blocks(visited, len(lists.rows))


def main():
    peers, tool, program, folder = sys.argv[1:]
    sys.path.insert(0, peers)
    from blocks import random_lists, write_map

    for tokens in (1, 128, 129, 1000, 4096):
        for share in (0.1, 0.5):
            lists = random_lists(tokens, share)
            density, visited = run(tool, program, pathlib.Path(folder), lists, write_map)
            named, pairs = named_blocks(lists), round(density * tokens * tokens)
            assert named == lists.rows and visited == named, f"expected blocks {named}, but got {visited}"
            assert pairs == lists.visited_pairs(), f"expected {lists.visited_pairs()} pairs, but got {pairs}"
            print(f"{tokens} tokens: {len(visited[0])} of {len(visited)} blocks, equal")


main()
