# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Usage: reuse.py write|curve FOLDER. Writes tensors for the scripts of bench/reuse, or checks what curve.py wrote."""

import json
import pathlib
import sys

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

GRID, TOKENS = (4, 8, 8), 256


def write(folder):
    random = np.random.default_rng(1)
    for name, dtype in (("clip", np.float32), ("layer", np.float16)):
        save_file({x: random.standard_normal((1, 2, TOKENS, 32)).astype(dtype) for x in "qkv"},
                  folder / f"{name}.safetensors", metadata={"grid": "4x8x8"})  # fmt: skip
    # Frames 0 and 1 show the same, and so do 2 and 3; tokens of a frame differ.
    frames = np.repeat(random.standard_normal((1, 2, 2, 64, 32)), 2, axis=2).reshape(1, 2, TOKENS, 32)
    frames *= 100
    save_file({x: frames.astype(np.float32) for x in "qkv"}, folder / "still.safetensors", metadata={"grid": "4x8x8"})


def curve(folder):
    points = json.loads((folder / "curve.json").read_text())
    assert {(p["file"], p["granularity"]) for p in points} == {
        (file, granularity) for file in ("clip", "layer") for granularity in ("channel", "token")
    }
    for point in points:
        assert abs(point["saving"] - point["target"]) < 0.02, point
        assert point["error"] > 0 and point["time_ms"] > 0
    print(f"{len(points)} points within 2 % of their savings")
    print("a picture of {} x {}".format(*Image.open(folder / "curve.png").size))


{"write": write, "curve": curve}[sys.argv[1]](pathlib.Path(sys.argv[2]))
