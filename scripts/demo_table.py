#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Shows what `weft-run --json` measured: one table, and a picture of each attention.

    demo_table.py DIR

Reads every DIR/<name>.json (an object with name, density, error_dense, error_interpreter, time_ms, dense_time_ms,
speedup, compile_ms; a number may be null where it was not measured, or the string "nan" or "inf"; and values and block,
which tell what was asked, reuse and row_share, which tell what was saved of the density) and, where there is one,
DIR/<name>.map.npy (uint8 [lists, query blocks, key blocks]: 0 empty, 1 partial, 2 full), DIR/<name>.rows.npy (uint8
[steps, t, h, w]: 1 where the step computed a token) or DIR/<name>.savings.png, which weft-explain --savings wrote.
Writes DIR/results.json, a list of these objects ordered by what is computed, and DIR/<name>.png for each map, each
array of rows and each picture of savings.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

NUMBERS = ("density", "error_dense", "error_interpreter", "time_ms", "dense_time_ms", "speedup", "compile_ms")
RESULTS = "results.json"
COLOURS = {"empty": (238, 238, 238), "partial": (243, 156, 64), "full": (38, 84, 140)}
ROW_COLOURS = {"kept": (238, 238, 238), "computed": (38, 84, 140)}
INK, PAPER = (30, 30, 30), (255, 255, 255)
MIN_BLOCK_PIXELS, MAP_PIXELS, MARGIN, LINE = 3, 480, 16, 22
TOKEN_PIXELS, LABEL = 2, 46


def fail(message):
    sys.exit(f"demo_table.py: error: {message}")


def read_result(path):
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{path}: cannot read JSON: {error}")
    if not isinstance(result, dict) or not isinstance(result.get("name"), str):
        fail(f"{path}: expected an object with the string 'name'")
    for key in NUMBERS:
        value = result.get(key)
        is_number = isinstance(value, (int, float, type(None))) and not isinstance(value, bool)
        if key not in result or not (is_number or value in ("nan", "inf", "-inf")):
            fail(f"{path}: expected '{key}' to be a number or null, but got {value!r}")
    return result


def read_results(folder):
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != RESULTS]
    if not paths:
        fail(f"{folder}: expected files that weft-run --json wrote, but there are none")
    return sorted(map(read_result, paths), key=computed_share)


def computed_share(result):
    """The share of all pairs that is computed; 2 where it is not known."""
    reuse, rows = result.get("reuse"), result.get("row_share")
    if result["density"] is None:
        return 2
    return result["density"] * (1 - (reuse["work_saved"] if reuse else 0)) * (1 if rows is None else rows)


def saving(result):
    """What is saved beside the pairs that the mask leaves out."""
    reuse, rows = result.get("reuse"), result.get("row_share")
    if reuse and reuse["granularity"] == "token":
        return f"{reuse['work_saved']:.1%} of pairs"
    if reuse:
        return f"{1 - (1 - reuse['queries']) * (1 - reuse['keys']):.1%} of products*"
    return "-" if rows is None else f"{1 - rows:.1%} of rows"


def cell(value, form):
    return "-" if value is None else format(float(value), form)


def request(result):
    """What the run was asked beyond the name: the values of parameters and the block."""
    return " ".join([*result.get("values", []), f"block={result['block']}"] if "block" in result else [])


def table(results):
    """The aligned table: words to the left, numbers to the right."""
    rows = [("attention", "request", "density", "saved", "error to dense", "time (ms)", "speed-up over Weft's dense")]
    for result in results:
        rows.append(
            (
                result["name"],
                request(result),
                cell(result["density"], ".1%"),
                saving(result),
                cell(result["error_dense"], ".2e"),
                cell(result["time_ms"], ".1f"),
                cell(result["speedup"], ".2f") + ("x" if result["speedup"] is not None else ""),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows)]
    rows.insert(1, tuple("-" * width for width in widths))
    lines = []
    for row in rows:
        numbers = (text.rjust(width) for text, width in zip(row[2:], widths[2:]))
        lines.append("  ".join([row[0].ljust(widths[0]), row[1].ljust(widths[1]), *numbers]))
    if any(result.get("reuse") and result["reuse"]["granularity"] == "channel" for result in results):
        lines.append("* of queries and keys by channel: a neighbour's, but computed as all others are")
    return "\n".join(lines)


