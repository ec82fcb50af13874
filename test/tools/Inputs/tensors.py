# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Makes and inspects tensor files with the standard library alone.
"""Usage:
tensors.py qkv FILE BATCH HEADS TOKENS CHANNELS [--names q,k,v]   random q, k and v as f32 safetensors
tensors.py map FILE SETS ROWS COLUMNS [--type i4]                   .npy: the diagonal and the first column
tensors.py bias FILE BATCHES HEADS TOKENS                          .npy: random f32
tensors.py show FILE                                                       names, types and shapes
tensors.py compare FILE FILE NAME LIMIT                                    largest difference of one tensor's elements
tensors.py transpose FILE FILE                                             [b, h, s, d] to [b, s, h, d], all tensors
"""

import argparse
import array
import json
import random
import struct

CODES = {"F32": ("f", 4), "F64": ("d", 8), "I32": ("i", 4)}


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = array.array(CODES[entry["dtype"]][0])
        values.frombytes(data[begin:end])
        tensors[name] = (entry["dtype"], entry["shape"], values)
    return tensors


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        bytes_ = values.tobytes()
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def make_qkv(args):
    generator = random.Random(1)
    shape = [args.batch, args.heads, args.tokens, args.channels]
    count = args.batch * args.heads * args.tokens * args.channels
    tensors = {}
    for name in args.names.split(","):
        tensors[name] = ("F32", shape, array.array("f", (generator.gauss(0, 1) for _ in range(count))))
    write_safetensors(args.file, tensors)


def make_map(args):
    cells = bytearray()
    for _ in range(args.sets):
        for row in range(args.rows):
            cells += bytes(1 if column in (0, row) else 0 for column in range(args.columns))
    if args.type == "i4":
        cells = b"".join(struct.pack("<i", cell) for cell in cells)
    write_npy(args.file, {"u1": "|u1", "i4": "<i4"}[args.type], (args.sets, args.rows, args.columns), cells)


def write_npy(path, descr, shape, data):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


def make_bias(args):
    generator = random.Random(2)
    count = args.batches * args.heads * args.tokens
    values = array.array("f", (generator.gauss(0, 1) for _ in range(count)))
    write_npy(args.file, "<f4", (args.batches, args.heads, args.tokens), values.tobytes())


def show(args):
    if args.file.endswith(".npy"):
        with open(args.file, "rb") as file:
            data = file.read()
        (size,) = struct.unpack("<H", data[8:10])
        print(data[10 : 10 + size].decode().strip())
        print(list(data[10 + size :]))
        return
    for name, (dtype, shape, _) in sorted(read_safetensors(args.file).items()):
        print(name, dtype, shape)


def compare(args):
    first, second = (read_safetensors(path)[args.name] for path in (args.first, args.second))
    assert first[1] == second[1], f"{first[1]} and {second[1]}"
    largest = max(abs(x - y) for x, y in zip(first[2], second[2]))
    print("equal" if largest <= args.limit else f"different by {largest}")


def transpose(args):
    result = {}
    for name, (dtype, (b, h, s, d), values) in read_safetensors(args.source).items():
        moved = array.array(values.typecode)
        for batch in range(b):
            for token in range(s):
                for head in range(h):
                    start = ((batch * h + head) * s + token) * d
                    moved.extend(values[start : start + d])
        result[name] = (dtype, [b, s, h, d], moved)
    write_safetensors(args.target, result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("qkv")
    command.add_argument("file")
    for name in ("batch", "heads", "tokens", "channels"):
        command.add_argument(name, type=int)
    command.add_argument("--names", default="q,k,v")
    command.set_defaults(run=make_qkv)
    command = commands.add_parser("map")
    command.add_argument("file")
    for name in ("sets", "rows", "columns"):
        command.add_argument(name, type=int)
    command.add_argument("--type", default="u1", choices=["u1", "i4"])
    command.set_defaults(run=make_map)
    command = commands.add_parser("bias")
    command.add_argument("file")
    for name in ("batches", "heads", "tokens"):
        command.add_argument(name, type=int)
    command.set_defaults(run=make_bias)
    command = commands.add_parser("show")
    command.add_argument("file")
    command.set_defaults(run=show)
    command = commands.add_parser("compare")
    command.add_argument("first")
    command.add_argument("second")
    command.add_argument("name")
    command.add_argument("limit", type=float)
    command.set_defaults(run=compare)
    command = commands.add_parser("transpose")
    command.add_argument("source")
    command.add_argument("target")
    command.set_defaults(run=transpose)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
