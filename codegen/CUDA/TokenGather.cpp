// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The gathering warps. Both bring queries; keys and values have a warp each, so that neither waits for a buffer of the
// other's.

#include "codegen/CUDA/TokenGather.h"

#include "codegen/CUDA/TileCopy.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// Rows that are under way at once; as many registers hold their tokens as threads of a row's eight.
constexpr int64_t kRowsAtOnce = 32;

class Gather {
public:
  explicit Gather(HopperKernel &kernel) : k(kernel), e(k.e), s(k.s) {}

  void emit(Block *exit) {
    Block *next = e.createBlock({i32(), i32()}), *item = e.createBlock(), *end = e.createBlock();
    e.branch(next, {e.i32(0), e.i32(0)});
    e.enter(next);
    Value use = next->getArgument(0), stageUses = next->getArgument(1);
    HopperKernel::Slot slot = k.querySlotOf(use);
    k.waitFor(Barrier::FullItem, slot.index, slot.parity);
    SharedItem shared = loadItem(k, slot);
    e.branchIf(e.less(shared.count, e.i32(0)), end, item);

    e.enter(item);
    if (k.queriesAreGathered())
      copyQueries(shared, slot);
    k.arrive(Barrier::FullQuery, slot.index);
    if (k.keysAreGathered())
      e.when(e.less(e.i32(0), shared.count), [&] { walkLists(shared, stageUses); });
    e.branch(next, {e.add(use, 1), e.add(stageUses, shared.count)});

    e.enter(end);
    k.arrive(Barrier::FullQuery, slot.index);
    e.branch(exit);
  }

private:
  Type i32() { return e.b.getI32Type(); }

  TileCopy makeCopy(Value thread) { return {e, thread, 32 * HopperKernel::kGatherWarps, k.headDim, 2}; }

  void copyQueries(const SharedItem &item, HopperKernel::Slot slot) {
    TileCopy copies = makeCopy(e.add(k.thread, -32 * HopperKernel::kFirstGatherWarp));
    TokenTensor query = k.gatheredQuery();
    Value address = copies.headAddress(query, item.pair, k.heads);
    Value table = e.advance(k.argument(kRowTokens), e.extend(e.mul(item.block, s.rows)), i32());
    Value tile = e.sharedAddress(k.bufferAt(s.queryOffset, s.queryBytes(), slot.index));
    e.loop(e.i32(0), e.i32(s.rows), e.i32(kRowsAtOnce), [&](Value first) {
      Values tokens = copies.loadTokens(e.advance(table, e.extend(first), i32()), kRowsAtOnce);
      copies.copy(e.add(tile, e.mul(first, TileCopy::kRowBytes)), s.rows, query, address, tokens);
    });
    waitForCopies(e);
    // Products read through another path than these copies wrote.
    k.fenceStores();
  }

  /// Where a warp's tiles come from and go.
  struct Operand {
    TokenTensor tensor;
    int64_t offset;
    Barrier empty, full;
  };

  void walkLists(const SharedItem &item, Value stageUses) {
    Value warp = e.broadcastFirstLane(e.shiftRight(k.thread, 5));
    Value bringsKeys = e.equal(warp, HopperKernel::kFirstGatherWarp);
    e.when(bringsKeys, [&] {
      walkList(item, stageUses, {k.gatheredKey(), s.keyOffset, Barrier::EmptyKey, Barrier::FullKey});
    });
    e.when(e.equal(warp, HopperKernel::kFirstGatherWarp + 1), [&] {
      walkList(item, stageUses, {k.gatheredValue(), s.valueOffset, Barrier::EmptyValue, Barrier::FullValue});
    });
  }

  /// Walks a list that is not empty. The tokens of a tile are read while the copies of the one before it are under way,
  /// and its entry a step earlier.
  void walkList(const SharedItem &item, Value stageUses, const Operand &operand) {
    const TokenTensor &tensor = operand.tensor;
    Value address = makeCopy(k.lane).headAddress(tensor, item.pair, k.heads), last = e.add(item.count, -1);
    Value stride = e.mul(LLVM::TruncOp::create(e.b, i32(), tensor.tokenStride), 2);
    Value entries = e.advance(k.argument(kEntries), e.extend(item.offset), i32());
    auto loadEntry = [&](Value number) { return e.loadAt(i32(), entries, e.minimum(number, last)); };
    Values first = {loadEntry(e.i32(1))};
    first.append(loadTokens(loadEntry(e.i32(0))));
    e.loop(e.i32(0), item.count, e.i32(1), first, [&](Value number, ValueRange carried) -> Values {
      HopperKernel::Slot stage = k.slotOf(e.add(stageUses, number));
      k.waitFor(operand.empty, stage.index, e.bitXor(stage.parity, 1));
      k.meetWarp();
      Value tile = e.sharedAddress(k.bufferAt(operand.offset, s.keyBytes(), stage.index));
      copyTile(tile, address, stride, carried.drop_front());
      Values next = {loadEntry(e.add(number, 2))};
      next.append(loadTokens(carried.front()));
      waitForCopies(e);
      k.fenceStores();
      k.arrive(operand.full, stage.index);
      return next;
    });
  }