def read_kinds(path, axes, kinds):
    """A uint8 array of so many axes whose numbers are below `kinds`."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        fail(f"{path}: cannot read the array: {error}")
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != axes or 0 in array.shape:
        fail(f"{path}: expected a non-empty uint8 array of {axes} axes")
    if array.max() >= kinds:
        fail(f"{path}: expected numbers from 0 to {kinds - 1}, but got {array.max()}")
    return array


def map_image(blocks):
    """One list [query blocks, key blocks] as a picture, each block a square."""
    scale = max(MIN_BLOCK_PIXELS, MAP_PIXELS // max(blocks.shape))
    pixels = np.array(list(COLOURS.values()), np.uint8)[blocks]
    return Image.fromarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1))


def draw_legend(draw, font, place, array, colours=COLOURS):
    """The colours, each with the share of the array that has it."""
    x, y = place
    for kind, (word, colour) in enumerate(colours.items()):
        draw.rectangle((x, y + 2, x + 13, y + 15), fill=colour, outline=INK)
        text = f"{word} {np.mean(array == kind):.1%}"
        draw.text((x + 20, y), text, fill=INK, font=font)
        x += 20 + round(draw.textlength(text, font=font)) + 20
    return x


def picture(name, blocks):
    """The maps of all lists side by side under a title and a legend; queries go down, keys to the right."""
    font = ImageFont.load_default(size=14)
    maps = [map_image(block_list) for block_list in blocks]
    title = f"{name}: {blocks.shape[1]} query blocks (down) x {blocks.shape[2]} key blocks (right)"
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    words = max(measure.textlength(title, font=font), draw_legend(measure, font, (0, 0), blocks))
    top = MARGIN + 3 * LINE
    width = max(MARGIN + sum(one.width + MARGIN for one in maps), round(words) + 2 * MARGIN)
    image = Image.new("RGB", (width, top + maps[0].height + MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, fill=INK, font=font)
    draw_legend(draw, font, (MARGIN, MARGIN + LINE), blocks)
    x = MARGIN
    for index, one in enumerate(maps):
        if len(maps) > 1:
            draw.text((x, MARGIN + 2 * LINE), f"list {index}", fill=INK, font=font)
        draw.rectangle((x - 1, top - 1, x + one.width, top + one.height), outline=INK)
        image.paste(one, (x, top))
        x += one.width + MARGIN
    return image


def rows_picture(name, rows):
    """Which tokens each step (down) computes in each frame (right), with the step's share of each frame below it."""
    font, small = ImageFont.load_default(size=14), ImageFont.load_default(size=11)
    steps, frames, height, width = rows.shape
    cell_width, cell_height, top = width * TOKEN_PIXELS + 6, height * TOKEN_PIXELS + LINE, MARGIN + 3 * LINE
    image = Image.new("RGB", (frames * cell_width + 2 * MARGIN + LABEL, top + steps * cell_height + MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), f"{name}: tokens that each step (down) computes in each frame (right)", INK, font)
    draw_legend(draw, font, (MARGIN, MARGIN + LINE), rows, ROW_COLOURS)
    pixels = np.array(list(ROW_COLOURS.values()), np.uint8)
    for step in range(steps):
        y = top + step * cell_height
        draw.text((MARGIN, y), f"step {step}", INK, small)
        for frame in range(frames):
            x = MARGIN + LABEL + frame * cell_width
            one = pixels[rows[step, frame]].repeat(TOKEN_PIXELS, axis=0).repeat(TOKEN_PIXELS, axis=1)
            image.paste(Image.fromarray(one), (x, y))
            draw.text((x, y + height * TOKEN_PIXELS + 2), f"{rows[step, frame].mean():.0%}", INK, small)
    return image


def titled(name, path):
    """The picture of weft-explain under a title."""
    try:
        frames = Image.open(path).convert("RGB")
    except OSError as error:
        fail(f"{path}: cannot read the picture: {error}")
    font = ImageFont.load_default(size=14)
    title = f"{name}: values that are a neighbour's, from none (light) to all (dark)"
    rows = "rows: queries and keys of each head; columns: frames"
    image = Image.new("RGB", (frames.width + 2 * MARGIN, frames.height + 2 * MARGIN + 2 * LINE), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN), title, INK, font)
    draw.text((MARGIN, MARGIN + LINE), rows, INK, font)
    image.paste(frames, (MARGIN, MARGIN + 2 * LINE))
    return image


def main():
    parser = argparse.ArgumentParser(description="Prints the table and draws the block maps of weft-run's results.")
    parser.add_argument("folder", type=pathlib.Path, help="the folder with the .json, .map.npy and .rows.npy files")
    folder = parser.parse_args().folder
    if not folder.is_dir():
        fail(f"expected a folder, but got {folder}")

    results = read_results(folder)
    print(table(results))
    (folder / RESULTS).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for path in sorted(folder.glob("*.map.npy")):
        name = path.name.removesuffix(".map.npy")
        picture(name, read_kinds(path, 3, len(COLOURS))).save(folder / f"{name}.png")
    for path in sorted(folder.glob("*.rows.npy")):
        name = path.name.removesuffix(".rows.npy")
        rows_picture(name, read_kinds(path, 4, len(ROW_COLOURS))).save(folder / f"{name}.png")
    for path in sorted(folder.glob("*.savings.png")):
        name = path.name.removesuffix(".savings.png")
        titled(name, path).save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
