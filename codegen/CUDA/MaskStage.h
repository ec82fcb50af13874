// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bits of partial blocks.
//
// Whether a pair of tokens counts costs more instructions than its share of the softmax, and all heads and all calls
// ask the same. So it is found out once, when lists come to the device: for each partial pair of blocks, a tile with a
// bit per pair of tokens,
//
//     words[tile][row][quad]    bit 2 i + j: row x column 8 i + 2 quad + j, where the column holds a token
//
// which is a word for each row of a thread of a warpgroup's (or of mma.sync's) scores. An index finds the tile:
//
//     index[given][choice][head][query block][key block]    0: there is none, and the kernel evaluates the predicate
//
// with one `given`, choice or head where the predicate does not read them.

#ifndef WEFT_CODEGEN_CUDA_MASKSTAGE_H
#define WEFT_CODEGEN_CUDA_MASKSTAGE_H

#include "codegen/CUDA/AttentionKernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft::cuda {

/// The shape of an index.
struct MaskIndexShape {
  int64_t givens = 1, choices = 1, heads = 1, queryBlocks = 0, keyBlocks = 0;

  static MaskIndexShape of(BlockAttentionOp op);
};

/// Emits `NAME_mask`, which fills the tiles. `rows` and `columns` are those of the kernel's tables.
void formMask(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns);

/// How an attention kernel finds tiles and reads them.
class MaskReader {
public:
  explicit MaskReader(AttentionKernel &kernel) : k(kernel), shape(MaskIndexShape::of(kernel.op)) {}

  /// The first number of an item's row of the index, for entries without `given`.
  mlir::Value rowOf(mlir::Value queryBlock, mlir::Value pair);
  /// The tile of an entry in such a row; 0 if the entry is not partial.
  mlir::Value findTile(mlir::Value row, mlir::Value entry);
  /// The address of a tile.
  mlir::Value tileAt(mlir::Value tile);

private:
  AttentionKernel &k;
  MaskIndexShape shape;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_MASKSTAGE_H
