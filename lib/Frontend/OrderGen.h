// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What tokens are sorted by, as an affine map.

#ifndef WEFT_LIB_FRONTEND_ORDERGEN_H
#define WEFT_LIB_FRONTEND_ORDERGEN_H

#include "lib/Frontend/StaticValues.h"

#include "mlir/IR/AffineMap.h"

namespace weft {

/// A map of a token's t, h and w to what `order by(...)` sorts by. Numbers that are no sums, multiples, quotients or
/// remainders of them by constants are errors; they are 0 in the map.
mlir::AffineMap emitSortKeys(mlir::MLIRContext *context, const OrderClause &order, const StaticValues &values,
                             Diagnostics &diagnostics);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_ORDERGEN_H
