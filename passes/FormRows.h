// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of a kernel that selects its rows.

#ifndef WEFT_PASSES_FORMROWS_H
#define WEFT_PASSES_FORMROWS_H

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {

/// Checks that rows are an argument, or selected by the log-sum-exp that the attention writes into and by arguments.
mlir::LogicalResult checkRowSelection(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// The arguments that rows are selected by: drift and age; none if the rows are an argument.
llvm::SmallVector<mlir::Value> rowSelectionArguments(BlockAttentionOp op);

/// Whether the function returns what the attention computes and, if it selects rows, the ages after them.
bool returnsResults(BlockAttentionOp op);

/// What the runtime must know of a selection, as `row_selection` in the `weft.image`; null for rows that are passed.
mlir::DictionaryAttr describeRowSelection(mlir::func::FuncOp kernel, BlockAttentionOp op);

} // namespace weft

#endif // WEFT_PASSES_FORMROWS_H
