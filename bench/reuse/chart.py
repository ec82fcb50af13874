# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A chart of lines over a share, with a logarithmic axis upwards."""

import dataclasses
import math

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 480, 84, 190, 24, 56
INK, GRID, PAPER = (30, 30, 30), (225, 225, 225), (255, 255, 255)
COLOURS = ((243, 156, 64), (38, 84, 140))


@dataclasses.dataclass
class Line:
    name: str
    is_dashed: bool
    is_dark: bool
    xs: list
    ys: list


def segments(points, is_dashed, dash=7):
    """Pairs of points to join."""
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        count = max(1, round(math.hypot(x1 - x0, y1 - y0) / dash)) if is_dashed else 1
        for i in range(0, count, 2 if is_dashed else 1):
            at = [(x0 + (x1 - x0) * f, y0 + (y1 - y0) * f) for f in (i / count, (i + 1) / count)]
            yield at[0], at[1]


def draw(lines, x_label, y_label):
    """The chart; x from 0 to 1, y over the decades that the lines need."""
    low = math.floor(math.log10(min(min(line.ys) for line in lines)))
    high = math.ceil(math.log10(max(max(line.ys) for line in lines)))
    image = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), PAPER)  # drawn at twice the size, for smooth lines
    pen = ImageDraw.Draw(image)
    large = ImageFont.load_default(size=26)

    def place(x, y):
        across = LEFT + x * (WIDTH - LEFT - RIGHT)
        down = TOP + (high - math.log10(y)) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return 2 * across, 2 * down

    for decade in range(low, high + 1):
        for step in (1, 2, 5) if decade < high else (1,):
            y = step * 10.0**decade
            pen.line([place(0, y), place(1, y)], GRID, 2)
            pen.text((2 * LEFT - 14, place(0, y)[1]), f"{y:g}", INK, large, anchor="rm")
    for tenth in range(0, 11, 1):
        x = tenth / 10
        pen.line([place(x, 10.0**low), place(x, 10.0**high)], GRID, 2)
        if tenth % 2 == 0:
            pen.text((place(x, 10.0**low)[0], 2 * (HEIGHT - BOTTOM) + 10), f"{x:.0%}", INK, large, anchor="mt")
    pen.text((place(0.5, 1)[0], 2 * HEIGHT - 20), x_label, INK, large, anchor="mb")
    pen.text((2 * LEFT, 2 * TOP - 12), y_label, INK, large, anchor="lb")
    for number, line in enumerate(lines):
        colour = COLOURS[line.is_dark]
        points = [place(x, y) for x, y in zip(line.xs, line.ys)]
        for pair in segments(points, line.is_dashed, 14):
            pen.line(pair, colour, 5)
        for x, y in points:
            pen.ellipse((x - 7, y - 7, x + 7, y + 7), fill=colour)
        y = 2 * TOP + 24 + 40 * number
        legend = [(2 * (WIDTH - RIGHT + 14), y), (2 * (WIDTH - RIGHT + 44), y)]
        for pair in segments(legend, line.is_dashed, 14):
            pen.line(pair, colour, 5)
        pen.text((2 * (WIDTH - RIGHT + 52), y), line.name, INK, large, anchor="lm")
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
