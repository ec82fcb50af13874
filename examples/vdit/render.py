# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training clips: scenes of motions.py drawn by PyTorch, on the CPU or on a GPU. Nothing is stored but the textures."""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from .config import CLASSES, PATCH
from .motions import OBJECTS, TEXTURES, draw_looks, draw_scenes

TEXTURE_FILE = pathlib.Path(__file__).parent / "textures.jpg"
TILE = 256


def load_textures(path=TEXTURE_FILE):
    """The tiles of the picture, 4 beside each other and 2 rows: float32 [8, 3, 256, 256], -1 to 1."""
    from PIL import Image

    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB")))
    tiles = pixels.unflatten(0, (-1, TILE)).unflatten(2, (-1, TILE)).permute(0, 2, 4, 1, 3).flatten(0, 1)
    assert tiles.shape == (TEXTURES, 3, TILE, TILE)
    return tiles.float() / 127.5 - 1


class Renderer:
    """Clips from random numbers. The same seed gives the same scenes on every device and for every grid."""

    def __init__(self, textures, device="cpu"):
        self.textures, self.device, self.levels = textures.to(device), device, {}

    def clips(self, seed, labels, grid):
        """seed: int or list of int; labels [B] -> tokens float32 [B, N, C]."""
        t, h, w = grid
        video = self.video(seed, np.asarray(labels), t, PATCH * h, PATCH * w)
        patches = video.unflatten(3, (w, PATCH)).unflatten(2, (h, PATCH))  # [B, t, h, 4, w, 4, 3]
        return patches.transpose(3, 4).reshape(len(labels), t * h * w, -1)

    def video(self, seed, labels, frames, height, width):
        """float32 [B, frames, height, width, 3], -1 to 1."""
        random = np.random.default_rng(seed)
        scenes, looks = draw_scenes(random, labels, frames), draw_looks(random, len(labels))
        centre, angle, radius, camera = map(self.tensor, vars(scenes).values())
        texture, crop, tint, lobes = map(self.tensor, vars(looks).values())
        world = self.pixels(height, width) * camera[:, :, None, None, 2:] + camera[:, :, None, None, :2]
        picture = self.paint(texture[:, 0], crop[:, 0], tint[:, 0], world, 1.4 * height)
        for slot in range(OBJECTS):
            own = (world - centre[:, :, slot, None, None]) / radius[:, :, slot, None, None, None].clamp(min=1e-3)
            own = turn(own, -angle[:, :, slot])
            edge = radius[:, :, slot, None, None] / camera[:, :, None, None, 2] * height / 2  # pixels per unit of `own`
            inside = outline(own, lobes[:, slot]) * edge
            alpha = (inside + 0.5).clamp(0, 1) * (edge > 0.5)
            paint = self.paint(texture[:, slot + 1], crop[:, slot + 1], tint[:, slot + 1], own, 0.7 * height)
            shade = 1 - 0.6 * (1 - inside / edge.clamp(min=1e-3) / 0.15).clamp(0, 1)  # a dark rim
            paint = (paint + 1) * shade[..., None] - 1
            picture = picture + alpha[..., None] * (paint - picture)
        return picture

    def tensor(self, array):
        """A NumPy array of any shape, on the device."""
        return torch.from_numpy(array).to(self.device)

    def pixels(self, height, width):
        """The centres of the pixels, x and y: [height, width, 2]."""
        y = (torch.arange(height, device=self.device) + 0.5) * (2 / height) - 1
        x = ((torch.arange(width, device=self.device) + 0.5) * (2 / width) - 1) * (width / height)
        return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)

    def paint(self, texture, crop, tint, own, size):
        """Colours at own [B, T, H, W, 2] of textures [B] with crop [B, 4] and tint [B, 2, 3]: [B, T, H, W, 3]."""
        tiles = self.level(round(min(size, TILE)))[texture]
        place = turn(own, crop[:, None, 0].expand(own.shape[:2])) * crop[:, 1, None, None, None, None]
        place = (place + crop[:, 2:, None, None, None].permute(0, 2, 3, 4, 1)).flatten(1, 2)
        colour = F.grid_sample(tiles, place, mode="bilinear", padding_mode="reflection", align_corners=False)
        colour = colour.permute(0, 2, 3, 1).reshape(*own.shape[:-1], 3)
        tint = tint[:, :, None, None, None]
        return (colour * tint[:, 0] + tint[:, 1]).clamp(-1, 1)

    def level(self, size):
        """The textures reduced to [8, 3, size, size], so that they do not alias."""
        if size not in self.levels:
            self.levels[size] = F.interpolate(self.textures, (size, size), mode="bilinear", antialias=True)
        return self.levels[size]


def turn(place, angle):
    """Rotates place [B, T, H, W, 2] by angle [B, T] -> [B, T, H, W, 2]."""
    cos, sin = angle.cos()[:, :, None, None], angle.sin()[:, :, None, None]
    x, y = place.unbind(-1)
    return torch.stack([x * cos - y * sin, x * sin + y * cos], -1)


def outline(own, lobes):
    """How far inside an outline of radius 1 with bumps, lobes [B, 2], own [B, T, H, W, 2] is: [B, T, H, W]."""
    number, bump = lobes[:, None, None, None].unbind(-1)
    return 1 + bump * torch.cos(number * torch.atan2(own[..., 1], own[..., 0])) - own.norm(dim=-1)


def random_labels(seed, count):
    """The classes of `count` clips [count]; seed: list of int."""
    return np.random.default_rng([*seed, 1]).integers(0, len(CLASSES), count)
