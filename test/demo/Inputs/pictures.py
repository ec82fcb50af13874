# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Usage: pictures.py FOLDER. Whether the pictures of demo_table.py have each dark colour as often as the arrays say."""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

PARTIAL, FULL = (243, 156, 64), (38, 84, 140)
LEGEND = 12 * 12  # pixels of one colour's square, without its outline

folder = pathlib.Path(sys.argv[1])
results = json.loads((folder / "results.json").read_text())


def computed(result):
    reuse = result["reuse"] or {"work_saved": 0}
    return result["density"] * (1 - reuse["work_saved"]) * (result["row_share"] or 1)


shares = list(map(computed, results))
assert shares == sorted(shares), shares
print(f"{len(results)} results in order of what they compute")
for path in sorted(folder.glob("*.png")):
    if path.name.endswith(".savings.png"):
        continue
    savings = path.with_suffix(".savings.png")
    if savings.exists():
        frames, page = (np.array(Image.open(one).convert("RGB")) for one in (savings, path))
        height, width, _ = frames.shape
        assert (page[-height - 16 : -16, 16 : 16 + width] == frames).all()
        print(f"{path.name} has the savings under a title")
        continue
    pixels = np.array(Image.open(path)).reshape(-1, 3)
    rows = path.with_suffix(".rows.npy")
    array = np.load(rows if rows.exists() else path.with_suffix(".map.npy"))
    scale = 2 if rows.exists() else 480 // max(array.shape[1:])
    for kind, colour in enumerate((FULL,) if rows.exists() else (PARTIAL, FULL), start=1):
        count = np.sum((pixels == colour).all(axis=1)) - LEGEND
        assert count == np.sum(array == kind) * scale**2, (path, colour, count, np.sum(array == kind) * scale**2)
    print(f"{path.name} shows the {'rows' if rows.exists() else 'map'}")
