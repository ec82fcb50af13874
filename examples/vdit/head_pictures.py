# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pictures of what analyse.py writes: each head's numbers as a table of colours, and maps of offsets and frames."""

import numpy as np
from PIL import Image, ImageDraw

from .statistics import MASSES, SIMILARITIES

CELL_WIDTH, CELL_HEIGHT = 74, 18
SIDE = 102  # pixels of a map
LOW, HIGH = np.array([255, 255, 255]), np.array([16, 60, 130])


def colours(values):
    """0 to 1 -> white to blue: uint8 [..., 3]."""
    share = np.clip(np.asarray(values, float), 0, 1)[..., None]
    return (LOW + share * (HIGH - LOW)).astype(np.uint8)


def draw(record, folder):
    folder.mkdir(parents=True, exist_ok=True)
    table(record).save(folder / "heads.png")
    maps(record).save(folder / "offsets.png")


def table(record):
    """A row for each head and one for even attention; a column for each number."""
    columns = [*MASSES, *SIMILARITIES]
    even = {"layer": "even", "head": "", "looks": "", **record["even"]}
    rows = [*record["heads"], even]
    picture = Image.new("RGB", (CELL_WIDTH * (len(columns) + 2), CELL_HEIGHT * (len(rows) + 1)), "white")
    pen = ImageDraw.Draw(picture)
    for column, name in enumerate(["layer.head", *columns, "looks"]):
        pen.text((column * CELL_WIDTH + 3, 3), name, fill="black")
    for row, head in enumerate(rows, 1):
        name = f"{head['layer']}.{head['head']}" if head is not even else "even"
        pen.text((3, row * CELL_HEIGHT + 3), name, fill="black")
        pen.text(((len(columns) + 1) * CELL_WIDTH + 3, row * CELL_HEIGHT + 3), head["looks"], fill="black")
        for column, key in enumerate(columns, 1):
            if key in head:
                cell(pen, column, row, head[key])
    return picture


def cell(pen, column, row, value):
    x, y = column * CELL_WIDTH, row * CELL_HEIGHT
    pen.rectangle((x, y, x + CELL_WIDTH - 2, y + CELL_HEIGHT - 2), fill=tuple(colours(value).tolist()))
    pen.text((x + 3, y + 3), f"{value:.2f}", fill="white" if value > 0.5 else "black")


def maps(record):
    """For each head: where along h and w its keys lie from the query (left), and which frames see which (right)."""
    heads = max(head["head"] for head in record["heads"]) + 1
    layers = max(head["layer"] for head in record["heads"]) + 1
    width, height = 2 * SIDE + 16, SIDE + 20
    picture = Image.new("RGB", (width * heads, height * layers), "white")
    pen = ImageDraw.Draw(picture)
    for head in record["heads"]:
        x, y = head["head"] * width, head["layer"] * height
        pen.text((x + 2, y + 2), f"layer {head['layer']} head {head['head']}: {head['looks']}", fill="black")
        for place, name in enumerate(("offsets", "frames")):
            values = np.array(head[name])
            tile = Image.fromarray(colours((values / values.max()) ** 0.5))
            picture.paste(tile.resize((SIDE, SIDE), Image.Resampling.NEAREST), (x + 2 + place * (SIDE + 4), y + 16))
    return picture
