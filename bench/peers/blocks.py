# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random block lists in the forms that Weft and FlexAttention take, with the standard library alone."""

import random
import struct

BLOCK = 128


class BlockLists:
    """The key blocks that each query block visits: `rows[i]` in ascending order. Blocks are runs of 128 tokens."""

    def __init__(self, tokens, rows):
        self.tokens = tokens
        self.rows = rows
        self.sizes = [min(BLOCK, tokens - start) for start in range(0, tokens, BLOCK)]

    def visited_pairs(self):
        """Pairs of tokens in the visited blocks; the last block may be short."""
        keys = (sum(self.sizes[block] for block in row) for row in self.rows)
        return sum(size * count for size, count in zip(self.sizes, keys))

    def counts(self):
        """BlockMask's num_blocks: how many key blocks each query block visits."""
        return [len(row) for row in self.rows]

    def indices(self):
        """BlockMask's indices: a square table, each row filled up with zeros beyond its count."""
        return [row + [0] * (len(self.sizes) - len(row)) for row in self.rows]

    def block_map(self):
        """Weft's form: for each query block one byte per key block, 1 where it is visited."""
        return [bytes(block in visited for block in range(len(self.sizes))) for visited in map(set, self.rows)]


def dense_pairs(tokens):
    return tokens * tokens


def random_lists(tokens, density, seed=1):
    """Lists in which every query block visits the same number of random key blocks: the share `density`, rounded."""
    generator = random.Random(seed)
    count = -(-tokens // BLOCK)
    named = max(1, round(density * count))
    return BlockLists(tokens, [sorted(generator.sample(range(count), named)) for _ in range(count)])


def write_map(path, lists):
    """Writes the block map as .npy for `weft-run --given`: u8 [1, query blocks, key blocks]."""
    rows = lists.block_map()
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (1, {len(rows)}, {len(rows)}), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"".join(rows))
