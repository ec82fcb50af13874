# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch's contenders on a GPU, timed by events of the device, and the float64 reference."""

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from blocks import BLOCK
from contender import Contender, Refusal

SAMPLED_ROWS = 32


def has_gpu():
    return torch.cuda.is_available()


def device_name():
    return torch.cuda.get_device_name()


def version():
    return f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}"


def random_tensors(problem, seed=1):
    """q, k and v of [1, heads, tokens, channels] in bf16, normally distributed."""
    generator = torch.Generator("cuda").manual_seed(seed)
    shape = (1, problem.heads, problem.tokens, problem.head_dim)
    return {name: torch.randn(shape, generator=generator, device="cuda").bfloat16() for name in "qkv"}


def save(tensors, path):
    save_file({name: tensor.cpu() for name, tensor in tensors.items()}, path)


class OnDevice(Contender):
    """A function without arguments that enqueues work and gives the output."""

    def __init__(self, name, function, **what):
        super().__init__(name, **what)
        self.function = function

    def first(self):
        return self.call()

    def sample(self, calls):
        self.call()
        return [self.call()[0] for _ in range(calls)]

    def call(self):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        try:
            begin.record()
            with torch.no_grad():
                out = self.function()
            end.record()
            end.synchronize()
        except Exception as error:  # whatever another project raises
            raise Refusal(f"{type(error).__name__}: {error}") from error
        return begin.elapsed_time(end) / 1e3, out


def sdpa(name, backend, tensors, what):
    def function():
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(*tensors.values())

    return OnDevice(name, function, **what)


def cudnn(tensors, **what):
    return sdpa("cudnn", SDPBackend.CUDNN_ATTENTION, tensors, what)


def flash(tensors, **what):
    return sdpa("flash", SDPBackend.FLASH_ATTENTION, tensors, what)


def block_mask(lists):
    """The lists as FlexAttention's BlockMask in which every visited block is full."""
    counts = torch.tensor([[lists.counts()]], dtype=torch.int32, device="cuda")
    indices = torch.tensor([[lists.indices()]], dtype=torch.int32, device="cuda")
    none = torch.zeros_like(counts), torch.zeros_like(indices)
    size = (lists.tokens, lists.tokens)
    return BlockMask.from_kv_blocks(*none, counts, indices, BLOCK_SIZE=BLOCK, seq_lengths=size)


def flex(tensors, **what):
    """FlexAttention compiled for these shapes alone."""
    compiled = torch.compile(flex_attention, dynamic=False)
    lists = what.get("lists")
    mask = block_mask(lists) if lists else None
    return OnDevice("flex", lambda: compiled(*tensors.values(), block_mask=mask), **what)


class Reference:
    """Attention of sampled rows in float64."""

    def __init__(self, tensors):
        self.tensors = tensors
        tokens = tensors["q"].shape[2]
        self.rows = torch.linspace(0, tokens - 1, SAMPLED_ROWS, dtype=torch.float64).long().cuda()

    def error_of(self, out, lists):
        """The root mean square of the error over that of the reference, head by head to spare memory."""
        mask = self.mask(lists) if lists else None
        difference = reference = 0.0
        for head in range(out.shape[1]):
            query, key, value = (self.tensors[name][0, head].double() for name in "qkv")
            scores = query[self.rows] @ key.mT / query.shape[1] ** 0.5
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            expected = torch.softmax(scores, -1) @ value
            actual = out[0, head].cuda()[self.rows].double()
            difference += (actual - expected).square().sum().item()
            reference += expected.square().sum().item()
        return (difference / reference) ** 0.5

    def mask(self, lists):
        """Which keys the sampled rows visit."""
        visited = torch.tensor([list(row) for row in lists.block_map()], dtype=torch.bool, device="cuda")
        return visited[self.rows // BLOCK].repeat_interleave(BLOCK, 1)[:, : lists.tokens]
