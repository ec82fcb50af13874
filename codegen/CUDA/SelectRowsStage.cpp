// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Selection of rows: a CTA per batch element.
//
// The n-th greatest order is found digit by digit, from the highest eight bits: all keys that agree with it so far are
// counted by their next digit, and so 64 bits are eight walks over the tokens. Then every order above it is taken, and as
// many equal ones as are missing, in the order of tokens. Each warp has tokens of its own, so that what comes before its
// first is a sum over warps. Counts are whole numbers: atomics in shared memory do not make the result depend on who is
// first.

#include "codegen/CUDA/Stages.h"
#include "dialect/RowSelection.h"
#include "runtime/CUDA/StageShapes.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RowSelectionShape;

namespace {

/// The order of each token by batch element; how many to select; a bit per token that is taken in any case; the tokens
/// that are taken, ascending, and how many these are, by batch element.
enum Argument : unsigned { kOrders, kCount, kAlways, kIndices, kCounts };

class SelectRowsStage {
public:
  SelectRowsStage(func::FuncOp kernel, int64_t tokens, bool hasAlways)
      : k(kernel, "select_rows", "pippp", Shape::kSelectThreads), e(k.e), shape{tokens}, hasAlways(hasAlways),
        first(e.mul(k.warp, shape.tokensPerWarp())) {}

  void emit() {
    orders = e.advance(k.argument(kOrders), e.mul(e.extend(k.x), shape.padded() * 8));
    findBound();
    Value ties = sumOverWarpsBefore(countTies()).before;
    Value own = walkSelected(ties, [](Value, Value, Value) {});
    WarpSums places = sumOverWarpsBefore(own);
    Value indices = e.advance(k.argument(kIndices), e.mul(e.extend(k.x), shape.tokens * 4));
    walkSelected(ties, [&](Value isTaken, Value token, Value number) {
      e.when(isTaken, [&] { e.storeAt(token, indices, e.add(places.before, number)); });
    });
    e.when(e.equal(k.thread, 0), [&] { e.storeAt(places.all, k.argument(kCounts), k.x); });
    k.finish();
  }

private:
  //===--- Walks over a warp's tokens ---===//

  /// The lane's tokens of a turn: `token` and those behind it.
  struct Turn {
    Value token;
    Values orders;
  };

  Values walk(ValueRange carried, llvm::function_ref<Values(const Turn &, ValueRange)> body) {
    auto pair = VectorType::get(2, e.b.getI64Type());
    return e.loop(e.i32(0), e.i32(shape.tokensPerWarp()), e.i32(32 * Shape::kEach), carried,
                  [&](Value begin, ValueRange state) {
      Turn turn{e.add(e.add(first, begin), e.mul(k.lane, Shape::kEach)), {}};
      Value at = e.advance(orders, e.mul(e.extend(turn.token), 8));
      for (int64_t i = 0; i < Shape::kEach; i += 2) {
        Value both = e.load(pair, e.advance(at, e.i64(8 * i)), 16);
        for (int64_t j = 0; j < 2; ++j)
          turn.orders.push_back(LLVM::ExtractElementOp::create(e.b, both, e.i32(j)));
      }
      return body(turn, state);
    });
  }

  Value asNumber(Value condition) { return e.extend(condition, 32); }

  //===--- The bound ---===//

  static constexpr int64_t kDigits = 256;

  Value sharedAt(Value index) { return e.shared(e.shiftLeft(index, 2)); }

  /// The least order that is selected, and how many of the tokens with this order are.
  void findBound() {
    Values found = e.loop(e.i32(0), e.i32(64), e.i32(8), {e.i64(0), k.argument(kCount)},
                          [&](Value done, ValueRange state) {
      Value shift = e.extend(e.sub(e.i32(56), done));
      e.when(e.below(k.thread, e.i32(kDigits)), [&] { e.store(e.i32(0), sharedAt(k.thread), 4); });
      k.meet();
      countDigits(state[0], shift);
      k.meet();
      Digit next = findDigit(state[1]);
      k.meet();
      return Values{e.bitOr(state[0], e.shiftLeft(e.extend(next.digit), shift)), next.missing};
    });
    bound = found[0], missing = found[1];
  }

  void countDigits(Value prefix, Value shift) {
    walk({}, [&](const Turn &turn, ValueRange) {
      for (Value order : turn.orders) {
        // Below 256 where everything above the digit agrees.
        Value digit = e.shiftRight(e.bitXor(order, prefix), shift), agrees = e.below(digit, e.i64(kDigits));
        Value counter = e.select(agrees, LLVM::TruncOp::create(e.b, k.i32(), digit), e.i32(-1));
        e.when(e.notEqual(e.ballot(agrees), 0), [&] { e.takeNumber(e.shared(e.i32(0)), counter, k.lane); });
      }
      return Values();
    });
  }

  struct Digit {
    Value digit, missing;
  };

