// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of a warp: fragments from shared memory and mma.sync.
//
// A product takes 16 rows of 32 bytes on the left and 8 rows of 32 bytes on the right: 16 channels of bf16 and f16, 8
// of f32, which lie in registers alike. An f32 operand is the sum of two numbers of tf32 (11 bits each), and a product
// is three: high * high, high * low and low * high.

#ifndef WEFT_CODEGEN_CUDA_WARPPRODUCT_H
#define WEFT_CODEGEN_CUDA_WARPPRODUCT_H

#include "codegen/CUDA/Emitter.h"

namespace weft::cuda {

/// Registers of an operand; `low` is what f32 has beyond tf32, else empty.
struct Fragment {
  Values high, low;
};

/// Four registers of 8 x 16 bytes each, whose rows the lanes' addresses name, eight lanes for each; `bytes` further.
Values loadMatrices(Emitter &e, mlir::Value address, int64_t bytes, bool transposed = false);

/// A register (i32) from shared memory.
mlir::Value loadShared(Emitter &e, mlir::Value address, int64_t bytes);

/// Products of one element type: "bf16", "f16" or "f32".
class WarpProduct {
public:
  WarpProduct(Emitter &e, llvm::StringRef type) : e(e), type(type) {}

  /// The fragment of registers as they lie in memory.
  Fragment fragment(llvm::ArrayRef<mlir::Value> registers);

  /// `accumulator` += left * right, 16 x 8: four registers, of which number i is in row 8 (i / 2) + lane / 4 and column
  /// 2 (lane mod 4) + i mod 2. The right operand are two registers of `right` from `first` on.
  void multiply(llvm::MutableArrayRef<mlir::Value> accumulator, const Fragment &left, const Fragment &right,
                size_t first);

  /// The same in so many parts, of which each waits for what the one before left in the accumulator: between them other
  /// accumulators may take their turn.
  int64_t parts() const { return type == "f32" ? 3 : 1; }
  void multiplyPart(int64_t part, llvm::MutableArrayRef<mlir::Value> accumulator, const Fragment &left,
                    const Fragment &right, size_t first);

private:
  void multiplyOnce(llvm::MutableArrayRef<mlir::Value> accumulator, llvm::ArrayRef<mlir::Value> left,
                    llvm::ArrayRef<mlir::Value> right);

  Emitter &e;
  llvm::StringRef type;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_WARPPRODUCT_H
