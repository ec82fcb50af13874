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

/// The choice that an attention's predicate depends on; null if there is none.
ChooseOp recognitionOf(BlockAttentionOp op);

/// Checks that a choice is made from recalls of predicates for the attention's own queries and keys. Afterwards the
/// candidates' predicates depend on nothing outside of them but parameters.
mlir::LogicalResult checkRecognition(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Adds the functions NAME.recall_local and NAME.recall_global before `kernel`, as far as candidates have these probes.
void formRecognition(mlir::func::FuncOp kernel, BlockAttentionOp op, const TileShapes &shapes);

/// What the runtime must know of a recognition, as `recognition` in the `weft.image`; null without one.
mlir::DictionaryAttr describeRecognition(mlir::func::FuncOp kernel, BlockAttentionOp op, const TileShapes &shapes);

} // namespace weft

#endif // WEFT_PASSES_FORMRECOGNITION_H
