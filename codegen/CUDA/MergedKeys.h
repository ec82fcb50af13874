// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Slots of merged keys, which the attention reads in the place of the original ones.

#ifndef WEFT_CODEGEN_CUDA_MERGEDKEYS_H
#define WEFT_CODEGEN_CUDA_MERGEDKEYS_H

#include "codegen/CUDA/RowGroup.h"

namespace weft::cuda {

/// The slots of pair y. Slot n is column n % columns of the merged block in place n / columns.
class MergedKeys {
public:
  /// Numbers of arguments: coordinates of all tokens; keys, values, biases, tokens and coordinates of slots.
  struct Arguments {
    unsigned tokenCoordinates, key, value, bias, tokens, coordinates;
  };

  MergedKeys(StageKernel &k, RowGroup &rows, BlockAttentionOp op, int64_t columns, mlir::Value tokens,
             const Arguments &arguments);

  /// Stores the thread's chunk of a slot's row.
  void storeKey(mlir::Value slot, mlir::Value chunk, int64_t pass);
  void storeValue(mlir::Value slot, mlir::Value chunk, int64_t pass);
  /// By one lane: what is known of a slot beside its rows. `token` is the first that it stands for.
  void describe(mlir::Value slot, mlir::Value token, mlir::Value bias);
  /// Slots from `begin` to the end of its block: zeros, since copies take the whole block.
  void clear(mlir::Value begin, mlir::Value end);

private:
  void forEachCoordinate(mlir::Value slot, llvm::function_ref<void(int64_t axis, mlir::Value place)> body);

  StageKernel &k;
  Emitter &e;
  RowGroup &rows;
  Arguments arguments;
  llvm::SmallVector<int64_t> axes;
  int64_t columns, keyBlocks;
  /// Of the sequence, and slots of a pair.
  mlir::Value tokens, slots, key, value;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_MERGEDKEYS_H
