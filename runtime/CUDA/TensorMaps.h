// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor maps of operands.

#ifndef WEFT_RUNTIME_CUDA_TENSORMAPS_H
#define WEFT_RUNTIME_CUDA_TENSORMAPS_H

#include "runtime/CUDA/Driver.h"
#include "runtime/CUDA/GPUKernel.h"
#include "runtime/Tensor.h"

namespace weft::rt::cuda {

/// Whether batch and head can be one axis, so that one map serves all batches.
bool joinsBatchAndHead(const Tensor &tensor);

/// A map of the video tokens of a [batch, heads, tokens, channels] tensor: boxes of the layout's order or runs of `rows`
/// tokens, by 64 channels. Runs have the axes channel, token, head, batch; boxes channel, w, h, t, batch and head.
Result<TensorMap> mapVideo(const Driver &driver, const Tensor &tensor, const SequenceLayout &layout, int64_t rows);

/// A map of the text tokens, and one of the first frames' that stand apart: runs.
Result<TensorMap> mapText(const Driver &driver, const Tensor &tensor, const SequenceLayout &layout, int64_t rows);
Result<TensorMap> mapApart(const Driver &driver, const Tensor &tensor, const SequenceLayout &layout, int64_t rows);

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_TENSORMAPS_H
