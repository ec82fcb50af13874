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


def curve(series, width=640, height=320):
    """Lines of means over 50 points, the y axis logarithmic; series: name -> (x, y), lists of at least 50."""
    ink = {name: colour for name, colour in zip(series, ("black", "#c04020", "#2060c0"))}
    means = {name: smooth(np.array(x, float), np.array(y, float)) for name, (x, y) in series.items()}
    low, high = (edge(np.concatenate([y for _, y in means.values()])) for edge in (np.min, np.max))
    right = max(x.max() for x, _ in means.values())
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    for value in (low, (low * high) ** 0.5, high):
        place = height - 20 - (height - 40) * np.log(value / low) / np.log(high / low)
        pen.line((40, place, width, place), fill="#dddddd")
        pen.text((2, place - 6), f"{value:.3f}", fill="black")
    for row, (name, (x, y)) in enumerate(means.items()):
        across, up = 40 + (width - 50) * x / right, (height - 40) * np.log(y / low) / np.log(high / low)
        pen.line(list(zip(across, height - 20 - up)), fill=ink[name], width=2)
        pen.text((width - 90, 10 + 14 * row), name, fill=ink[name])
    pen.text((width - 90, height - 14), f"step {right:.0f}", fill="black")
    return picture


def smooth(x, y, window=50):
    """Means over windows of x, y [n]: two arrays [n / window]."""
    count = len(x) // window * window
    return tuple(values[:count].reshape(-1, window).mean(1) for values in (x, y))