  /// The greatest digit from which on there are at least `count` keys, and how many of its own are wanted. Every warp
  /// finds it, each lane in eight digits.
  Digit findDigit(Value count) {
    Value top = e.sub(e.i32(kDigits - 1), e.shiftLeft(k.lane, 3));
    Values low = e.load4(sharedAt(e.add(top, -7))), high = e.load4(sharedAt(e.add(top, -3)));
    Values numbers = {high[3], high[2], high[1], high[0], low[3], low[2], low[1], low[0]};
    auto add = [&](Value a, Value b) { return e.add(a, b); };
    Value own = e.reduce(numbers, add), sum = k.scanWarp(own), before = e.sub(sum, own);
    Value skipped = e.i32(0), running = before, greater = before;
    for (Value number : numbers) {
      running = e.add(running, number);
      Value isAbove = e.below(running, count);
      skipped = e.add(skipped, asNumber(isAbove));
      greater = e.select(isAbove, running, greater);
    }
    Value reaches = e.bitXor(e.below(sum, count), e.i1(true));
    Value lane = e.lowestBit(e.ballot(reaches));
    return {e.broadcastLane(e.sub(top, skipped), lane), e.broadcastLane(e.sub(count, greater), lane)};
  }

  //===--- The rows ---===//

  Value countTies() {
    Value own = walk(e.i32(0), [&](const Turn &turn, ValueRange sum) {
      Value ties = sum[0];
      for (Value order : turn.orders)
        ties = e.add(ties, asNumber(e.equal(order, bound)));
      return Values{ties};
    })[0];
    return e.sumWarp(own);
  }

  /// Sums of a number of each warp: over the warps before this one, and over all.
  struct WarpSums {
    Value before, all;
  };

  WarpSums sumOverWarpsBefore(Value own) {
    k.meet();
    e.when(e.equal(k.lane, 0), [&] { e.store(own, sharedAt(k.warp), 4); });
    k.meet();
    Value sum = k.scanWarp(e.load(k.i32(), sharedAt(k.lane), 4));
    return {e.sub(e.broadcastLane(sum, k.warp), own), e.broadcastLane(sum, e.i32(31))};
  }

  /// Calls `take` for each token with its number among the warp's; returns how many are selected. Of the tokens with the
  /// bound's order there are `ties` before the warp's.
  Value walkSelected(Value ties, llvm::function_ref<void(Value isTaken, Value token, Value number)> take) {
    return walk({ties, e.i32(0)}, [&](const Turn &turn, ValueRange state) {
      Values isTie;
      for (Value order : turn.orders)
        isTie.push_back(e.equal(order, bound));
      auto [tie, tiesBehind] = number(isTie, state[0]);
      Values isTaken;
      for (int64_t i = 0; i < Shape::kEach; ++i) {
        Value isMissing = e.bitAnd(isTie[i], e.below(tie[i], missing));
        isTaken.push_back(e.bitOr(e.below(bound, turn.orders[i]), isMissing));
      }
      if (hasAlways)
        addAlways(isTaken, turn.token);
      auto [place, placesBehind] = number(isTaken, state[1]);
      for (int64_t i = 0; i < Shape::kEach; ++i)
        take(isTaken[i], e.add(turn.token, i), place[i]);
      return Values{tiesBehind, placesBehind};
    })[1];
  }

  void addAlways(Values &isTaken, Value token) {
    Value word = e.loadAt(k.i32(), k.argument(kAlways), e.shiftRight(token, 5));
    word = e.shiftRight(word, e.bitAnd(token, 31));
    for (int64_t i = 0; i < Shape::kEach; ++i)
      isTaken[i] = e.bitOr(isTaken[i], e.notEqual(e.bitAnd(word, 1 << i), 0));
  }

  struct Numbers {
    /// Of each of the lane's tokens, and the first of the next turn.
    Values own;
    Value behind;
  };

  /// Numbers tokens for which something holds, from `begin` on; what others get has no meaning.
  Numbers number(ArrayRef<Value> holds, Value begin) {
    Value count = e.i32(0);
    Values before;
    for (Value value : holds) {
      before.push_back(count);
      count = e.add(count, asNumber(value));
    }
    Value sum = k.scanWarp(count), start = e.add(begin, e.sub(sum, count));
    for (Value &value : before)
      value = e.add(start, value);
    return {before, e.add(begin, e.broadcastLane(sum, e.i32(31)))};
  }

  StageKernel k;
  Emitter &e;
  Shape shape;
  bool hasAlways;
  /// The warp's first token.
  Value first;
  Value orders, bound, missing;
};

} // namespace

void weft::cuda::formSelectRows(func::FuncOp kernel, BlockAttentionOp op) {
  SelectRowsOp select = weft::RowSelection::from(op.getRows())->select;
  SelectRowsStage(kernel, op.getQueryGrid().getTokens(), !select.getAlways().empty()).emit();
}
