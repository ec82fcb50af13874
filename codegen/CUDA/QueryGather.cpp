// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The gathering warps.

#include "codegen/CUDA/QueryGather.h"

#include "codegen/CUDA/TileCopy.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

/// Rows that are under way at once; as many registers hold their tokens as threads of a row's eight.
static constexpr int64_t kRowsAtOnce = 32;

void weft::cuda::emitGather(HopperKernel &k, Block *exit) {
  Emitter &e = k.e;
  const HopperSchedule &s = k.s;
  Value thread = e.add(k.thread, -32 * HopperKernel::kFirstGatherWarp);
  TileCopy copies(e, thread, 32 * HopperKernel::kGatherWarps, k.headDim, 2);
  TokenTensor query = k.gatheredQuery();

  Block *next = e.createBlock({e.b.getI32Type()}), *item = e.createBlock(), *end = e.createBlock();
  e.branch(next, e.i32(0));
  e.enter(next);
  Value use = next->getArgument(0);
  HopperKernel::Slot slot = k.querySlotOf(use);
  k.waitFor(Barrier::FullItem, slot.index, slot.parity);
  SharedItem shared = loadItem(k, slot);
  e.branchIf(e.less(shared.count, e.i32(0)), end, item);

  e.enter(item);
  Value address = copies.headAddress(query, shared.pair, k.heads);
  Value table = e.advance(k.argument(kRowTokens), e.extend(e.mul(shared.block, s.rows)), e.b.getI32Type());
  Value tile = e.sharedAddress(k.bufferAt(s.queryOffset, s.queryBytes(), slot.index));
  e.loop(e.i32(0), e.i32(s.rows), e.i32(kRowsAtOnce), [&](Value first) {
    Values tokens = copies.loadTokens(e.advance(table, e.extend(first), e.b.getI32Type()), kRowsAtOnce);
    copies.copy(e.add(tile, e.mul(first, TileCopy::kRowBytes)), s.rows, query, address, tokens);
  });
  waitForCopies(e);
  // Products read through another path than these copies wrote.
  k.fenceStores();
  k.arrive(Barrier::FullQuery, slot.index);
  e.branch(next, e.add(use, 1));

  e.enter(end);
  k.arrive(Barrier::FullQuery, slot.index);
  e.branch(exit);
}
