# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights as a safetensors file in bfloat16; reading needs no PyTorch."""

import json
import pathlib

import numpy as np
import safetensors

from .config import Config, VditError, shapes

FORMAT = "weft-vdit-1"
WEIGHTS = pathlib.Path(__file__).parent / "weights.safetensors"


def widen(data):
    """bytes of bfloat16 -> float32 [n]."""
    return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)


def save_weights(path, weights, config, metadata=None):
    """weights: name -> PyTorch tensor. `metadata` are further words for the header."""
    from safetensors.torch import save_file

    about = {"width": config.width, "depth": config.depth, "heads": config.heads, "hidden": config.hidden}
    about |= {"rope": config.rope, "classes": config.classes}
    header = {"format": FORMAT, "config": json.dumps(about), **(metadata or {})}
    save_file({name: tensor.bfloat16().contiguous().cpu() for name, tensor in weights.items()}, path, header)


def load_weights(path=WEIGHTS):
    """weights, config: name -> float32 array, and the Config that the file was made with."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise VditError(f"weights: expected a file, but '{path}' is none")
    data = path.read_bytes()
    try:
        tensors = safetensors.deserialize(data)
        with safetensors.safe_open(path, "np") as file:
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise VditError(f"{path}: expected a whole safetensors file of {len(data)} bytes, but got: {error}") from error
    config = read_config(path, metadata)
    return check_weights(path, dict(tensors), config), config


def read_config(path, metadata):
    if metadata.get("format") != FORMAT:
        raise VditError(f"{path}: expected metadata with format {FORMAT}, but got {metadata.get('format')}")
    try:
        about = json.loads(metadata["config"])
        config = Config(**about | {name: tuple(about[name]) for name in ("rope", "classes")})
    except (KeyError, TypeError, ValueError) as error:
        raise VditError(f"{path}: expected the model's sizes in the metadata, but got: {error}") from error
    if not config.valid():
        got = ", ".join(f"{name} {about[name]}" for name in about if name != "classes")
        raise VditError(f"{path}: expected heads and RoPE groups that divide the width, but got {got}")
    return config


def check_weights(path, tensors, config):
    """Every tensor that the sizes demand, in its shape, and no other: name -> float32 array."""
    expected = shapes(config)
    for name in sorted(expected.keys() - tensors.keys()):
        raise VditError(f"{path}: expected a tensor {name}, but there is none")
    for name, tensor in sorted(tensors.items()):
        got = f"{tensor['dtype']} {list(tensor['shape'])}"
        if name not in expected:
            raise VditError(f"{path}: expected no tensor {name}, but got {got}")
        if got != f"BF16 {list(expected[name])}":
            raise VditError(f"{path}: expected {name} to be BF16 {list(expected[name])}, but got {got}")
    return {name: widen(tensor["data"]).reshape(tensor["shape"]) for name, tensor in tensors.items()}
