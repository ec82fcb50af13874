# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all parts agree on: the classes, the sizes of the model, the place of an attention call, and the one error."""

import dataclasses
import math

CLASSES = (
    "left", "right", "up", "down", "spin", "grow", "shrink", "bounce",
    "orbit", "swing", "cross", "hide", "roll", "swarm", "pan", "zoom",
)  # fmt: skip
PATCH = 4  # a token is 4 x 4 pixels of one frame
CHANNELS = 3 * PATCH * PATCH


class VditError(Exception):
    """A mistake of the caller: one line that says what was expected and what came."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the transformer. `rope` splits a head's channels into the groups that turn with t, h and w."""

    width: int = 256
    depth: int = 8
    heads: int = 4
    hidden: int = 1024
    rope: tuple = (16, 24, 24)
    classes: tuple = CLASSES

    @property
    def head_dim(self):
        return self.width // self.heads

    def valid(self):
        """Whether the sizes are positive whole numbers that fit together."""
        sizes = self.width, self.depth, self.heads, self.hidden, *self.rope
        if any(type(size) is not int or size < 1 for size in sizes) or any(size % 2 for size in self.rope):
            return False
        return len(self.rope) == 3 and sum(self.rope) * self.heads == self.width and self.width % 2 == 0

    def index(self, name):
        """The number of a class."""
        if name not in self.classes:
            raise VditError(f"class: expected one of {', '.join(self.classes)}, but got '{name}'")
        return self.classes.index(name)

    def no_class(self):
        """The label of the model without a class, for classifier-free guidance."""
        return len(self.classes)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where in the model and in the sampling an attention is called. grid: (t, h, w); time: 1 is noise, 0 the video."""

    grid: tuple
    layer: int = 0
    step: int = 0
    steps: int = 1
    time: float = 1.0

    def at(self, layer):
        return dataclasses.replace(self, layer=layer)


def tokens_of(grid):
    return math.prod(grid)


def grid_name(grid):
    return "x".join(map(str, grid))


def shapes(config):
    """Name -> shape of every weight. A linear layer's weight is [out, in]."""
    width, classes = config.width, len(config.classes) + 1
    linear = {
        "patch": (width, CHANNELS), "time_in": (width, width), "time_out": (width, width),
        "modulate": (6 * width, width), "final_modulate": (2 * width, width), "final": (CHANNELS, width),
    }  # fmt: skip
    result = {"class_table": (classes, width), "size.weight": (width, 3)}
    for layer in range(config.depth):
        block = f"blocks.{layer}."
        result |= {block + "modulation": (classes, 6 * width), block + "qkv.weight": (3 * width, width)}
        result |= {block + "q_gain": (config.head_dim,), block + "k_gain": (config.head_dim,)}
        linear |= {block + "out": (width, width), block + "up": (config.hidden, width)}
        linear |= {block + "down": (width, config.hidden)}
    for name, shape in linear.items():
        result |= {name + ".weight": shape, name + ".bias": shape[:1]}
    return result
