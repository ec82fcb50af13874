# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's contenders: dense attention, compiled FlexAttention, and matrix products; and the float64 reference."""

import time

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from blocks import BLOCK
from contender import Contender, Refusal

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SAMPLED_ROWS = 64
# A call that is longer than this does not need another one before it to warm caches up.
LONG_SECONDS = 0.5


class PyTorch(Contender):
    """A function without arguments that gives the output."""

    def __init__(self, name, function, **what):
        super().__init__(name, **what)
        self.function = function
        self.latest = 0

    def first(self):
        return self.call()

    def sample(self, calls):
        if self.latest < LONG_SECONDS:
            self.call()
        return [self.call()[0] for _ in range(calls)]

    def call(self):
        start = time.perf_counter()
        try:
            with torch.no_grad():
                out = self.function()
        except Exception as error:  # whatever the compiler of another project raises
            raise Refusal(f"{type(error).__name__}: {error}") from error
        self.latest = time.perf_counter() - start
        return self.latest, out


def random_tensors(problem, seed=1):
    """q, k and v, normally distributed and rounded to the element type."""
    generator = torch.Generator().manual_seed(seed)
    shape = (1, problem.heads, problem.tokens, problem.head_dim)
    return {name: torch.randn(shape, generator=generator).to(DTYPES[problem.dtype]) for name in "qkv"}


def block_mask(lists):
    """The lists as FlexAttention's BlockMask in which every visited block is full."""
    counts = torch.tensor([[lists.counts()]], dtype=torch.int32)
    indices = torch.tensor([[lists.indices()]], dtype=torch.int32)
    none = torch.zeros_like(counts), torch.zeros_like(indices)
    size = (lists.tokens, lists.tokens)
    return BlockMask.from_kv_blocks(*none, counts, indices, BLOCK_SIZE=BLOCK, seq_lengths=size)


def sdpa(tensors, **what):
    return PyTorch("sdpa", lambda: F.scaled_dot_product_attention(*tensors.values()), **what)


def flex(tensors, **what):
    """FlexAttention compiled for these shapes alone."""
    compiled = torch.compile(flex_attention, dynamic=False)
    lists = what.get("lists")
    mask = block_mask(lists) if lists else None
    return PyTorch("flex", lambda: compiled(*tensors.values(), block_mask=mask), **what)


def start_flex():
    """Seconds until FlexAttention has compiled a shape that is not measured: imports, C++ headers."""
    tensors = {name: torch.zeros(1, 1, 2 * BLOCK, 32) for name in "qkv"}
    try:
        return flex(tensors, flops=0).first()[0]
    except Refusal:
        return None


class MatrixProduct(PyTorch):
    is_attention = False


def gemm(dtype, size):
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(size, size, generator=generator).to(DTYPES[dtype]) for _ in range(2))
    return MatrixProduct("gemm", lambda: a @ b, flops=2 * size**3)


def choose_gemm_size(dtype):
    """The largest of a few sizes at which a product takes less than a second."""
    trial = gemm(dtype, 1024)
    rate = trial.flops / min(trial.sample(3))
    return next((size for size in (4096, 2048) if 2 * size**3 / rate < 1), 1024)


class Reference:
    """Attention of sampled rows in float64."""

    def __init__(self, tensors):
        self.query, self.key, self.value = (tensor.double() for tensor in tensors.values())
        tokens = self.query.shape[2]
        self.rows = torch.linspace(0, tokens - 1, min(SAMPLED_ROWS, tokens), dtype=torch.float64).long()
        self.scores = self.query[:, :, self.rows] @ self.key.mT / self.query.shape[3] ** 0.5

    def mask(self, lists):
        """Which keys the sampled rows visit."""
        visited = torch.tensor([list(row) for row in lists.block_map()], dtype=torch.bool)
        return visited[self.rows // BLOCK].repeat_interleave(BLOCK, 1)[:, : lists.tokens]

    def error_of(self, out, lists):
        """The root mean square of the error over that of the reference."""
        scores = self.scores.masked_fill(~self.mask(lists), float("-inf")) if lists else self.scores
        expected = torch.softmax(scores, -1) @ self.value
        return ((out[:, :, self.rows].double() - expected).norm() / expected.norm()).item()
