# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Videos as pictures: sheets with a row per clip, and GIFs."""

import numpy as np
from PIL import Image, ImageDraw

MARGIN = 2
LABEL = 48


def to_bytes(video):
    """float, -1 to 1 -> uint8 of the same shape."""
    return np.clip(np.round((np.asarray(video, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def sheet(videos, names, columns=8):
    """A row for each of videos [B, t, H, W, 3], named on its left, with evenly spread frames from left to right."""
    videos = to_bytes(videos)
    frames = np.linspace(0, videos.shape[1] - 1, min(columns, videos.shape[1])).round().astype(int)
    height, width = videos.shape[2] + MARGIN, videos.shape[3] + MARGIN
    picture = Image.new("RGB", (LABEL + width * len(frames), height * len(videos)), "white")
    draw = ImageDraw.Draw(picture)
    for row, (video, name) in enumerate(zip(videos, names)):
        draw.text((2, row * height + height // 2 - 6), name, fill="black")
        for column, frame in enumerate(frames):
            picture.paste(Image.fromarray(video[frame]), (LABEL + column * width, row * height))
    return picture


def save_gif(path, video, scale=2, milliseconds=120):
    """video [t, H, W, 3], in a loop."""
    frames = [Image.fromarray(frame) for frame in to_bytes(video)]
    frames = [frame.resize((frame.width * scale, frame.height * scale), Image.Resampling.NEAREST) for frame in frames]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
