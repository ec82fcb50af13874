// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The mask on scores in registers.

#ifndef WEFT_CODEGEN_CUDA_REGISTERMASK_H
#define WEFT_CODEGEN_CUDA_REGISTERMASK_H

#include "codegen/CUDA/AttentionKernel.h"

#include "mlir/IR/IRMapping.h"

namespace weft::cuda {

class PairPredicate;

/// Where the mask of a tile lies, in shared or device memory. Coordinates are i32, axis by axis.
struct MaskTables {
  /// A bit per column: whether it holds a token of the block.
  Values columnWords;
  /// Of the thread's first row, and of the tile's first column.
  mlir::Value queryCoordinates, keyCoordinates;
  /// Elements from one axis to the next.
  int64_t queryPitch = 0, keyPitch = 0;
  /// Columns of a block of the usual size, if kTailFlag says that the others are empty.
  int64_t usualColumns = 0;
  /// What loadPairBits() gave; empty if the kernel knows no bits.
  Values pairBits;
};

/// The bits of a thread's pairs, a word for each of its two rows, where the flag says that there are some: see MaskStage.h.
/// `words` is where those of the tile lie in shared memory, as a 32-bit address, and `row` the thread's first row. To be
/// asked for ahead, since the address and the words take a hundred cycles.
Values loadPairBits(Emitter &e, mlir::Value flag, mlir::Value words, mlir::Value row, mlir::Value lane);

/// Replaces scores that do not count by -inf: columns that hold no token of the block, and pairs for which the
/// predicate is false.
class RegisterMask {
public:
  /// `emitPair` emits batch * heads + head, where a predicate needs it; `flag` is the step's.
  RegisterMask(AttentionKernel &kernel, MaskTables tables, llvm::function_ref<mlir::Value()> emitPair, mlir::Value flag);

  /// Emits the mask where the flag says that one is needed; returns the scores.
  Values apply(llvm::ArrayRef<mlir::Value> scores);

private:
  /// Without bits.
  Values evaluate(llvm::ArrayRef<mlir::Value> scores);
  void maskColumns(Values &scores);
  void maskTail(Values &scores);
  void maskPairs(Values &scores);
  void maskByBits(Values &scores);
  void maskChosenPairs(Values &scores, mlir::Value pair, ChooseOp choose, PairPredicate &predicate);
  void maskPairs(Values &scores, PairPredicate &predicate);
  mlir::Value queryCoordinate(int64_t axis, int64_t row);
  Values keyCoordinates(int64_t axis, int64_t group);

  AttentionKernel &k;
  Emitter &e;
  MaskTables tables;
  llvm::function_ref<mlir::Value()> emitPair;
  mlir::Value flag, firstColumn;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_REGISTERMASK_H
