# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The transformer in PyTorch.

B clips, N = t*h*w tokens in raster order, D = width, H heads of d channels. A token is a patch of 4 x 4 pixels of 3
colours: C = 48.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .config import CHANNELS, Config
from .rope import rotary, size_features, time_frequencies


def dense(q, k, v, place):
    """Full attention: q, k, v [B, H, N, d] -> [B, H, N, d]. Any such function can take its place."""
    return F.scaled_dot_product_attention(q, k, v)


def rms_norm(x):
    """x [..., D] at root mean square 1 -> [..., D]."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)


def rotate(x, cos, sin):
    """Turns the channel pairs of x [B, H, N, d] by the angles of cos, sin [N, d/2] -> [B, H, N, d]."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Block(nn.Module):
    """Attention and a two-layer network, each with a shift, scale and gate from time and class (adaLN)."""

    def __init__(self, config):
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.modulation = nn.Parameter(torch.zeros(len(config.classes) + 1, 6 * width))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_gain = nn.Parameter(torch.ones(config.head_dim))
        self.k_gain = nn.Parameter(torch.ones(config.head_dim))
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, config.hidden)
        self.down = nn.Linear(config.hidden, width)

    def forward(self, x, shared, label, cos, sin, attention, place):
        """x [B, N, D], shared [B, 6 D] the same for all blocks, label [B], cos and sin [N, d/2] -> [B, N, D]."""
        modulation = (shared + self.modulation[label])[:, None].chunk(6, -1)
        shift, scale, gate = modulation[:3]
        x = x + gate * self.attend(rms_norm(x) * (1 + scale) + shift, cos, sin, attention, place)
        shift, scale, gate = modulation[3:]
        return x + gate * self.down(F.gelu(self.up(rms_norm(x) * (1 + scale) + shift), approximate="tanh"))

    def attend(self, x, cos, sin, attention, place):
        """x [B, N, D], cos and sin [N, d/2] -> [B, N, D]. q and k are normalised, scaled per channel, then turned."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B, H, N, d]
        q = rotate(rms_norm(q) * self.q_gain, cos, sin).to(v.dtype)
        k = rotate(rms_norm(k) * self.k_gain, cos, sin).to(v.dtype)
        return self.out(attention(q, k, v, place).transpose(1, 2).flatten(2))


class Dit(nn.Module):
    """Predicts the video from a noisy one."""

    def __init__(self, config=Config()):
        super().__init__()
        self.config = config
        width = config.width
        self.patch = nn.Linear(CHANNELS, width)
        self.time_in, self.time_out = nn.Linear(width, width), nn.Linear(width, width)
        self.class_table = nn.Parameter(torch.zeros(len(config.classes) + 1, width))
        self.size = nn.Linear(3, width, bias=False)
        self.modulate = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.final_modulate = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, CHANNELS)
        self.positions = {}

    def condition(self, time, label, grid):
        """time [B] in 0 to 1, label [B] -> [B, D]."""
        angle = time[:, None] * self.constant(time_frequencies(self.config.width), time)
        feature = self.time_out(F.silu(self.time_in(torch.cat([angle.cos(), angle.sin()], -1))))
        return F.silu(feature + self.class_table[label] + self.size(self.constant(size_features(grid), time)))

    def forward(self, z, time, label, place, attention=dense, trace=True):
        """z [B, N, C] at time [B] with label [B] -> the video's tokens [B, N, C].

        `trace` gives each attention its place; without it the blocks can be compiled as one.
        """
        cos, sin = self.rotary(place.grid, z)
        condition = self.condition(time, label, place.grid)
        shared = self.modulate(condition)
        x = self.patch(z).float()
        for layer, block in enumerate(self.blocks):
            x = block(x, shared, label, cos, sin, attention, place.at(layer) if trace else None)
        shift, scale = self.final_modulate(condition)[:, None].chunk(2, -1)
        return self.final(rms_norm(x) * (1 + scale) + shift)

    def rotary(self, grid, like):
        """cos, sin [N, d/2] on the device of `like`; kept for the next call."""
        key = grid, like.device
        if key not in self.positions:
            self.positions[key] = [self.constant(table, like) for table in rotary(grid, self.config.rope)]
        return self.positions[key]

    @staticmethod
    def constant(array, like):
        """A NumPy array of any shape, on the device of `like`."""
        return torch.from_numpy(array).to(like.device)


class Sampler:
    """What flow.sample needs of a model, with PyTorch on one device; `attention` as in `dense`, on its tensors."""

    def __init__(self, weights, config, device="cpu", attention=dense):
        self.model = Dit(config).to(device).eval()
        self.model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self.config, self.device, self.attention = config, torch.device(device), attention

    @torch.inference_mode()
    def predict(self, z, time, label, place):
        """float32 z [B, N, C] at one time, labels [B] -> float32 [B, N, C], all NumPy."""
        z, label = (torch.from_numpy(array).to(self.device) for array in (z, label))
        times = torch.full((len(z),), time, device=self.device)
        return self.model(z, times, label, place, self.attention).float().cpu().numpy()
