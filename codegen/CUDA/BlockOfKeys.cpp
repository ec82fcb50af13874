// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What stages of a key block know.

#include "codegen/CUDA/BlockOfKeys.h"

#include "dialect/BlockPartition.h"
#include "passes/FormReuse.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

int64_t weft::cuda::countKeyBlocks(BlockAttentionOp op) {
  return partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks();
}

BlockOfKeys::BlockOfKeys(StageKernel &k, BlockAttentionOp op, int64_t columns, const Arguments &arguments,
                         unsigned firstOfGrid)
    : grid(k, firstOfGrid), keyBlocks(countKeyBlocks(op)), columns(columns), isOnePool(weft::isOnePool(op)), k(k), e(k.e),
      arguments(arguments) {
  Value set = e.remainder(k.y, k.argument(arguments.flagSets));
  Value flags = e.loadAt(k.i32(), k.argument(arguments.flags), e.add(e.mul(set, keyBlocks), k.x));
  isVisited = isOnePool ? e.i1(true) : e.notEqual(e.bitAnd(flags, 1), 0);
  merges = isOnePool ? e.i1(true) : e.equal(e.bitAnd(flags, 2), 0);
  poolSet = e.mul(e.remainder(k.y, k.argument(arguments.poolSets)), keyBlocks);
  base = baseOf(k.x);
  number = e.add(e.mul(k.y, keyBlocks), k.x);
  donors = e.advance(k.argument(arguments.donors), e.mul(e.extend(k.y), e.extend(grid.tokens)), k.i32());
}

Value BlockOfKeys::tokenOf(Value column) {
  return e.loadAt(k.i32(), k.argument(arguments.tokens), e.add(e.mul(k.x, columns), column));
}

Value BlockOfKeys::donorOf(Value token) { return e.loadAt(k.i32(), donors, token); }

Value BlockOfKeys::baseOf(Value block) {
  return e.loadAt(k.i32(), k.argument(arguments.baseOf), e.add(poolSet, block));
}

Value BlockOfKeys::alikeInCell(Value token, Value donor, int64_t count) {
  CellGrid::Cell cell = grid.cellOf(token);
  // In the place of a token that does not exist, the key itself.
  Values others, exist, same;
  for (int64_t position = 0; position < count; ++position) {
    Value other = grid.placeAt(cell, e.i32(position)).token;
    exist.push_back(e.bitAnd(e.less(e.i32(-1), other), e.below(e.i32(position), grid.size)));
    others.push_back(e.select(exist.back(), other, token));
  }
  for (Value other : others)
    same.push_back(e.equal(donorOf(other), donor));
  if (!isOnePool) {
    Values blocks;
    for (Value other : others)
      blocks.push_back(e.loadAt(k.i32(), k.argument(arguments.blockOf), other));
    for (auto [i, other] : llvm::enumerate(others))
      same[i] = e.select(merges, e.bitAnd(same[i], e.equal(baseOf(blocks[i]), base)), e.equal(other, token));
  }
  Value bits = e.i32(0);
  for (auto [i, isSame] : llvm::enumerate(same))
    bits = e.bitOr(bits, e.select(e.bitAnd(exist[i], isSame), e.i32(int64_t{1} << i), e.i32(0)));
  return bits;
}

Value BlockOfKeys::isAlike(Value other, Value token, Value donor) {
  return e.valueWhen(
      e.less(e.i32(-1), other),
      [&] {
        if (isOnePool)
          return e.equal(donorOf(other), donor);
        Value otherBlock = e.loadAt(k.i32(), k.argument(arguments.blockOf), other);
        Value same = e.bitAnd(e.equal(donorOf(other), donor), e.equal(baseOf(otherBlock), base));
        return e.select(merges, same, e.equal(other, token));
      },
      e.i1(false));
}
