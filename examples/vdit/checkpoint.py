# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The state of a training as safetensors files of limited size: weights in float32, all averages in bfloat16."""

import json
import pathlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from .config import VditError

PART_BYTES = 15 * 2**20


def state_of(model, average, optimizers):
    """Name -> tensor, and the same tensors to load into."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    state = {f"weight.{name}": parameter.data for parameter, name in names.items()}
    state |= {f"average.{name}": tensor for name, tensor in average.items()}
    for optimizer in optimizers:
        for parameter, values in optimizer.state.items():
            state |= {f"{key}.{names[parameter]}": value for key, value in values.items() if value.dim()}
    return state


def save_checkpoint(folder, state, step):
    """Writes part-0.safetensors, part-1.safetensors, ... and step.json."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts, room = [], 0
    for name, tensor in state.items():
        tensor = tensor.detach().cpu().contiguous()
        tensor = tensor if name.startswith("weight.") else tensor.bfloat16()
        if tensor.nbytes > room:
            parts.append({})
            room = PART_BYTES
        parts[-1][name] = tensor
        room -= tensor.nbytes
    for number, part in enumerate(parts):
        save_file(part, folder / f"part-{number}.safetensors")
    (folder / "step.json").write_text(json.dumps({"step": step, "parts": len(parts)}) + "\n")


def load_checkpoint(folder, model, average, optimizers):
    """Fills all three and returns the step."""
    folder = pathlib.Path(folder)
    if not (folder / "step.json").is_file():
        raise VditError(f"checkpoint: expected a folder with step.json, but '{folder}' has none")
    step, saved = read_parts(folder)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters():
        for key, target in ((f"weight.{name}", parameter.data), (f"average.{name}", average[name])):
            if key not in saved or saved[key].shape != target.shape:
                got = list(saved[key].shape) if key in saved else "none"
                raise VditError(f"checkpoint: expected {key} {list(target.shape)} in '{folder}', but got {got}")
            target.copy_(saved[key])
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                fill(optimizer, parameter, saved, names[parameter], step)
    return step


def read_parts(folder):
    """The step, and name -> tensor of all parts."""
    try:
        about = json.loads((folder / "step.json").read_text())
        step, parts = int(about["step"]), int(about["parts"])
    except (KeyError, TypeError, ValueError) as error:
        expected = f"expected the step and the number of parts in '{folder}/step.json'"
        raise VditError(f"checkpoint: {expected}, but got: {error}") from error
    saved = {}
    for number in range(parts):
        try:
            saved |= load_file(folder / f"part-{number}.safetensors")
        except (OSError, SafetensorError) as error:
            raise VditError(f"checkpoint: expected {parts} whole parts in '{folder}', but got: {error}") from error
    return step, saved


def fill(optimizer, parameter, saved, name, step):
    """The averages that this optimizer keeps for a parameter; what is not in the checkpoint begins anew."""
    keys = [key for key in ("momentum", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in saved]
    values = {key: saved[f"{key}.{name}"].to(parameter) for key in keys}
    if "exp_avg" in keys:
        values["step"] = torch.tensor(float(step), device=parameter.device)
    if values:
        optimizer.state[parameter] = values
