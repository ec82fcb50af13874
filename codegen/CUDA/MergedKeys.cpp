// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Stores of merged keys.

#include "codegen/CUDA/MergedKeys.h"

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/BlockOfKeys.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

MergedKeys::MergedKeys(StageKernel &k, RowGroup &rows, BlockAttentionOp op, int64_t columns, Value tokens,
                       const Arguments &arguments)
    : k(k), e(k.e), rows(rows), arguments(arguments), axes(usedAxes(op, kKeyT)), columns(columns),
      keyBlocks(countKeyBlocks(op)), tokens(tokens), slots(e.i32(keyBlocks * columns)),
      key(rows.chunkAddress(arguments.key, k.y, slots)), value(rows.chunkAddress(arguments.value, k.y, slots)) {}

void MergedKeys::storeKey(Value slot, Value chunk, int64_t pass) {
  rows.store(chunk, rows.chunkAt(key, slot, rows.contiguousStride(), pass));
}

void MergedKeys::storeValue(Value slot, Value chunk, int64_t pass) {
  rows.store(chunk, rows.chunkAt(value, slot, rows.contiguousStride(), pass));
}

void MergedKeys::describe(Value slot, Value token, Value bias) {
  Value at = e.add(e.mul(k.y, slots), slot);
  e.storeAt(bias, k.argument(arguments.bias), at);
  e.storeAt(slot, k.argument(arguments.tokens), at);
  forEachCoordinate(slot, [&](int64_t axis, Value place) {
    Value coordinate = e.loadAt(k.i32(), k.argument(arguments.tokenCoordinates), e.add(token, e.mul(tokens, axis)));
    e.storeAt(coordinate, k.argument(arguments.coordinates), place);
  });
}

void MergedKeys::forEachCoordinate(Value slot, llvm::function_ref<void(int64_t axis, Value place)> body) {
  Value block = e.divide(slot, columns), column = e.sub(slot, e.mul(block, columns));
  Value first = e.mul(e.add(e.mul(k.y, keyBlocks), block), static_cast<int64_t>(axes.size()));
  for (auto [i, axis] : llvm::enumerate(axes))
    body(axis, e.add(e.mul(e.add(first, static_cast<int64_t>(i)), columns), column));
}

void MergedKeys::clear(Value begin, Value end) {
  Value none = LLVM::ZeroOp::create(e.b, VectorType::get(rows.elements, rows.element));
  e.loop(e.add(begin, rows.group), end, e.i32(rows.shape.groups()), [&](Value slot) {
    Value at = e.add(e.mul(k.y, slots), slot);
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass)
      e.when(rows.hasChunk(pass), [&] { storeKey(slot, none, pass), storeValue(slot, none, pass); });
    e.when(rows.isLeader, [&] {
      e.storeAt(e.f32(0), k.argument(arguments.bias), at);
      e.storeAt(e.i32(-1), k.argument(arguments.tokens), at);
      forEachCoordinate(slot, [&](int64_t, Value place) { e.storeAt(e.i32(0), k.argument(arguments.coordinates), place); });
    });
  });
}
