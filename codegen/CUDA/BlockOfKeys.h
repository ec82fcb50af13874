// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A key block while its keys are merged.

#ifndef WEFT_CODEGEN_CUDA_BLOCKOFKEYS_H
#define WEFT_CODEGEN_CUDA_BLOCKOFKEYS_H

#include "codegen/CUDA/CellGrid.h"
#include "dialect/WeftDialect.h"

namespace weft::cuda {

int64_t countKeyBlocks(BlockAttentionOp op);

/// What stages of a key block know: key block x of pair y.
class BlockOfKeys {
public:
  /// Numbers of arguments: tokens of each block's columns, -1 in columns without one; donors by pair and token; the
  /// block of each token; by set and block the place of its pool's first block, and these sets; by set and block bit 0
  /// if it is visited and bit 1 if partially, and these sets.
  struct Arguments {
    unsigned tokens, donors, blockOf, baseOf, poolSets, flags, flagSets;
  };

  /// The CTA has block x of pair y; `firstOfGrid` is the number of CellGrid's first argument.
  BlockOfKeys(StageKernel &k, BlockAttentionOp op, int64_t columns, const Arguments &arguments,
              unsigned firstOfGrid);

  CellGrid grid;
  int64_t keyBlocks, columns;
  /// All blocks are of one pool, which merges.
  bool isOnePool;
  /// Of the block; its number among those of all pairs; its pool's first place; where its set of pools begins.
  mlir::Value isVisited, merges, number, base, poolSet;

  /// The token of a column below `columns`, or -1.
  mlir::Value tokenOf(mlir::Value column);
  mlir::Value donorOf(mlir::Value token);
  /// Whether `other`, which may be -1, is merged with a token of the block.
  mlir::Value isAlike(mlir::Value other, mlir::Value token, mlir::Value donor);
  /// A bit for each of the first `count` places of the token's cell: whether its token is. All are read together.
  mlir::Value alikeInCell(mlir::Value token, mlir::Value donor, int64_t count);

private:
  mlir::Value baseOf(mlir::Value block);

  StageKernel &k;
  Emitter &e;
  Arguments arguments;
  mlir::Value donors;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_BLOCKOFKEYS_H
