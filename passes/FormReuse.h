// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The part of a kernel that reuses scores.

#ifndef WEFT_PASSES_FORMREUSE_H
#define WEFT_PASSES_FORMREUSE_H

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {

/// Checks that queries and keys, if both are snapped, are so in the same way, and by a constant or a parameter.
mlir::LogicalResult checkReuse(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Whether queries of equal rows are computed once.
bool mergesQueries(BlockAttentionOp op);

/// Whether keys of equal rows are computed once, with a bias that counts them.
bool mergesKeys(BlockAttentionOp op);

/// Whether the mask leaves nothing out, as is known when it is compiled.
bool visitsAll(BlockAttentionOp op);

/// Whether no token is told from another by where it is: every query visits all keys, and all rows are computed.
bool isOnePool(BlockAttentionOp op);

/// Whether queries and keys of one pool are merged cell by cell: they have windows of two, and no bias tells them apart.
bool mergesByCells(BlockAttentionOp op);

/// What the runtime must know of the reuse of scores, as `reuse` in the `weft.image`; null without.
mlir::DictionaryAttr describeReuse(mlir::func::FuncOp kernel, BlockAttentionOp op);

} // namespace weft

#endif // WEFT_PASSES_FORMREUSE_H
