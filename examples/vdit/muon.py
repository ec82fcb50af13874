# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Muon: momentum whose matrices are made orthogonal, for the weights inside of the blocks."""

import torch


def orthogonal(matrices):
    """[n, rows, columns] -> the nearest matrices with singular values near 1, by five steps of Newton and Schulz."""
    x = matrices.bfloat16()
    wide = x.shape[1] < x.shape[2]
    x = x.mT if wide else x  # the smaller of the two squares
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        square = x.mT @ x
        x = 3.4445 * x + x @ (-4.7750 * square + 2.0315 * square @ square)
    return x.mT if wide else x


class Muon(torch.optim.Optimizer):
    """One group per shape, so that a step is a few batched products. An update has root mean square 0.2 lr."""

    def __init__(self, parameters, lr, momentum=0.95, decay=0.05):
        shapes = {}
        for parameter in parameters:
            shapes.setdefault(tuple(parameter.shape), []).append(parameter)
        groups = [{"params": group} for group in shapes.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            parameters, lr = group["params"], group["lr"]
            moments = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
            gradients = [p.grad for p in parameters]
            torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(moments, gradients, 1 - group["momentum"])
            update = orthogonal(torch.stack(ahead)).to(parameters[0].dtype)
            size = 0.2 * max(parameters[0].shape) ** 0.5
            torch._foreach_mul_(parameters, 1 - lr * group["decay"])
            torch._foreach_add_(parameters, list(update.unbind()), alpha=-lr * size)
