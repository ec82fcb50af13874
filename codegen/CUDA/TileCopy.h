// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Copies of tiles by cp.async, each row from wherever its token is.

#ifndef WEFT_CODEGEN_CUDA_TILECOPY_H
#define WEFT_CODEGEN_CUDA_TILECOPY_H

#include "codegen/CUDA/Emitter.h"

namespace weft::cuda {

/// A tensor in device memory: its address, and the strides of batch, head and token in elements.
struct TokenTensor {
  mlir::Value address, batchStride, headStride, tokenStride;
};

/// Copies rows of tokens into tiles that lie as HopperSchedule and MMASchedule say: groups of 128 bytes of channels, in
/// each the rows' 16-byte chunks swizzled. All of `threads` threads do so together, eight of them for the 128 bytes of a
/// row.
class TileCopy {
public:
  static constexpr int64_t kRowBytes = 128;

  TileCopy(Emitter &e, mlir::Value thread, int64_t threads, int64_t headDim, int64_t elementBytes);

  /// The tokens of the rows that this thread copies, of `rows` from the begin of `table`; -1 where there is none.
  Values loadTokens(mlir::Value table, int64_t rows);
  /// Where this thread's chunk of the first token of a pair = batch * heads + head begins.
  mlir::Value headAddress(const TokenTensor &tensor, mlir::Value pair, int64_t heads);
  /// Asks for the rows of `tokens`, into a tile of `pitch` rows at `shared`; those without a token, and channels beyond
  /// the head dim, become 0.
  void copy(mlir::Value shared, int64_t pitch, const TokenTensor &tensor, mlir::Value headAddress,
            llvm::ArrayRef<mlir::Value> tokens);

  /// Asks for an f32 per token, at `numbers` + token * `stride` elements, into an array at `shared`; 0 without a token.
  void copyNumbers(mlir::Value shared, mlir::Value numbers, mlir::Value stride, llvm::ArrayRef<mlir::Value> tokens);

private:
  Emitter &e;
  int64_t headDim, elementBytes, rowStep;
  /// The thread's first row and its chunk, and where these are in a group.
  mlir::Value row, chunk, offset;
};

/// Where a row's chunk of 16 bytes goes and comes from: an address in shared memory and an offset, and the chunk's in
/// device memory. `size` bytes are copied of it, and 0 for the rest; the same of the chunks of its other groups of channels,
/// which lie `groupBytes` apart.
struct RowCopy {
  mlir::Value shared;
  int64_t offset, groupBytes;
  mlir::Value address, size;
};
/// Asks for chunk number `chunk` of all groups of a row of `headDim` channels; those beyond become 0.
void copyRow(Emitter &e, const RowCopy &row, mlir::Value chunk, int64_t headDim, int64_t elementBytes);

/// Waits for all copies that this thread asked for.
void waitForCopies(Emitter &e);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_TILECOPY_H
