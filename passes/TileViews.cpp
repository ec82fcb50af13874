// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Subviews that every function on tiles makes.

#include "passes/TileViews.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace weft;

MemRefType weft::stackOf(int64_t count, MemRefType tile) {
  SmallVector<int64_t> shape = {count};
  llvm::append_range(shape, tile.getShape());
  return MemRefType::get(shape, tile.getElementType());
}

Value weft::tileOf(ImplicitLocOpBuilder &b, Value stack, Value number, MemRefType tile) {
  SmallVector<OpFoldResult> offsets = {number}, sizes = {b.getIndexAttr(1)};
  for (int64_t extent : tile.getShape()) {
    offsets.push_back(b.getIndexAttr(0));
    sizes.push_back(b.getIndexAttr(extent));
  }
  SmallVector<OpFoldResult> strides(offsets.size(), b.getIndexAttr(1));
  auto type = memref::SubViewOp::inferRankReducedResultType(tile.getShape(), cast<MemRefType>(stack.getType()), offsets,
                                                            sizes, strides);
  return memref::SubViewOp::create(b, cast<MemRefType>(type), stack, offsets, sizes, strides);
}

Value weft::rowsFrom(ImplicitLocOpBuilder &b, Value buffer, Value first, int64_t count) {
  auto type = cast<MemRefType>(buffer.getType());
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), strides(type.getRank(), b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = {b.getIndexAttr(count)};
  offsets[0] = first;
  for (int64_t extent : type.getShape().drop_front())
    sizes.push_back(b.getIndexAttr(extent));
  return memref::SubViewOp::create(b, buffer, offsets, sizes, strides);
}
