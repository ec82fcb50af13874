// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A consumer warpgroup: 64 query rows of each item.
//
// The loop below takes one key block per turn. What it carries is the previous block's weights, not yet multiplied with
// its values, and the item they belong to; the block of a turn may already be the next item's first.

#include "codegen/CUDA/HopperKernel.h"
#include "codegen/CUDA/ItemPieces.h"
#include "codegen/CUDA/KeyBias.h"
#include "codegen/CUDA/RegisterMask.h"
#include "codegen/CUDA/RegisterSoftmax.h"
#include "codegen/CUDA/RowStore.h"
#include "codegen/CUDA/WarpgroupProduct.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// The item of a tile of queries. What else is known of it is read from shared memory where it is needed.
struct Item {
  /// Uses of query buffers before it, and uses of stages when its list ends.
  Value queryUse, end;

  static constexpr size_t kSize = 2;
  Values flat() const { return {queryUse, end}; }
  static Item from(ValueRange values) { return {values[0], values[1]}; }
};

/// Where an item's rows go, which is known until they are stored: the tokens of a thread's rows, and batch * heads + head.
/// Of piece `share`, if that is not -1, the first token is -2 - share.
struct Target {
  RowPair tokens;
  Value pair;

  static constexpr size_t kSize = 3;
  Values flat() const { return {tokens[0], tokens[1], pair}; }
  static Target from(ValueRange values) { return {{values[0], values[1]}, values[2]}; }
};

/// What a turn of the loop begins with.
struct State {
  Values accumulator, weights;
  RowPair maximum, sum;
  /// Uses of stages so far.
  Value use;
  /// 0 if the weights are an item's first, and the accumulator's contents void; else 1.
  Value keep;
  Item item;

  Values flat() const {
    Values values = accumulator;
    values.append(weights);
    values.append({maximum[0], maximum[1], sum[0], sum[1], use, keep});
    values.append(item.flat());
    return values;
  }
};

class Consumer {
public:
  explicit Consumer(HopperKernel &k)
      : k(k), e(k.e), s(k.s), type(ptxType(k.element)), index(e.add(k.warpgroup, -1)),
        factor(k.op.getScale().convertToDouble() * M_LOG2E), bias(k) {}

  void emit() {
    NVVM::SetMaxRegisterOp::create(e.b, e.b.getI32IntegerAttr(s.consumerRegisters),
                                   NVVM::SetMaxRegisterActionAttr::get(e.b.getContext(),
                                                                       NVVM::SetMaxRegisterAction::increase));
    prepare();
    exit = e.createBlock();
    emitFirst();
    emitLoop();
    e.enter(exit);
    LLVM::ReturnOp::create(e.b, ValueRange());
  }

private:
  Type i32() { return e.b.getI32Type(); }
  Type f32() { return e.b.getF32Type(); }
  Value lowest() { return e.f32(-std::numeric_limits<double>::infinity()); }
  Values zeros(int64_t count) { return Values(count, e.f32(0)); }

  void prepare() {
    Value row = e.mul(index, 64 * HopperSchedule::kRowBytes);
    queryDescriptor = makeDescriptor(e, e.sharedAddress(e.add(row, s.queryOffset)));
    keyDescriptor = makeDescriptor(e, e.sharedAddress(e.i32(s.keyOffset)));
    int64_t group = s.channelGroups > 1 ? s.columns * HopperSchedule::kRowBytes : 16;
    valueDescriptor = makeDescriptor(e, e.sharedAddress(e.i32(s.valueOffset)), group);
    Value warp = e.bitAnd(e.shiftRight(k.thread, 5), 3);
    rowInTile = e.add(e.add(e.mul(index, 64), e.mul(warp, 16)), e.shiftRight(k.lane, 2));
    if (s.problem.cutsItems)
      pieces().clear();
  }

  //===--- Items ---===//

  /// Emits the wait for the item of query buffer use `queryUse`; items without keys are stored at once. Ends with the
  /// branch to `found`, with the item as its arguments, or to `none`.
  void emitFetch(Value queryUse, Value use, Block *found, Block *none) {
    Block *next = e.createBlock({i32()});
    e.branch(next, queryUse);
    e.enter(next);
    Value current = next->getArgument(0);
    HopperKernel::Slot slot = k.querySlotOf(current);
    k.waitFor(Barrier::FullQuery, slot.index, slot.parity);
    SharedItem shared = loadItem(k, slot);
    Value count = shared.count;
    Block *item = e.createBlock(), *some = e.createBlock(), *empty = e.createBlock();
    e.branchIf(e.less(count, e.i32(0)), none, item);
    e.enter(item);
    e.branchIf(e.equal(count, 0), empty, some);
    e.enter(empty);
    k.meetWarp();
    k.arrive(Barrier::EmptyQuery, slot.index);
    RowStore(k, rowInTile, shared.block, shared.pair).storeEmpty();
    e.branch(next, e.add(current, 1));
    e.enter(some);
    e.branch(found, Item{current, e.add(use, count)}.flat());
  }

