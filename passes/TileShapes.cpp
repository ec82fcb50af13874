// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Computes the extents of tiles and packed operands.

#include "passes/TileShapes.h"

#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace mlir;
using namespace weft;

TileShapes::TileShapes(BlockAttentionOp op, bool pairs, int64_t depthGranule, int64_t rowGroup,
                       int64_t groupsInFlight)
    : pairs(pairs), groupsInFlight(groupsInFlight) {
  BlockPartition queryParts = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
  BlockPartition keyParts = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
  queryBlocks = queryParts.numBlocks();
  keyBlocks = keyParts.numBlocks();
  rows = llvm::alignTo(queryParts.maxTokens(), kTileGranule);
  group = std::gcd(rows, rowGroup);
  columns = llvm::alignTo(keyParts.maxTokens(), kTileGranule);
  headDim = op.getQuery().getType().getDimSize(3);
  depth = llvm::alignTo(headDim, depthGranule);
  valueDim = llvm::alignTo(headDim, kTileGranule / 2);

  Type f32 = Float32Type::get(op.getContext());
  elementType = pairs ? Type(BFloat16Type::get(op.getContext())) : f32;
  auto tile = [](int64_t m, int64_t n, Type type) { return MemRefType::get({m, n}, type); };
  query = tile(rows, depth, elementType);
  auto panels = [&](int64_t terms, int64_t width) {
    int64_t pair = pairs ? 2 : 1;
    return MemRefType::get({llvm::divideCeilSigned(width, kPanel), terms / pair, kPanel * pair}, elementType);
  };
  key = panels(depth, columns);
  value = panels(columns, valueDim);
  bias = MemRefType::get({columns}, f32);
  scores = tile(group, columns, f32);
  weights = tile(group, columns, elementType);
  accumulator = tile(rows, valueDim, f32);
  rowVector = MemRefType::get({rows}, f32);

  int64_t bytes = 0;
  auto place = [&](MemRefType type, int64_t count = 1) {
    int64_t offset = bytes;
    bytes += llvm::alignTo(count * type.getNumElements() * type.getElementTypeBitWidth() / 8, 64);
    return offset;
  };
  queryOffset = place(query);
  scoresOffset = place(scores, groupsInFlight);
  // In f32 the weights take the scores' place.
  weightsOffset = pairs ? place(weights, groupsInFlight) : scoresOffset;
  accumulatorOffset = place(accumulator);
  maximumOffset = place(rowVector);
  sumOffset = place(rowVector);
  correctionOffset = place(rowVector);
  scratchBytes = bytes;
}
