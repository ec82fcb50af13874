// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The loops over items and over the steps of a list.

#include "codegen/CUDA/MMAKernel.h"

#include "codegen/CUDA/RegisterMask.h"
#include "codegen/CUDA/RegisterSoftmax.h"
#include "codegen/CUDA/RowStore.h"
#include "codegen/CUDA/TileCopy.h"
#include "codegen/CUDA/WarpTile.h"
#include "runtime/CUDA/Segment.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// A part of a query block and its list.
struct Item {
  /// Query block, batch * heads + head, the list's first entry, and steps: its entries times parts of a key block.
  Value block, pair, offset, steps;
  /// The thread's first row in the block.
  Value row;
  /// Addresses of the head's keys and values, and of its bias if there is one.
  Value keys, values, bias;
};

/// What is known of a step before it begins.
struct Ahead {
  /// The list's entry and what the block table says of the key block's shape.
  Value entry, shape;
  /// Of the rows that the thread copies.
  Values tokens;
};

/// What a step begins with.
struct State {
  RowTiles accumulator;
  SmallVector<RowPair, 2> maximum, sum;
  Value number;
  Ahead current, next;
  /// The entry of the step after the next.
  Value entry;

  Values flat() const {
    Values values;
    for (const Values &tile : accumulator)
      values.append(tile);
    for (size_t i = 0; i < maximum.size(); ++i)
      values.append({maximum[i][0], maximum[i][1], sum[i][0], sum[i][1]});
    values.append({number, current.entry, current.shape, next.entry, next.shape, entry});
    values.append(next.tokens);
    return values;
  }

  /// The same with other values, in the order of flat().
  State with(ValueRange values) const {
    State result = *this;
    size_t at = 0;
    auto take = [&](Value &value) { value = values[at++]; };
    for (Values &tile : result.accumulator)
      llvm::for_each(tile, take);
    for (size_t i = 0; i < maximum.size(); ++i)
      for (Value *value : {&result.maximum[i][0], &result.maximum[i][1], &result.sum[i][0], &result.sum[i][1]})
        take(*value);
    for (Value *value : {&result.number, &result.current.entry, &result.current.shape, &result.next.entry,
                         &result.next.shape, &result.entry})
      take(*value);
    llvm::for_each(result.next.tokens, take);
    return result;
  }
};

class Kernel {
public:
  explicit Kernel(MMAKernel &k)
      : k(k), e(k.e), s(k.s), factor(k.op.getScale().convertToDouble() * M_LOG2E),
        warp(e.broadcastFirstLane(e.shiftRight(k.thread, 5))),
        copies(e, k.thread, s.threads(), s.problem.headDim, s.problem.elementBytes),
        tile(e, s, k.element, warp, k.lane) {}

  void emit() {
    Block *loop = e.createBlock({i32()}), *item = e.createBlock(), *end = e.createBlock();
    e.branch(loop, drawTicket());
    e.enter(loop);
    // Read for each item: no register holds it through the steps.
    Value items = e.mul(e.load(i32(), k.argument(kNumItems), 4), s.queryParts);
    Value ticket = shareTicket(loop->getArgument(0));
    e.branchIf(e.below(ticket, items), item, end);
    e.enter(item);
    Value next = drawTicket();
    emitItem(ticket, loop, next);
    e.enter(end);
    emitEnd(ticket, items);
  }

private:
  Type i32() { return e.b.getI32Type(); }
  Value lowest() { return e.f32(-std::numeric_limits<double>::infinity()); }
  void meet() { NVVM::Barrier0Op::create(e.b); }

  //===--- Items ---===//

  /// A ticket in the first thread; 0 in the others.
  Value drawTicket() {
    Block *draw = e.createBlock(), *done = e.createBlock({i32()});
    e.branchIf(e.equal(k.thread, 0), draw, {}, done, e.i32(0));
    e.enter(draw);
    Value ticket = LLVM::AtomicRMWOp::create(e.b, LLVM::AtomicBinOp::add, k.argument(kTicket), e.i32(1),
                                             LLVM::AtomicOrdering::monotonic, "device");
    e.branch(done, ticket);
    e.enter(done);
    return done->getArgument(0);
  }