  SmallVector<Type> itemTypes() { return SmallVector<Type>(Item::kSize, i32()); }

  /// Where the rows of an item, or of its piece `share` if that is given, go.
  Target loadTarget(const SharedItem &item, Value share) {
    Target target{RowStore(k, rowInTile, item.block, item.pair).loadTokens(), item.pair};
    if (share)
      target.tokens[0] = e.select(e.less(e.i32(-1), share), e.sub(e.i32(-2), share), target.tokens[0]);
    return target;
  }

  /// Stores an item's rows, or leaves those of a piece.
  void storeRows(const Target &target, const PartialRows &rows) {
    const RowPair &tokens = target.tokens;
    RowStore to(k, rowInTile, Value(), target.pair);
    if (!s.problem.cutsItems)
      return to.storeRows(tokens, rows.accumulator, rows.maximum, rows.sum, factor);
    Block *piece = e.createBlock(), *all = e.createBlock(), *done = e.createBlock();
    e.branchIf(e.notEqual(e.ballot(e.less(tokens[0], e.i32(-1))), 0), piece, all);
    e.enter(all);
    to.storeRows(tokens, rows.accumulator, rows.maximum, rows.sum, factor);
    e.branch(done);
    e.enter(piece);
    pieces().leave(e.sub(e.i32(-2), tokens[0]), loadParts(), rows);
    e.branch(done);
    e.enter(done);
  }

  PieceStore pieces() {
    Value thread = k.readThread();
    Value tile = e.add(e.shiftRight(thread, 5), -4), lane = e.bitAnd(thread, 31);
    return PieceStore(e, k.argument(kPieces), {4 * s.consumers, s.valueChannels}, tile, lane, e.i32(s.notesOffset));
  }

  Value loadParts() { return e.load(i32(), partsAt(k), 4); }

  /// Behind the last item: the rows of items that were cut.
  void storePieces() {
    Value ctas = NVVM::GridDimXOp::create(e.b, i32()), items = e.load(i32(), k.argument(kNumItems), 4);
    Value whole = e.sub(items, e.remainder(items, ctas));
    pieces().addUpLast(loadParts(), factor, [&](Value number, const PartialRows &rows) {
      Values words = e.load4(e.advance(k.argument(kItems), e.mul(e.extend(e.add(whole, number)), 16)));
      RowStore to(k, rowInTile, words[0], words[1]);
      to.storeRows(to.loadTokens(), rows.accumulator, rows.maximum, rows.sum, factor);
    });
  }

  //===--- Steps ---===//

  /// Asks for the scores of an item's rows and a stage's keys.
  Values askForScores(const Item &item, HopperKernel::Slot stage) {
    Value query = e.add(queryDescriptor, e.mul(e.extend(k.querySlotOf(item.queryUse).index), s.queryBytes() / 16));
    Value key = e.add(keyDescriptor, e.mul(e.extend(stage.index), s.keyBytes() / 16));
    fenceProducts(e);
    Values scores;
    for (int64_t step = 0; step < s.depthSteps; ++step) {
      int64_t group = step / 4, within = step % 4 * 32;
      Value left = advanceDescriptor(e, query, group * s.rows * HopperSchedule::kRowBytes + within);
      Value right = advanceDescriptor(e, key, group * s.columns * HopperSchedule::kRowBytes + within);
      multiply(e, type, s.columns, scores, {left, {}}, right, /*transposed=*/false);
    }
    if (k.hasBias())
      bias.multiply(scores, stage);
    commitProducts(e);
    return scores;
  }

  /// Asks for accumulator += weights * values of a stage; without what was in the accumulator before unless `keep`.
  void askForOutput(Values &accumulator, Values &weights, Value keep, HopperKernel::Slot stage) {
    Value value = e.add(valueDescriptor, e.mul(e.extend(stage.index), s.keyBytes() / 16));
    fenceProducts(e, {&accumulator, &weights});
    for (int64_t step = 0; step < s.columns / 16; ++step) {
      Value right = advanceDescriptor(e, value, step * 16 * HopperSchedule::kRowBytes);
      multiply(e, type, s.valueChannels, accumulator, {Value(), ArrayRef(weights).slice(4 * step, 4)}, right,
               /*transposed=*/true, step == 0 ? keep : Value());
    }
    commitProducts(e);
  }

