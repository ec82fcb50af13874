// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of a kernel that predicts its block lists.

#ifndef WEFT_PASSES_FORMPREDICTION_H
#define WEFT_PASSES_FORMPREDICTION_H

#include "dialect/Prediction.h"
#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {

/// Checks that given lists are an argument, or selected from means of the attention's own queries and keys in its own
/// blocks.
mlir::LogicalResult checkPrediction(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Adds the functions NAME.pool_queries, NAME.pool_keys and NAME.score before `kernel`, if its lists are predicted.
void formPrediction(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// The pools of queries and keys of an attention whose lists are predicted.
struct PredictionPools {
  PoolPartition query, key;
};
PredictionPools poolsOf(BlockAttentionOp op);

/// What the runtime must know of a prediction, as `prediction` in the `weft.image`; null for lists that are passed.
mlir::DictionaryAttr describePrediction(mlir::func::FuncOp kernel, BlockAttentionOp op);

} // namespace weft

#endif // WEFT_PASSES_FORMPREDICTION_H