  /// Of an entry's block, the tokens of all rows, 32 by 32. Lane 8 r + i holds that of the i-th row which the lanes from 8 r
  /// on copy of each 32: 4 r + i mod 4, and 16 more if i is above 3.
  Values loadTokens(Value entry) {
    Value block = e.shiftRight(entry, 2);
    Value table = e.advance(k.argument(kBiasTokens), e.extend(e.mul(block, s.columns)), i32());
    Value own = e.add(e.add(firstRow(), e.bitAnd(k.lane, 3)), e.shiftLeft(e.bitAnd(k.lane, 4), 2));
    Values tokens;
    for (int64_t first = 0; first < s.columns; first += 32) {
      Value row = e.add(own, first);
      tokens.push_back(first + 32 <= s.columns
                           ? e.loadAt(i32(), table, row)
                           : e.valueWhen(e.below(row, e.i32(s.columns)), [&] { return e.loadAt(i32(), table, row); },
                                         e.i32(0)));
    }
    return tokens;
  }

  /// Of the four rows of sixteen that a lane copies.
  Value firstRow() { return e.shiftLeft(e.shiftRight(k.lane, 3), 2); }

  /// Asks for a tile. Nearly all have a token in every row, and then each row is a shuffle, an address and its copies: a warp
  /// alone waits for every instruction that it depends on.
  void copyTile(Value tile, Value address, Value stride, ValueRange tokens) {
    Value least = tokens.front();
    for (Value token : tokens.drop_front())
      least = e.select(e.less(token, least), token, least);
    Value isFull = e.equal(e.ballot(e.less(e.i32(-1), least)), -1);
    Block *full = e.createBlock(), *partial = e.createBlock(), *done = e.createBlock();
    e.branchIf(isFull, full, partial);
    e.enter(full);
    copyRows(tile, address, stride, tokens, /*areAll=*/true);
    e.branch(done);
    e.enter(partial);
    copyRows(tile, address, stride, tokens, /*areAll=*/false);
    e.branch(done);
    e.enter(done);
  }

  /// Eight lanes bring the 128 bytes of a row's group of channels, and each lane four rows of sixteen. Rows without a token
  /// become 0, unless all have one.
  void copyRows(Value tile, Value address, Value stride, ValueRange tokens, bool areAll) {
    constexpr int64_t kRows = 16, kRowBytes = TileCopy::kRowBytes;
    Value chunk = e.bitAnd(k.lane, 7), row = firstRow();
    // Row n has chunk c at c xor n mod 8; tiles begin at multiples of 1024 bytes.
    Value place = e.add(tile, e.add(e.mul(row, kRowBytes), e.shiftLeft(e.bitXor(chunk, e.bitAnd(row, 7)), 4)));
    Values places;
    for (int64_t i = 0; i < 4; ++i)
      places.push_back(e.add(e.bitXor(place, i << 4), i * kRowBytes));
    for (int64_t first = 0; first < s.columns; first += kRows)
      for (int64_t i = 0; i < 4; ++i) {
        Value token = e.broadcastOfEight(tokens[first / 32], first % 32 / 4 + i), size = e.i32(16);
        if (!areAll) {
          Value exists = e.less(e.i32(-1), token);
          size = e.select(exists, size, e.i32(0)), token = e.select(exists, token, e.i32(0));
        }
        copyRow(e, {places[i], first * kRowBytes, s.columns * kRowBytes, multiplyAdd(token, stride, address), size}, chunk,
                k.headDim, 2);
      }
  }

  /// token * stride + address, of 32, 32 and 64 bits.
  Value multiplyAdd(Value token, Value stride, Value address) {
    return e.assembly("mad.wide.u32 $0, $1, $2, $3;", "=l,r,r,l", {token, stride, address}, e.b.getI64Type())[0];
  }

  HopperKernel &k;
  Emitter &e;
  const HopperSchedule &s;
};

} // namespace

void weft::cuda::emitGather(HopperKernel &kernel, Block *exit) { Gather(kernel).emit(exit); }
