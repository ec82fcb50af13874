// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where a thread's two rows go: output and log-sum-exp.

#ifndef WEFT_CODEGEN_CUDA_ROWSTORE_H
#define WEFT_CODEGEN_CUDA_ROWSTORE_H

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/RegisterSoftmax.h"

namespace weft::cuda {

/// Stores rows of one item to their tokens, straight from registers.
class RowStore {
public:
  /// `row` is the thread's first row in the tile of query block `block`.
  RowStore(AttentionKernel &kernel, mlir::Value row, mlir::Value block, mlir::Value pair)
      : k(kernel), e(kernel.e), row(row), block(block), pair(pair), lane(e.bitAnd(kernel.readThread(), 31)) {}

  /// The tokens of the rows; below 0 for rows beyond the block.
  RowPair loadTokens();

  /// Normalises and stores; `sum` is of the thread's own columns.
  void storeRows(const RowPair &tokens, llvm::ArrayRef<mlir::Value> accumulator, const RowPair &maximum,
                 const RowPair &sum, double factor);
  /// Stores 0 and a log-sum-exp of -inf.
  void storeEmpty();

private:
  /// Stores the channels of a row that a lane holds, two of each eight, if there is a token. A quad of lanes stores 32 bytes
  /// at once: pairs of f32, or four elements of 16 bits, and two where an odd number of eights ends. All lanes of the warp
  /// come here, and exchange those in turns, so that few registers hold them.
  void storeOutput(mlir::Value token, llvm::ArrayRef<mlir::Value> values);
  void storeLogSumExp(mlir::Value token, mlir::Value value);
  mlir::Value offsetOf(mlir::Value token, unsigned batchStride);

  AttentionKernel &k;
  Emitter &e;
  mlir::Value row, block, pair, lane;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_ROWSTORE_H