  /// The first thread's ticket in all; also all threads are through with the buffers of the item before.
  Value shareTicket(Value drawn) {
    Value at = e.sharedAddress(e.i32(s.ticketOffset));
    meet();
    e.when(e.equal(k.thread, 0), [&] { e.assembly("st.shared.b32 [$0], $1;", "r,r", {at, drawn}, {}); });
    meet();
    return loadShared(e, at, 0);
  }

  /// The last of the grid's CTAs makes the ticket ready for the next launch: each draws one beyond the items.
  void emitEnd(Value ticket, Value items) {
    Value last = e.add(e.add(items, NVVM::GridDimXOp::create(e.b, i32())), -1);
    e.when(e.bitAnd(e.equal(k.thread, 0), e.equal(ticket, last)),
           [&] { e.store(e.i32(0), k.argument(kTicket), 4); });
    LLVM::ReturnOp::create(e.b, ValueRange());
  }

  /// The store of row tile `number`.
  RowStore store(const Item &item, int64_t number) {
    return RowStore(k, e.add(item.row, 16 * number), item.block, item.pair);
  }

  void emitItem(Value ticket, Block *loop, Value nextTicket) {
    Value part = e.remainder(ticket, s.queryParts);
    Values words = e.load4(e.advance(k.argument(kItems), e.mul(e.extend(e.divide(ticket, s.queryParts)), 16)));
    Value firstRow = e.mul(part, s.rows());
    Value ownRow = e.add(e.mul(warp, 16 * s.rowTiles), e.shiftRight(k.lane, 2));
    Item item{words[0], words[1], words[2], e.mul(words[3], s.keyParts), e.add(firstRow, ownRow), {}, {}, {}};
    Block *empty = e.createBlock(), *some = e.createBlock();
    e.branchIf(e.equal(words[3], 0), empty, some);
    e.enter(empty);
    for (int64_t i = 0; i < s.rowTiles; ++i)
      store(item, i).storeEmpty();
    e.branch(loop, nextTicket);
    e.enter(some);
    item.keys = copies.headAddress(k.tensor(kKey), item.pair, k.heads);
    item.values = copies.headAddress(k.tensor(kValue), item.pair, k.heads);
    if (k.hasBias())
      item.bias = biasAddress(item.pair);
    copyQuery(item, firstRow);
    emitSteps(item);
    e.branch(loop, nextTicket);
  }

  Value biasAddress(Value pair) {
    Value batch = e.divide(pair, k.heads), head = e.sub(pair, e.mul(batch, k.heads));
    Value elements = e.add(e.mul(e.extend(batch), k.argument(kBiasBatchStride)),
                           e.mul(e.extend(head), k.argument(kBiasHeadStride)));
    return e.advance(k.argument(kBias), elements, e.b.getF32Type());
  }

  void copyQuery(const Item &item, Value firstRow) {
    Value first = e.add(e.mul(item.block, s.blockRows()), firstRow);
    Values tokens = copies.loadTokens(e.advance(k.argument(kRowTokens), e.extend(first), i32()), s.rows());
    copies.copy(e.sharedAddress(e.i32(s.queryOffset)), s.rows(), k.tensor(kQuery),
                copies.headAddress(k.tensor(kQuery), item.pair, k.heads), tokens);
  }

  //===--- What is read ahead ---===//

  /// A step's number, or the last if it is beyond the list.
  Value clamp(const Item &item, Value number) { return e.minimum(number, e.add(item.steps, -1)); }

  Value loadEntry(const Item &item, Value number) {
    Value at = e.add(item.offset, e.divide(clamp(item, number), s.keyParts));
    return e.load(i32(), e.advance(k.argument(kEntries), e.extend(at), i32()), 4);
  }

  Value partOf(const Item &item, Value number) { return e.remainder(clamp(item, number), s.keyParts); }

