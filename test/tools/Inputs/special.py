# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Tensor files that are out of the ordinary, for queries, keys and values [1, 1, 64, 32] and maps [1, 2, 2].
"""special.py FOLDER"""

import array
import json
import pathlib
import random
import struct
import sys

SHAPE = (1, 1, 64, 32)
COUNT = 64 * 32


def write_npy(path, shape, descr, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": SHAPE, "data_offsets": [len(data), len(data) + 4 * COUNT]}
        data += values.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


folder = pathlib.Path(sys.argv[1])
generator = random.Random(1)
tensors = {name: array.array("f", (generator.gauss(0, 1) for _ in range(COUNT))) for name in "qkv"}
write_safetensors(folder / "qkv.safetensors", tensors, {"grid": "2x4x8"})
for name, values in tensors.items():
    write_npy(folder / f"{name}.npy", SHAPE, "<f4", values.tobytes())
write_npy(folder / "bytes.npy", (1, 2, 2), "|u1", bytes([1, 0, 1, 7]))
tensors["v"] = array.array("f", [1e38] * COUNT)
write_safetensors(folder / "huge.safetensors", tensors, {})