  MaskTables maskTables(const Item &item, HopperKernel::Slot stage) {
    Value query = k.bufferAt(s.queryCoordinatesOffset, s.queryCoordinateBytes(), k.querySlotOf(item.queryUse).index);
    return {e.load4(e.shared(k.bufferAt(s.maskOffset, 16, stage.index))),
            e.shared(e.add(query, e.shiftLeft(rowInTile, 2))),
            e.shared(k.bufferAt(s.keyCoordinatesOffset, s.keyCoordinateBytes(), stage.index)), s.rows, s.columns,
            s.usualColumns(), {}};
  }

  /// What masks need of a stage before its scores are there.
  struct StageMask {
    Value flag;
    Values pairBits;
  };
  StageMask loadMask(HopperKernel::Slot stage) {
    Value flag = e.load(i32(), e.shared(k.bufferAt(s.flagOffset, 4, stage.index)), 4);
    if (!s.problem.readsMaskBits)
      return {flag, {}};
    Value words = e.sharedAddress(k.bufferAt(s.maskBitsOffset, s.maskBitsBytes(), stage.index));
    return {flag, loadPairBits(e, flag, words, rowInTile, k.lane)};
  }

  /// Masks the scores where the stage's flag asks for it, and gives the stage's keys back.
  void maskScores(Values &scores, const StageMask &known, const Item &item, HopperKernel::Slot stage) {
    Block *masked = e.createBlock(), *done = e.createBlock(SmallVector<Type>(scores.size(), f32()));
    int64_t bits = kShortFlag | kTailFlag | (k.isMasked() ? kPartialFlag : 0);
    e.branchIf(e.equal(e.bitAnd(known.flag, bits), 0), done, scores, masked, {});
    e.enter(masked);
    MaskTables tables = maskTables(item, stage);
    tables.pairBits = known.pairBits;
    auto emitPair = [&] { return loadItem(k, k.querySlotOf(item.queryUse)).pair; };
    e.branch(done, RegisterMask(k, std::move(tables), emitPair, known.flag).apply(scores));
    e.enter(done);
    scores.assign(done->args_begin(), done->args_end());
    k.meetWarp();
    k.arrive(Barrier::EmptyKey, stage.index);
  }

  /// Multiplies an accumulator with its rows' corrections.
  void correct(Values &accumulator, const RowPair &correction) {
    auto corrected = [&] {
      Values values;
      for (auto [i, value] : llvm::enumerate(accumulator))
        values.push_back(e.mulF(value, correction[rowOf(i)]));
      return values;
    };
    if (!s.correctsRarely) {
      accumulator = corrected();
      return;
    }
    Block *changed = e.createBlock(), *done = e.createBlock(SmallVector<Type>(accumulator.size(), f32()));
    // They are exactly 1, or less, or NaN.
    Value none = e.equalF(e.mulF(correction[0], correction[1]), e.f32(1));
    e.branchIf(none, done, accumulator, changed, {});
    e.enter(changed);
    e.branch(done, corrected());
    e.enter(done);
    accumulator.assign(done->args_begin(), done->args_end());
  }

  /// Before the loop: the first item's first block, whose weights no output waits for.
  void emitFirst() {
    Block *found = e.createBlock(itemTypes());
    emitFetch(e.i32(0), e.i32(0), found, exit);
    e.enter(found);
    Item item = Item::from(found->getArguments());
    HopperKernel::Slot stage = k.slotOf(e.i32(0));
    k.waitFor(Barrier::FullKey, stage.index, stage.parity);
    StageMask mask = loadMask(stage);
    Values scores = askForScores(item, stage);
    waitForProducts(e, 0, {&scores});
    maskScores(scores, mask, item, stage);
    SoftmaxResult step = emitSoftmax(e, scores, {lowest(), lowest()}, factor);
    State state{zeros(s.valueChannels / 2), packPairs(e, step.weights, type), step.maximum, step.sum, e.i32(1), e.i32(0), item};
    Values flat = state.flat();
    loop = e.createBlock(llvm::to_vector(llvm::map_range(flat, [](Value value) { return value.getType(); })));
    e.branch(loop, flat);
  }