  Ahead readAhead(const Item &item, Value number, Value entry) {
    Value block = e.shiftRight(entry, 2);
    Value shape = e.advance(k.argument(kKeyBlocks), e.add(e.mul(e.extend(block), 16), 12));
    Value first = e.add(e.mul(block, s.blockColumns()), e.mul(partOf(item, number), s.columns));
    Value table = e.advance(k.operand(kKeyTokens), e.extend(first), i32());
    return {entry, e.load(i32(), shape, 4), copies.loadTokens(table, s.columns)};
  }

  void copyStep(const Item &item, Value number, const Ahead &step) {
    Value stage = e.mul(e.bitAnd(number, 1), s.keyBytes());
    copies.copy(e.sharedAddress(e.add(stage, s.keyOffset)), s.columns, k.tensor(kKey), item.keys, step.tokens);
    copies.copy(e.sharedAddress(e.add(stage, s.valueOffset)), s.columns, k.tensor(kValue), item.values, step.tokens);
    if (k.hasBias()) {
      Value numbers = e.add(e.mul(e.bitAnd(number, 1), s.biasBytes()), s.biasOffset);
      copies.copyNumbers(e.sharedAddress(numbers), item.bias, k.argument(kBiasTokenStride), step.tokens);
    }
  }

  //===--- Steps ---===//

  void emitSteps(const Item &item) {
    Ahead first = readAhead(item, e.i32(0), loadEntry(item, e.i32(0)));
    Ahead second = readAhead(item, e.i32(1), loadEntry(item, e.i32(1)));
    copyStep(item, e.i32(0), first);
    State state{RowTiles(s.rowTiles, Values(k.headDim / 2, e.f32(0))),
                SmallVector<RowPair, 2>(s.rowTiles, {lowest(), lowest()}),
                SmallVector<RowPair, 2>(s.rowTiles, {e.f32(0), e.f32(0)}),
                e.i32(0),
                first,
                second,
                loadEntry(item, e.i32(2))};
    Values flat = state.flat();
    Block *loop = e.createBlock(llvm::to_vector(llvm::map_range(flat, [](Value value) { return value.getType(); })));
    Block *done = e.createBlock();
    e.branch(loop, flat);
    e.enter(loop);
    State after = emitStep(item, state.with(loop->getArguments()));
    e.branchIf(e.below(after.number, item.steps), loop, after.flat(), done, {});
    e.enter(done);
    for (int64_t i = 0; i < s.rowTiles; ++i) {
      RowStore rows = store(item, i);
      rows.storeRows(rows.loadTokens(), after.accumulator[i], after.maximum[i], after.sum[i], factor);
    }
  }

  State emitStep(const Item &item, State state) {
    Value stage = e.bitAnd(state.number, 1), nextNumber = e.add(state.number, 1);
    waitForCopies(e);
    meet();
    e.when(e.below(nextNumber, item.steps), [&] { copyStep(item, nextNumber, state.next); });
    Ahead ahead = readAhead(item, e.add(state.number, 2), state.entry);
    Value entry = loadEntry(item, e.add(state.number, 3));

    RowTiles scores = tile.multiplyKeys(stage);
    if (k.hasBias())
      addBias(scores, stage);
    maskScores(scores, item, state);
    RowTiles weights;
    for (int64_t i = 0; i < s.rowTiles; ++i) {
      SoftmaxResult step = emitSoftmax(e, scores[i], state.maximum[i], factor);
      for (int64_t r = 0; r < 2; ++r)
        state.sum[i][r] = e.fma(state.sum[i][r], step.correction[r], step.sum[r]);
      for (auto [at, value] : llvm::enumerate(state.accumulator[i]))
        value = e.mulF(value, step.correction[rowOf(at)]);
      state.maximum[i] = step.maximum;
      weights.push_back(step.weights);
    }
    tile.multiplyValues(state.accumulator, weights, stage);
    state.number = nextNumber;
    state.current = state.next, state.next = ahead, state.entry = entry;
    return state;
  }

