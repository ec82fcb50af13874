# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small weight files for the tests, whole ones and others."""

import json
import struct

import numpy as np

from vdit.config import Config, shapes
from vdit.weights import FORMAT

TINY = Config(width=64, depth=2, heads=2, hidden=128, rope=(8, 12, 12))


def header(metadata=None, sizes=None, **changed):
    """The header of a whole file; `changed` tensors have another shape, or None for leaving them out.

    `sizes` are other ones in the metadata.
    """
    about = {name: getattr(TINY, name) for name in ("width", "depth", "heads", "hidden", "rope", "classes")}
    about |= sizes or {}
    result = {"__metadata__": metadata or {"format": FORMAT, "config": json.dumps(about)}}
    start = 0
    for name, shape in (shapes(TINY) | changed).items():
        if shape is not None:
            end = start + 2 * int(np.prod(shape))
            result[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
            start = end
    return result, start


def write(path, metadata=None, cut=0, sizes=None, **changed):
    """A weight file of normally distributed numbers; the last `cut` bytes are missing."""
    about, size = header(metadata, sizes, **changed)
    text = json.dumps(about).encode()
    values = np.random.default_rng(1).standard_normal(size // 2, np.float32) * np.float32(0.1)
    data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    path.write_bytes((struct.pack("<Q", len(text)) + text + data)[: -cut or None])
