# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Chooses PyTorch or NumPy for a command."""

from .config import VditError


def add_backend(parser):
    parser.add_argument("--backend", choices=("numpy", "torch"), default="numpy", help="(default: numpy)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of PyTorch (default: cpu)")


def dense_attention(backend):
    """The backend's own full attention."""
    if backend == "numpy":
        from .dit_numpy import dense
    else:
        from .dit import dense
    return dense


def check_device(device):
    """Refuses cuda where PyTorch has none."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise VditError("device: expected one that PyTorch finds, but it finds no CUDA")


def make_sampler(weights, config, backend="numpy", device="cpu", attention=None):
    """What flow.sample needs; `attention` as `dense` of dit.py or dit_numpy.py, on the backend's arrays."""
    if backend == "numpy":
        if device != "cpu":
            raise VditError(f"device: expected cpu with NumPy, but got {device}")
        from . import dit_numpy

        return dit_numpy.Sampler(weights, config, attention or dit_numpy.dense)
    from . import dit

    check_device(device)
    return dit.Sampler(weights, config, device, attention or dit.dense)
