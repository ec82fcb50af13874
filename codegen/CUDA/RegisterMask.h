// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The mask on scores in registers.

#ifndef WEFT_CODEGEN_CUDA_REGISTERMASK_H
#define WEFT_CODEGEN_CUDA_REGISTERMASK_H

#include "codegen/CUDA/HopperKernel.h"

namespace weft::cuda {

/// Replaces scores that do not count by -inf: columns that hold no token of the block, and pairs for which the
/// predicate is false.
class RegisterMask {
public:
  /// `row` is the thread's first row in the tile, `query` the buffer of its queries.
  RegisterMask(HopperKernel &kernel, mlir::Value row, mlir::Value pair, HopperKernel::Slot query,
               HopperKernel::Slot stage, mlir::Value flag);

  /// Emits the mask where the flag says that one is needed; returns the scores.
  Values apply(llvm::ArrayRef<mlir::Value> scores);

private:
  void maskColumns(Values &scores);
  void maskPairs(Values &scores);
  mlir::Value queryCoordinate(int64_t axis, int64_t row);
  Values keyCoordinates(int64_t axis, int64_t group);
  mlir::Value evaluate(mlir::IRMapping &mapping);

  HopperKernel &k;
  Emitter &e;
  mlir::Value row, pair, flag;
  HopperKernel::Slot query, stage;
  mlir::Value firstColumn;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_REGISTERMASK_H