  /// Adds bias / scale: the softmax multiplies by the scale.
  void addBias(RowTiles &scores, Value stage) {
    Value factor = e.f32(1 / k.op.getScale().convertToDouble());
    Value first = e.add(e.mul(stage, s.biasBytes()), e.shiftLeft(e.bitAnd(k.lane, 3), 3));
    for (int64_t group = 0; group < s.columns / 8; ++group) {
      Value pair = e.load(VectorType::get(2, e.b.getF32Type()), e.shared(e.add(first, s.biasOffset + 32 * group)), 8);
      for (int64_t i = 0; i < 2; ++i) {
        Value number = LLVM::ExtractElementOp::create(e.b, pair, e.i32(i));
        for (Values &tile : scores)
          for (int64_t row = 0; row < 2; ++row) {
            Value &score = tile[4 * group + 2 * row + i];
            score = e.fma(number, factor, score);
          }
      }
    }
  }

  //===--- Masks ---===//

  /// Which columns of a part hold tokens, a bit each, in words of 32.
  Values loadColumns(Value shape, Value part) {
    Value columnClass = e.shiftRight(shape, rt::cuda::kSegmentBits);
    Value masks = e.advance(k.argument(kColumnMasks), e.shiftLeft(e.extend(columnClass), 4));
    Value bit = e.mul(part, s.columns);
    Value at = e.advance(masks, e.shiftLeft(e.extend(e.shiftRight(bit, 5)), 2));
    Values words;
    for (int64_t i = 0; i < s.columns; i += 32)
      words.push_back(e.shiftRight(e.load(i32(), e.advance(at, e.i64(i / 8)), 4), e.bitAnd(bit, 31)));
    return words;
  }

  MaskTables maskTables(const Item &item, const State &state) {
    Value part = partOf(item, state.number), block = e.shiftRight(state.current.entry, 2);
    auto coordinates = [&](unsigned table, Value block, size_t axes, int64_t rows, Value row) {
      return e.advance(k.argument(table), e.extend(e.add(e.mul(block, axes * rows), row)), i32());
    };
    return {loadColumns(state.current.shape, part),
            coordinates(kQueryCoordinates, item.block, k.queryAxes.size(), s.blockRows(), item.row),
            coordinates(kKeyCoordinates, block, k.keyAxes.size(), s.blockColumns(), e.mul(part, s.columns)),
            s.blockRows(), s.blockColumns(), 0, {}};
  }

  /// Masks the scores where the step's entry or its block's shape asks for it.
  void maskScores(RowTiles &scores, const Item &item, const State &state) {
    Values flat;
    for (const Values &tile : scores)
      flat.append(tile);
    Block *masked = e.createBlock(), *done = e.createBlock(SmallVector<Type>(flat.size(), e.b.getF32Type()));
    Value isShort = e.extend(e.notEqual(e.shiftRight(state.current.shape, rt::cuda::kSegmentBits), 0), 32);
    Value flag = e.bitOr(e.bitAnd(state.current.entry, 3), e.shiftLeft(isShort, 2));
    int64_t bits = kShortFlag | (k.isMasked() ? kPartialFlag : 0);
    e.branchIf(e.equal(e.bitAnd(flag, bits), 0), done, flat, masked, {});
    e.enter(masked);
    MaskTables tables = maskTables(item, state);
    Values result;
    for (int64_t i = 0; i < s.rowTiles; ++i) {
      MaskTables own = tables;
      own.queryCoordinates = e.advance(tables.queryCoordinates, e.i64(16 * 4 * i));
      result.append(RegisterMask(k, own, [&] { return item.pair; }, flag).apply(scores[i]));
    }
    e.branch(done, result);
    e.enter(done);
    size_t next = 0;
    for (Values &tile : scores)
      for (Value &score : tile)
        score = done->getArgument(next++);
  }

  MMAKernel &k;
  Emitter &e;
  const MMASchedule &s;
  double factor;
  Value warp;
  TileCopy copies;
  WarpTile tile;
};

} // namespace

void weft::cuda::emitMMAKernel(MMAKernel &kernel) { Kernel(kernel).emit(); }
