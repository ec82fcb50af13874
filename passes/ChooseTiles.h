// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The choice of a tile box for a grid.

#ifndef WEFT_PASSES_CHOOSETILES_H
#define WEFT_PASSES_CHOOSETILES_H

#include "dialect/WeftDialect.h"

namespace weft {

/// The box of at most `block` tokens that suits `grid`: least padding to multiples of `granule` tokens, then locality.
OrderAttr chooseTiles(GridAttr grid, int64_t block, int64_t granule);

/// Video tokens that are computed for nothing when every clipped tile is rounded up to `granule`.
int64_t countPaddedTokens(GridAttr grid, OrderAttr order, int64_t granule);

} // namespace weft

#endif // WEFT_PASSES_CHOOSETILES_H
