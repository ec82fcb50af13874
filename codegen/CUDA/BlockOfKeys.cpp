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
