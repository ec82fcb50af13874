# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether a grid fits into memory, asked before anything is computed."""

import pathlib

from .config import VditError, grid_name, tokens_of

GIB = 2**30


def bytes_needed(config, grid, clips):
    """About what a call of the model holds at once: float32 activations, and 1024 rows of scores."""
    tokens = tokens_of(grid)
    channels = 6 * config.width + 2 * config.hidden
    return 4 * tokens * (clips * channels + 2 * 1024)


def bytes_available(device=None):
    """Free bytes of a CUDA device, or of this machine; None where that is not known."""
    if device is not None and device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return min((free for free in (machine_bytes(), container_bytes()) if free is not None), default=None)


def machine_bytes():
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    info = dict(line.split(":") for line in lines)
    return int(info["MemAvailable"].split()[0]) * 1024


def container_bytes(folder=pathlib.Path("/sys/fs/cgroup")):
    """What a container's limit leaves, by version 2 or 1 of control groups; None without a limit."""
    for limit, used in ((folder / "memory.max", "anon"), (folder / "memory" / "memory.limit_in_bytes", "total_rss")):
        try:
            most = int(limit.read_text())
            lines = limit.with_name("memory.stat").read_text().splitlines()
            return max(0, most - int(dict(line.split() for line in lines)[used]))
        except (OSError, ValueError, KeyError):  # no such file, or "max"
            continue
    return None


def check_memory(model, grid, clips):
    """Refuses to call the model for so many clips at once."""
    available = bytes_available(getattr(model, "device", None))
    check_bytes(bytes_needed(model.config, grid, clips), available, grid, f"{clips} clips at once")


def check_bytes(needed, available, grid, what):
    if available is not None and needed > available:
        raise VditError(
            f"grid {grid_name(grid)}: expected a grid that fits into {available / GIB:.1f} GiB of free memory, "
            f"but this one needs about {needed / GIB:.1f} GiB for {what}"
        )
