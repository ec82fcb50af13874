// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The bias as channels of the keys.

#include "codegen/CUDA/KeyBias.h"

#include "codegen/CUDA/WarpgroupProduct.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// Rows lie in groups of eight, each 8 channels of 16 bytes behind one another; the groups of channels 8 to 15 follow.
constexpr int64_t kRowBytes = 16;

class BiasWarp {
public:
  explicit BiasWarp(HopperKernel &k) : k(k), e(k.e), s(k.s) {}

  /// Loops over items; carries the uses of the query buffers and of the stages so far.
  void emit(Block *exit) {
    fillOnes();
    Block *next = e.createBlock({i32(), i32()}), *list = e.createBlock();
    e.branch(next, {e.i32(0), e.i32(0)});
    e.enter(next);
    Value queryUses = next->getArgument(0), stageUses = next->getArgument(1);
    HopperKernel::Slot query = k.querySlotOf(queryUses);
    k.waitFor(Barrier::FullQuery, query.index, query.parity);
    SharedItem item = loadItem(k, query);
    k.meetWarp();
    k.arrive(Barrier::EmptyQuery, query.index);
    e.branchIf(e.less(item.count, e.i32(0)), exit, list);
    e.enter(list);
    Block *step = e.createBlock({i32(), i32()}), *entry = e.createBlock(), *done = e.createBlock();
    Value bias = rowOf(item.pair);
    e.branch(step, {e.i32(0), stageUses});
    e.enter(step);
    Value number = step->getArgument(0), use = step->getArgument(1);
    e.branchIf(e.below(number, item.count), entry, done);
    e.enter(entry);
    emitEntry(bias, e.add(item.offset, number), k.slotOf(use));
    e.branch(step, {e.add(number, 1), e.add(use, 1)});
    e.enter(done);
    e.branch(next, {e.add(queryUses, 1), use});
  }

private:
  /// Of the bias' channels three are written later, and the others are 0.
  void fillOnes() {
    k.clear(k.lane, 32, s.biasOffset, s.onesOffset + s.onesBytes());
    k.meetWarp();
    for (int64_t first : {0, 32}) {
      Value at = e.add(e.mul(k.lane, kRowBytes), s.onesOffset + first * kRowBytes);
      storePair(at, e.i32(0x3F803F80), e.i32(0x3F80));
    }
  }

  void storePair(Value offset, Value first, Value second) {
    e.assembly("st.shared.v2.b32 [$0], {$1, $2};", "r,r,r", {e.sharedAddress(offset), first, second}, {});
  }

  Type i32() { return e.b.getI32Type(); }
  Type f32() { return e.b.getF32Type(); }

  /// The bias of a batch and head.
  Value rowOf(Value pair) {
    Value batch = e.divide(pair, k.heads), head = e.sub(pair, e.mul(batch, k.heads));
    Value offset = e.add(e.mul(e.extend(batch), k.argument(kBiasBatchStride)),
                         e.mul(e.extend(head), k.argument(kBiasHeadStride)));
    return e.advance(k.argument(kBias), offset, f32());
  }

  void emitEntry(Value bias, Value at, HopperKernel::Slot stage) {
    Value entry = e.load(i32(), e.advance(k.argument(kEntries), e.extend(at), i32()), 4);
    Value block = e.shiftRight(entry, 2);
    Value tokens = e.advance(k.argument(kBiasTokens), e.extend(e.mul(block, s.columns)), i32());
    // All loads are under way before the first is waited for, and the stage after them.
    SmallVector<Values> columns;
    for (int64_t first = 0; first < s.columns; first += 32)
      columns.push_back({loadToken(tokens, first)});
    for (Values &column : columns)
      column.push_back(loadBias(bias, column[0]));
    k.waitFor(Barrier::EmptyKey, stage.index, e.bitXor(stage.parity, 1));
    Value tile = e.add(k.bufferAt(s.biasOffset, s.biasBytes(), stage.index), e.mul(k.lane, kRowBytes));
    for (auto [i, column] : llvm::enumerate(columns))
      storeColumn(tile, 32 * static_cast<int64_t>(i), column[1]);
    k.fenceStores();
    k.meetWarp();
    k.arrive(Barrier::FullKey, stage.index);
  }

  /// The token of column `first` + lane; -1 where there is none, or no column.
  Value loadToken(Value tokens, int64_t first) {
    Block *load = e.createBlock(), *done = e.createBlock({i32()});
    Value column = e.add(k.lane, first);
    e.branchIf(e.below(column, e.i32(s.columns)), load, {}, done, e.i32(-1));
    e.enter(load);
    e.branch(done, e.load(i32(), e.advance(tokens, e.extend(column), i32()), 4));
    e.enter(done);
    return done->getArgument(0);
  }

  /// A token's bias over the scale; 0 without a token.
  Value loadBias(Value bias, Value token) {
    Block *load = e.createBlock(), *done = e.createBlock({f32()});
    e.branchIf(e.less(e.i32(-1), token), load, {}, done, e.f32(0));
    e.enter(load);
    Value offset = e.mul(e.extend(token), k.argument(kBiasTokenStride));
    e.branch(done, e.load(f32(), e.advance(bias, offset, f32()), 4));
    e.enter(done);
    return e.mulF(done->getArgument(0), e.f32(1 / k.op.getScale().convertToDouble()));
  }

  void storeColumn(Value tile, int64_t first, Value value) {
    auto store = [&] {
      Values words = split(value);
      storePair(e.add(tile, first * kRowBytes), words[0], words[1]);
    };
    if (first + 32 <= s.columns)
      store();
    else
      e.when(e.below(k.lane, e.i32(s.columns - first)), store);
  }

  Value pack(Value low, Value high) {
    return e.convert("cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f", {high, low}, i32());
  }
  Value asFloat(Value bits) { return LLVM::BitcastOp::create(e.b, f32(), bits); }

  /// Three bf16 whose sum is `value`, and a zero. Infinity and NaN are in the first alone.
  Values split(Value value) {
    Value zero = e.f32(0);
    Value first = asFloat(e.shiftLeft(pack(value, zero), 16));
    Value isFinite = e.equalF(e.mulF(first, zero), zero);
    Value rest = e.select(isFinite, e.subF(value, first), zero);
    Value words = pack(value, rest);
    Value second = asFloat(e.bitAnd(words, static_cast<int64_t>(0xFFFF0000)));
    return {words, pack(e.subF(rest, second), zero)};
  }

  HopperKernel &k;
  Emitter &e;
  const HopperSchedule &s;
};

} // namespace

void weft::cuda::emitBias(HopperKernel &kernel, Block *exit) { BiasWarp(kernel).emit(exit); }

BiasProduct::BiasProduct(HopperKernel &kernel) : k(kernel) {
  if (!k.hasBias())
    return;
  ones = makePlainDescriptor(k.e, k.e.sharedAddress(k.e.i32(k.s.onesOffset)), 64 * kRowBytes);
  bias = makePlainDescriptor(k.e, k.e.sharedAddress(k.e.i32(k.s.biasOffset)), k.s.columns * kRowBytes);
}

void BiasProduct::multiply(Values &scores, HopperKernel::Slot stage) {
  Value tile = k.e.add(bias, k.e.mul(k.e.extend(stage.index), k.s.biasBytes() / 16));
  cuda::multiply(k.e, "bf16", k.s.columns, scores, {ones, {}}, tile, /*transposed=*/false);
}