  State loopState() {
    auto arguments = loop->getArguments();
    size_t accumulators = s.valueChannels / 2, weights = s.columns / 4;
    State state;
    state.accumulator.assign(arguments.begin(), arguments.begin() + accumulators);
    state.weights.assign(arguments.begin() + accumulators, arguments.begin() + accumulators + weights);
    auto rest = arguments.drop_front(accumulators + weights);
    state.maximum = {rest[0], rest[1]};
    state.sum = {rest[2], rest[3]};
    state.use = rest[4];
    state.keep = rest[5];
    state.item = Item::from(ValueRange(rest.drop_front(6)));
    return state;
  }

  void emitLoop() {
    e.enter(loop);
    State state = loopState();
    SmallVector<Type> turnTypes = itemTypes();
    turnTypes.push_back(e.b.getI1Type());
    turnTypes.append(Target::kSize, i32());
    Block *turn = e.createBlock(turnTypes), *next = e.createBlock(), *drain = e.createBlock();

    Values same = state.item.flat();
    same.push_back(e.i1(false));
    same.append(Target::kSize, e.i32(0));
    e.branchIf(e.equal(state.use, state.item.end), next, {}, turn, same);

    e.enter(next);
    HopperKernel::Slot query = k.querySlotOf(state.item.queryUse);
    SharedItem shared = loadItem(k, query);
    Value share = s.problem.cutsItems ? e.load(i32(), shareAt(k, query), 4) : Value();
    k.meetWarp();
    k.arrive(Barrier::EmptyQuery, query.index);
    // Read where the rows go while the next item's queries are on their way.
    Target target = loadTarget(shared, share);
    Block *found = e.createBlock(itemTypes());
    emitFetch(e.add(state.item.queryUse, 1), state.use, found, drain);
    e.enter(found);
    Values other(found->args_begin(), found->args_end());
    other.push_back(e.i1(true));
    other.append(target.flat());
    e.branch(turn, other);

    e.enter(turn);
    auto arguments = turn->getArguments();
    emitTurn(state, Item::from(ValueRange(arguments.take_front(Item::kSize))), arguments[Item::kSize],
             Target::from(ValueRange(arguments.drop_front(Item::kSize + 1))));

    e.enter(drain);
    HopperKernel::Slot stage = k.slotOf(e.add(state.use, -1));
    k.waitFor(Barrier::FullValue, stage.index, stage.parity);
    askForOutput(state.accumulator, state.weights, state.keep, stage);
    waitForProducts(e, 0, {&state.accumulator});
    k.arriveAsWarp(Barrier::EmptyValue, stage.index);
    storeRows(target, {state.accumulator, state.maximum, state.sum});
    if (s.problem.cutsItems)
      storePieces();
    e.branch(exit);
  }

  /// One key block, of `item`; if it is its first, the item of `state` ends with this turn, and its rows go to `target`.
  void emitTurn(State state, const Item &item, Value isFirst, const Target &target) {
    HopperKernel::Slot stage = k.slotOf(state.use), previous = k.slotOf(e.add(state.use, -1));
    k.waitFor(Barrier::FullKey, stage.index, stage.parity);
    Values scores = askForScores(item, stage);
    k.waitFor(Barrier::FullValue, previous.index, previous.parity);
    askForOutput(state.accumulator, state.weights, state.keep, previous);
    StageMask mask = loadMask(stage);
    waitForProducts(e, 1, {&scores});
    maskScores(scores, mask, item, stage);
    RowPair maximum, sum;
    for (int64_t r = 0; r < 2; ++r)
      maximum[r] = e.select(isFirst, lowest(), state.maximum[r]);
    SoftmaxResult step = emitSoftmax(e, scores, maximum, factor);
    for (int64_t r = 0; r < 2; ++r)
      sum[r] = e.fma(e.select(isFirst, e.f32(0), state.sum[r]), step.correction[r], step.sum[r]);
    waitForProducts(e, 0, {&state.accumulator});
    k.arriveAsWarp(Barrier::EmptyValue, previous.index);

    e.when(isFirst, [&] { storeRows(target, {state.accumulator, state.maximum, state.sum}); });
    correct(state.accumulator, step.correction);
    State after{state.accumulator, packPairs(e, step.weights, type),      step.maximum, sum,
                e.add(state.use, 1), e.bitXor(e.extend(isFirst, 32), 1), item};
    e.branch(loop, after.flat());
  }

  HopperKernel &k;
  Emitter &e;
  const HopperSchedule &s;
  StringRef type;
  /// Which of the consumers this is.
  Value index;
  double factor;
  BiasProduct bias;
  Value queryDescriptor, keyDescriptor, valueDescriptor, rowInTile;
  Block *exit = nullptr, *loop = nullptr;
};

} // namespace

void weft::cuda::emitConsumer(HopperKernel &kernel) { Consumer(kernel).emit(); }
