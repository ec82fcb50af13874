# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The transformer in NumPy alone, in float32. The same shapes and names as dit.py."""

import numpy as np

from .rope import rotary, size_features, time_frequencies

QUERIES = 1024  # rows of scores at a time


def dense(q, k, v, place):
    """Full attention: q, k, v float32 [B, H, N, d] -> [B, H, N, d]. Any such function can take its place."""
    out = np.empty_like(q)
    scale = np.float32(1 / np.sqrt(q.shape[-1]))
    for clip in np.ndindex(q.shape[:2]):
        keys, values = k[clip].T * scale, v[clip]
        for start in range(0, q.shape[2], QUERIES):
            rows = slice(start, start + QUERIES)
            scores = q[clip][rows] @ keys
            np.exp(scores - scores.max(-1, keepdims=True), out=scores)
            out[clip][rows] = scores @ values / scores.sum(-1, keepdims=True)
    return out


def rms_norm(x):
    """x [..., D] at root mean square 1 -> [..., D]."""
    return x / np.sqrt(np.mean(np.square(x), -1, keepdims=True) + np.float32(1e-6))


def silu(x):
    """Of each element; any shape."""
    return x / (1 + np.exp(-x))


def gelu(x):
    """The approximation by tanh, of each element; any shape."""
    return 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x)))


def rotate(x, cos, sin):
    """Turns the channel pairs of x [B, H, N, d] by the angles of cos, sin [N, d/2] -> [B, H, N, d]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


class Sampler:
    """What flow.sample needs of a model."""

    def __init__(self, weights, config, attention=dense):
        self.weights, self.config, self.attention = weights, config, attention

    def predict(self, z, time, label, place):
        """float32 z [B, N, C] at one time, labels [B] -> the video's tokens [B, N, C]."""
        condition = self.condition(np.full(len(z), time, np.float32), label, place.grid)
        shared = self.linear("modulate", condition)
        turn = rotary(place.grid, self.config.rope)
        x = self.linear("patch", z)
        for layer in range(self.config.depth):
            x = self.block(f"blocks.{layer}.", x, shared, label, turn, place.at(layer))
        shift, scale = np.split(self.linear("final_modulate", condition)[:, None], 2, -1)
        return self.linear("final", rms_norm(x) * (1 + scale) + shift)

    def condition(self, time, label, grid):
        """time [B], label [B] -> [B, D]."""
        angle = time[:, None] * time_frequencies(self.config.width)
        feature = silu(self.linear("time_in", np.concatenate([np.cos(angle), np.sin(angle)], -1)))
        size = size_features(grid) @ self.weights["size.weight"].T
        return silu(self.linear("time_out", feature) + self.weights["class_table"][label] + size)

    def block(self, name, x, shared, label, turn, place):
        """x [B, N, D], shared [B, 6 D], label [B], turn: cos and sin [N, d/2] -> [B, N, D]."""
        modulation = np.split((shared + self.weights[name + "modulation"][label])[:, None], 6, -1)
        shift, scale, gate = modulation[:3]
        x = x + gate * self.attend(name, rms_norm(x) * (1 + scale) + shift, turn, place)
        shift, scale, gate = modulation[3:]
        return x + gate * self.linear(name + "down", gelu(self.linear(name + "up", rms_norm(x) * (1 + scale) + shift)))

    def attend(self, name, x, turn, place):
        """x [B, N, D], turn: cos and sin [N, d/2] -> [B, N, D]."""
        clips, tokens, width = x.shape
        qkv = (x @ self.weights[name + "qkv.weight"].T).reshape(clips, tokens, 3, self.config.heads, -1)
        q, k, v = np.ascontiguousarray(qkv.transpose(2, 0, 3, 1, 4))  # each [B, H, N, d]
        q = rotate(rms_norm(q) * self.weights[name + "q_gain"], *turn)
        k = rotate(rms_norm(k) * self.weights[name + "k_gain"], *turn)
        out = self.attention(q, k, v, place)
        return self.linear(name + "out", out.transpose(0, 2, 1, 3).reshape(clips, tokens, width))

    def linear(self, name, x):
        """x [..., in], weight [out, in], bias [out] -> [..., out]."""
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]
