// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Views of buffers of tiles.

#ifndef WEFT_PASSES_TILEVIEWS_H
#define WEFT_PASSES_TILEVIEWS_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace weft {

/// The type of `count` tiles of one type behind one another.
mlir::MemRefType stackOf(int64_t count, mlir::MemRefType tile);

/// Tile `number` of a stack of tiles of type `tile`.
mlir::Value tileOf(mlir::ImplicitLocOpBuilder &b, mlir::Value stack, mlir::Value number, mlir::MemRefType tile);

/// `count` rows of a buffer.
mlir::Value rowsFrom(mlir::ImplicitLocOpBuilder &b, mlir::Value buffer, mlir::Value first, int64_t count);

} // namespace weft

#endif // WEFT_PASSES_TILEVIEWS_H
