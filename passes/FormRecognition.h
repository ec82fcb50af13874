// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of a kernel that recognizes heads.

#ifndef WEFT_PASSES_FORMRECOGNITION_H
#define WEFT_PASSES_FORMRECOGNITION_H

#include "passes/TileShapes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {

/// The candidates that one probe measures, by their numbers.
struct ProbeCandidates {
  Probe probe;
  llvm::SmallVector<int64_t> numbers;
};

/// The probes of a choice and what each of them measures.
llvm::SmallVector<ProbeCandidates> groupByProbe(ChooseOp choose);

/// The choice that an attention's predicate depends on; null if there is none.
ChooseOp recognitionOf(BlockAttentionOp op);

/// Checks that a choice is made from recalls of predicates for the attention's own queries and keys. Afterwards the
/// candidates' predicates depend on nothing outside of them but parameters.
mlir::LogicalResult checkRecognition(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Adds the functions NAME.recall_local and NAME.recall_global before `kernel`, as far as candidates have these probes.
void formRecognition(mlir::func::FuncOp kernel, BlockAttentionOp op, const TileShapes &shapes);

/// Bytes of working memory of a recall function.
int64_t recallScratchBytes(const TileShapes &shapes);

/// What the runtime must know of a recognition, as `recognition` in the `weft.image`; null without one. A probe is cut
/// into query blocks of `rows` and key blocks of `columns` tokens.
mlir::DictionaryAttr describeRecognition(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns,
                                         int64_t scratchBytes);

} // namespace weft

#endif // WEFT_PASSES_FORMRECOGNITION_H
