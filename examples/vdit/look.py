# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Draws where one token looks: a row for each head of some dumps, with the frames from left to right.

    python -m vdit.look OUT.png --token=3,8,8 activations/layer4-step20.safetensors ...

Each map is t x h x w probabilities, darkest at a head's largest; the token itself is framed.
"""

import pathlib

import numpy as np
from PIL import Image, ImageDraw
from safetensors import SafetensorError, safe_open

from .command import Parser, guard, output, several, whole
from .config import VditError
from .head_pictures import colours
from .statistics import probabilities

SIDE = 80  # pixels of a frame
LABEL = 96


def read_dump(path):
    """q, k [heads, N, d], the grid and the metadata of a file of dump.py."""
    try:
        with safe_open(path, "np") as file:
            about = file.metadata() or {}
            grid = tuple(map(int, about["grid"].split("x")))
            q, k = (file.get_tensor(name)[0].astype(np.float32) for name in "qk")
            return q, k, grid, about
    except KeyError as error:
        raise VditError(f"{path}: expected a file of dump.py, but its metadata has no {error}") from error
    except (OSError, SafetensorError) as error:
        raise VditError(f"{path}: expected a file of dump.py, but got: {error}") from error


def maps(paths, token):
    """Name -> probabilities [t, h, w] of the token's keys; token: t, h, w."""
    result = {}
    for path in paths:
        q, k, grid, about = read_dump(path)
        if len(token) != 3 or any(place >= size for place, size in zip(token, grid)):
            raise VditError(f"token: expected t,h,w within {about['grid']}, but got {','.join(map(str, token))}")
        row = np.array([np.ravel_multi_index(token, grid)])
        for index, head in enumerate(about["heads"].split(",")):
            name = f"{about['layer']}.{head}, step {about['step']}"
            result[name] = probabilities(q[index], k[index], row).reshape(grid)
    return result


def draw(named, token, video=None):
    """The picture; `video` [t, H, W, 3], -1 to 1, stands above the maps."""
    frames = next(iter(named.values())).shape[0]
    rows = [(name, [colours((p / values.max()) ** 0.5) for p in values]) for name, values in named.items()]
    if video is not None:
        rows.insert(0, ("video", list(np.clip((video + 1) * 127.5, 0, 255).astype(np.uint8))))
    picture = Image.new("RGB", (LABEL + frames * (SIDE + 2), len(rows) * (SIDE + 2)), "white")
    pen = ImageDraw.Draw(picture)
    _, height, width = next(iter(named.values())).shape
    for row, (name, tiles) in enumerate(rows):
        y = row * (SIDE + 2)
        pen.text((2, y + SIDE // 2 - 6), name, fill="black")
        for frame, tile in enumerate(tiles):
            place = Image.fromarray(tile).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            picture.paste(place, (LABEL + frame * (SIDE + 2), y))
        left, up = LABEL + token[0] * (SIDE + 2) + token[2] * SIDE / width, y + token[1] * SIDE / height
        pen.rectangle((left - 1, up - 1, left + SIDE / width, up + SIDE / height), outline="#e02020")
    return picture


def run(options):
    named = maps(options.dumps, options.token)
    video = None if options.video is None else np.load(options.video)[0]
    draw(named, options.token, video).save(options.out)


def main(arguments=None):
    parser = Parser(prog="look.py", description="Draws where one token looks.")
    parser.add_argument("out", type=output(".png"), help="a .png file")
    parser.add_argument("dumps", nargs="+", type=pathlib.Path, help="files of dump.py")
    parser.add_argument("--token", type=several(whole(0, 9999)), default=[3, 8, 8], help="t,h,w (default: 3,8,8)")
    parser.add_argument("--video", type=pathlib.Path, help="an .npy file of sample.py, for its first video")
    guard("look.py", run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
