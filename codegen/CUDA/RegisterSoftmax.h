// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One step of the online softmax on the registers of a warpgroup's product, and the mask on them.
//
// A thread holds two rows of the 64 x n scores (see WarpgroupProduct.h); the four lanes of a quad hold a row between
// them. As in docs/numerics.md everything is in powers of two, and a row that has seen no key is referred to 0.

#ifndef WEFT_CODEGEN_CUDA_REGISTERSOFTMAX_H
#define WEFT_CODEGEN_CUDA_REGISTERSOFTMAX_H

#include "codegen/CUDA/Emitter.h"

#include <array>

namespace weft::cuda {

/// A value for each of a thread's two rows.
using RowPair = std::array<mlir::Value, 2>;

/// Which of a thread's rows element i of a product is in.
constexpr int64_t rowOf(int64_t i) { return i / 2 % 2; }

struct SoftmaxResult {
  Values weights;
  RowPair maximum;
  /// Of this thread's columns only.
  RowPair sum;
  /// What sum and accumulator so far are to be multiplied by.
  RowPair correction;
};

/// `factor` is scale * log2(e).
SoftmaxResult emitSoftmax(Emitter &e, llvm::ArrayRef<mlir::Value> scores, const RowPair &maximum, double factor);

/// Pairs of f32 as pairs of bf16 or f16 in one register: the left operand of the next product.
Values packPairs(Emitter &e, llvm::ArrayRef<mlir::Value> values, llvm::StringRef type);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_REGISTERSOFTMAX_H
