// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies of tiles through tables of tokens, by cp.async.

#ifndef WEFT_CODEGEN_CUDA_TILECOPY_H
#define WEFT_CODEGEN_CUDA_TILECOPY_H

#include "codegen/CUDA/MMAKernel.h"

namespace weft::cuda {

/// A thread's part of the copies: one chunk of 16 bytes in every group of channels, of every (threads / 8)-th row.
class TileCopy {
public:
  explicit TileCopy(MMAKernel &kernel);

  /// The tokens of the thread's rows: `table` is the tile's first (i32).
  Values loadTokens(mlir::Value table, int64_t rows);

  /// The address of the thread's first chunk in token 0 of a head; `tensor` is its first MMAOperand.
  mlir::Value headAddress(unsigned tensor, mlir::Value pair);

  /// Asks for a tile of `rows` rows at a shared address. Rows without a token (below 0) and channels beyond the head
  /// dim become zeros.
  void copy(mlir::Value shared, int64_t rows, unsigned tensor, mlir::Value headAddress,
            llvm::ArrayRef<mlir::Value> tokens);

private:
  MMAKernel &k;
  Emitter &e;
  int64_t rowStep;
  mlir::Value row, chunk, offset;
};

/// Waits for all copies of this thread.
void waitForCopies(Emitter &e);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_TILECOPY_H
