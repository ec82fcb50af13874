# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes textures.jpg from photographs that scikit-image ships, each CC0 or in the public domain.

    python -m vdit.make_textures FOLDER      FOLDER: the folder `data` of the installed package skimage
"""

import pathlib

from PIL import Image

from .command import Parser, guard
from .render import TEXTURE_FILE, TILE

# File, and the left, upper and side of the square that is taken.
CROPS = (
    ("retina.jpg", 380, 380, 650), ("brick.png", 0, 0, 400), ("chelsea.png", 90, 0, 300), ("coffee.png", 100, 20, 380),
    ("grass.png", 0, 0, 300), ("gravel.png", 0, 0, 400), ("hubble_deep_field.jpg", 100, 100, 500),
    ("rocket.jpg", 110, 0, 427),
)  # fmt: skip


def run(options):
    picture = Image.new("RGB", (4 * TILE, 2 * TILE))
    for index, (name, left, upper, side) in enumerate(CROPS):
        box = (left, upper, left + side, upper + side)
        tile = Image.open(options.folder / name).convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS, box)
        picture.paste(tile, (index % 4 * TILE, index // 4 * TILE))
    picture.save(TEXTURE_FILE, quality=85)


def main(arguments=None):
    parser = Parser(prog="make_textures.py", description="Makes textures.jpg.")
    parser.add_argument("folder", type=pathlib.Path, help="the folder `data` of the installed package skimage")
    guard("make_textures.py", run, parser.parse_args(arguments))


if __name__ == "__main__":
    main()
