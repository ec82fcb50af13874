# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What moves how: one function per class gives the paths of n scenes. NumPy.

The canvas goes from -1 to 1 along x (right) and y (down); `time` [T] goes from 0 to 1. A scene has OBJECTS slots, of
which the later ones lie in front; a radius of 0 leaves a slot empty. Clips of all sizes and lengths show the same
scene.
"""

import dataclasses
import math

import numpy as np

from .config import CLASSES

OBJECTS = 5
TEXTURES = 8


@dataclasses.dataclass
class Scenes:
    """n scenes of T frames, K = OBJECTS slots."""

    centre: np.ndarray  # [n, T, K, 2]
    angle: np.ndarray  # [n, T, K]
    radius: np.ndarray  # [n, T, K]
    camera: np.ndarray  # [n, T, 3]: shift x, shift y, zoom (canvas units per unit of the picture)


class Draw:
    """Random numbers for n scenes, and empty scenes to fill."""

    def __init__(self, random, n, time):
        self.random, self.n, self.time = random, n, time[None, :]  # time [1, T]
        shape = n, time.size, OBJECTS
        self.scenes = Scenes(np.zeros((*shape, 2)), np.zeros(shape), np.zeros(shape), np.zeros((*shape[:2], 3)))
        self.scenes.camera[:] = self.drift()

    def between(self, low, high):
        """[n, 1]"""
        return self.random.uniform(low, high, (self.n, 1))

    def sign(self):
        return self.random.choice([-1.0, 1.0], (self.n, 1))

    def chance(self, share):
        return (self.random.random((self.n, 1)) < share).astype(float)

    def drift(self):
        """A slow camera in half of the scenes: [n, T, 3]."""
        some = self.chance(0.5)
        x, y, zoom = (some * self.between(-limit, limit) * self.time for limit in (0.15, 0.15, 0.06))
        return np.stack([x, y, 1 + zoom], -1)

    def place(self, slot, x, y, radius, angle=0.0):
        """Fills one slot; each argument is [n, 1] or [n, T]."""
        scenes = self.scenes
        scenes.centre[:, :, slot, 0], scenes.centre[:, :, slot, 1] = x, y
        scenes.radius[:, :, slot], scenes.angle[:, :, slot] = radius, angle

    def size(self):
        return self.between(0.26, 0.42)

    def tilt(self):
        return self.between(0, 2 * math.pi)


def translate(draw, dx, dy):
    """One or two objects in the same direction, the second one slower."""
    for slot, share in ((0, 1.0), (1, 0.5)):
        length = draw.between(1.0, 1.5) * (1 - 0.3 * slot)
        along = length * (draw.time - 0.5) + draw.between(-0.15, 0.15)
        across = draw.between(-0.55, 0.55)
        x, y = (dx * along, across) if dx else (across, dy * along)
        draw.place(slot, x, y, draw.size() * draw.chance(share), draw.tilt())


def spin(draw):
    """On the spot, half a turn or more."""
    turn = draw.sign() * draw.between(1.0, 1.8) * math.pi
    x, y, radius = draw.between(-0.3, 0.3), draw.between(-0.3, 0.3), draw.between(0.45, 0.65)
    draw.place(0, x, y, radius, draw.tilt() + turn * draw.time)


def scale(draw, grows):
    """A radius from small to large, or the other way round."""
    small, large = draw.between(0.14, 0.2), draw.between(0.55, 0.8)
    share = draw.time if grows else 1 - draw.time
    radius = small * (large / small) ** share
    draw.place(0, draw.between(-0.35, 0.35), draw.between(-0.35, 0.35), radius, draw.tilt())


def bounce(draw):
    """A ball on the floor: arcs of a parabola, drifting sideways."""
    phase = draw.between(0, 1) + draw.between(1.2, 1.8) * draw.time
    arc = phase % 1
    x = draw.between(-0.4, 0.4) + draw.sign() * draw.between(0.2, 0.6) * (draw.time - 0.5)
    radius = draw.between(0.24, 0.34)
    draw.place(0, x, 0.95 - radius - draw.between(0.9, 1.3) * 4 * arc * (1 - arc), radius, draw.tilt())


def orbit(draw):
    """A satellite around a body that rests."""
    x, y, far = draw.between(-0.15, 0.15), draw.between(-0.15, 0.15), draw.between(0.6, 0.72)
    draw.place(0, x, y, draw.between(0.24, 0.34), draw.tilt())
    angle = draw.tilt() + draw.sign() * draw.between(1.2, 1.8) * math.pi * draw.time
    draw.place(1, x + far * np.cos(angle), y + far * np.sin(angle), draw.between(0.18, 0.24), draw.tilt())


def swing(draw):
    """A pendulum that hangs from the upper edge."""
    length = draw.between(1.1, 1.4)
    angle = draw.between(0.5, 0.7) * np.cos(draw.tilt() + draw.between(0.7, 1.1) * 2 * math.pi * draw.time)
    x = draw.between(-0.2, 0.2)
    draw.place(0, x + length * np.sin(angle), -0.9 + length * np.cos(angle), draw.between(0.26, 0.36), -angle)


def cross(draw):
    """Two objects in opposite directions, the second one passing in front."""
    y, way = draw.between(-0.4, 0.4), draw.sign()
    for slot in (0, 1):
        along = way * (1 - 2 * slot) * draw.between(1.1, 1.5) * (draw.time - 0.5)
        draw.place(slot, along, y + draw.between(-0.15, 0.15), draw.size(), draw.tilt())


def hide(draw):
    """An object passes behind one that rests."""
    y = draw.between(-0.3, 0.3)
    draw.place(0, draw.sign() * draw.between(1.3, 1.6) * (draw.time - 0.5), y, draw.between(0.22, 0.32), draw.tilt())
    draw.place(1, draw.between(-0.2, 0.2), y + draw.between(-0.1, 0.1), draw.between(0.42, 0.52), draw.tilt())


def roll(draw):
    """A wheel: it turns as far as it moves."""
    radius = draw.between(0.34, 0.48)
    x = draw.sign() * draw.between(1.1, 1.5) * (draw.time - 0.5)
    draw.place(0, x, 0.9 - radius, radius, draw.tilt() + x / radius)


def swarm(draw):
    """Small objects, each with its own velocity."""
    for slot in range(OBJECTS):
        x, y = (draw.between(-0.75, 0.75) + draw.between(-0.8, 0.8) * (draw.time - 0.5) for _ in range(2))
        draw.place(slot, x, y, draw.between(0.14, 0.22), draw.tilt())


def still_life(draw, reach):
    """Three objects that rest in the world."""
    for slot in range(3):
        draw.place(slot, draw.between(-reach, reach), draw.between(-reach, reach), draw.size(), draw.tilt())


def pan(draw):
    """The camera goes sideways past objects that rest."""
    still_life(draw, 1.1)
    direction, length = draw.tilt(), draw.between(1.1, 1.5) * (draw.time - 0.5)
    draw.scenes.camera[..., 0] = np.cos(direction) * length
    draw.scenes.camera[..., 1] = np.sin(direction) * length
    draw.scenes.camera[..., 2] = 1


def zoom(draw):
    """The camera comes nearer or goes back."""
    still_life(draw, 0.7)
    near, far, nearer = draw.between(0.5, 0.65), draw.between(1.1, 1.4), draw.chance(0.5)
    share = nearer * draw.time + (1 - nearer) * (1 - draw.time)
    draw.scenes.camera[..., :2] = 0
    draw.scenes.camera[..., 2] = far * (near / far) ** share


MOTIONS = {
    "left": lambda draw: translate(draw, -1, 0), "right": lambda draw: translate(draw, 1, 0),
    "up": lambda draw: translate(draw, 0, -1), "down": lambda draw: translate(draw, 0, 1),
    "spin": spin, "grow": lambda draw: scale(draw, True), "shrink": lambda draw: scale(draw, False),
    "bounce": bounce, "orbit": orbit, "swing": swing, "cross": cross, "hide": hide, "roll": roll, "swarm": swarm,
    "pan": pan, "zoom": zoom,
}  # fmt: skip


def draw_scenes(random, labels, frames):
    """The Scenes of labels [n], float32; `random` is a NumPy generator."""
    time = np.linspace(0, 1, frames) if frames > 1 else np.array([0.5])
    result = Draw(random, len(labels), time).scenes
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        draw = Draw(random, len(rows), time)
        MOTIONS[CLASSES[label]](draw)
        for field in dataclasses.fields(Scenes):
            getattr(result, field.name)[rows] = getattr(draw.scenes, field.name)
    return Scenes(*(getattr(result, field.name).astype(np.float32) for field in dataclasses.fields(Scenes)))


@dataclasses.dataclass
class Looks:
    """How the background (slot 0) and the objects (slots 1 to K) of n scenes look, L = K + 1."""

    texture: np.ndarray  # [n, L], the background's is none of the objects'
    crop: np.ndarray  # [n, L, 4]: texture coordinates are angle, zoom and shift of the object's own
    tint: np.ndarray  # [n, L, 2, 3]: factor and summand of each colour
    lobes: np.ndarray  # [n, K, 2]: number and height of the bumps of the outline


def draw_looks(random, n):
    layers = OBJECTS + 1
    background = random.integers(0, TEXTURES, (n, 1))
    others = (background + random.integers(1, TEXTURES, (n, OBJECTS))) % TEXTURES
    zoom = np.concatenate([random.uniform(0.55, 0.75, (n, 1)), random.uniform(0.25, 0.4, (n, OBJECTS))], 1)
    shift = random.uniform(-1, 1, (2, n, layers)) * (1 - zoom) * 0.8
    crop = np.stack([random.uniform(-math.pi, math.pi, (n, layers)) * 0.25, zoom, *shift], -1)
    factor = random.uniform(0.7, 1.1, (n, layers, 1)) * random.uniform(0.6, 1.25, (n, layers, 3))
    summand = random.uniform(-0.15, 0.15, (n, layers, 1)) + random.uniform(-0.25, 0.25, (n, layers, 3))
    number = random.choice([2.0, 3.0, 4.0, 5.0], (n, OBJECTS))
    lobes = np.stack([number, random.choice([0.0, 0.12, 0.2], (n, OBJECTS))], -1)
    tint = np.stack([factor, summand], 2)
    return Looks(np.concatenate([background, others], 1), *(a.astype(np.float32) for a in (crop, tint, lobes)))
