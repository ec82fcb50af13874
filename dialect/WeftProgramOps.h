// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verification that program and plan ops share.

#ifndef WEFT_DIALECT_WEFTPROGRAMOPS_H
#define WEFT_DIALECT_WEFTPROGRAMOPS_H

#include "dialect/WeftDialect.h"

namespace weft {

/// Checks a predicate region: its arguments, its terminator and its ops.
mlir::LogicalResult verifyPredicateBody(mlir::Operation *op, mlir::Region &body, bool given);

/// Checks that `scale`, and its product with log2(e), is positive and finite as kernels have it: in f32.
mlir::LogicalResult verifyScale(mlir::Operation *op, double scale);

/// Checks constraints C1 to C6 of weft.attention.
mlir::LogicalResult verifyAttentionShapes(mlir::Operation *op, mlir::RankedTensorType query,
                                          mlir::RankedTensorType key, mlir::RankedTensorType lse,
                                          GridAttr queryGrid, GridAttr keyGrid, int64_t block, int64_t queryBlock,
                                          double scale);

/// The optional operands of an attention, null where they are not there.
struct AttentionExtras {
  mlir::Value bias, rows, intoOut, intoLse;
  template <typename Op>
  explicit AttentionExtras(Op op)
      : bias(op.getBias()), rows(op.getRows()), intoOut(op.getIntoOut()), intoLse(op.getIntoLse()) {}
};

/// Checks constraints C8 and C9 of weft.attention.
mlir::LogicalResult verifyAttentionExtras(mlir::Operation *op, const AttentionExtras &extras,
                                          mlir::RankedTensorType query, mlir::RankedTensorType key,
                                          mlir::RankedTensorType lse);

} // namespace weft

#endif // WEFT_DIALECT_WEFTPROGRAMOPS_H
