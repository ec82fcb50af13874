// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Selection of key blocks: a warp per row of scores.
//
// All rules end in "the first n": topk is told n, the others count it. The n-th greatest score is found bit by bit, from
// the highest: a bit stays if at least n scores are not below what it makes. Then one walk over the row takes the scores
// above it, and as many equal ones as are missing, in the order of their blocks, and writes each visited block's entry.
// The entries stand where the scores stood: there are never more of them than scores were read. A row that is not too long
// is in registers while it is searched.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/Stages.h"
#include "passes/FormRecognition.h"
#include "runtime/CUDA/StageShapes.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::SelectShape;

namespace {

/// Scores; per set, row and key block what an entry is outside and inside the selection (bits 0-1 and 2-3: 0 nothing, 1
/// full, 2 partial); the sets; where each row's list is; rows; the bound's order or the number of blocks; the mass; blocks
/// at least. If heads are recognized there are sets for every candidate, and the last is the choice of each pair.
enum Argument : unsigned { kScores, kCodes, kSets, kRanges, kRows, kLimit, kMass, kLeast, kSelectChoices };

class SelectStage {
public:
  SelectStage(func::FuncOp kernel, BlockAttentionOp op, const Selection &selection, int64_t queryBlocks,
              int64_t keyBlocks)
      : k(kernel, "select", "ppipiifip", Shape::kThreads), e(k.e), selection(selection), queryBlocks(queryBlocks),
        keyBlocks(keyBlocks), isRecognized(recognitionOf(op)), row(e.add(e.mul(k.x, Shape::kRows), k.warp)) {}

  void emit() {
    e.when(e.below(row, k.argument(kRows)), [&] {
      scores = e.advance(k.argument(kScores), e.mul(e.extend(row), rt::cuda::ScoreShape::rowPitch(keyBlocks) * 4));
      if (keyBlocks <= 32 * kMostOrders)
        for (int64_t first = 0; first < keyBlocks; first += 32)
          orders.push_back(loadOrder(e.add(k.lane, first)));
      Value count = e.greater(countWanted(), k.argument(kLeast));
      writeList(e.minimum(count, e.i32(keyBlocks)));
    });
    k.finish();
  }

private:
  Value countWanted() {
    if (selection.rule == "topk")
      return k.argument(kLimit);
    if (selection.rule == "threshold")
      return countFrom(toUnsigned(k.argument(kLimit)));
    Value some = e.greaterF(k.argument(kMass), e.f32(0)), all = e.greaterF(e.f32(1), k.argument(kMass));
    Value count = e.valueWhen(some, [&] { return countMass(); }, e.i32(0));
    return e.select(all, count, e.i32(keyBlocks));
  }

  //===--- The row's scores ---===//

  /// Signed order as unsigned.
  Value toUnsigned(Value order) { return e.bitXor(order, int64_t{1} << 31); }

  /// The order of block `block`, 0 beyond the row, which is below every score.
  Value loadOrder(Value block) {
    Value exists = e.below(block, e.i32(keyBlocks));
    Value order = e.loadAt(k.i32(), scores, e.minimum(block, e.i32(keyBlocks - 1)));
    return e.select(exists, toUnsigned(order), e.i32(0));
  }

  /// Combines something of every score into one number of the warp.
  Value overRow(Value start, llvm::function_ref<Value(Value order, Value sum)> combine) {
    if (!orders.empty()) {
      Value sum = start;
      for (Value order : orders)
        sum = combine(order, sum);
      return sum;
    }
    return e.loop(e.i32(0), e.i32(keyBlocks), e.i32(32), start, [&](Value first, ValueRange sum) {
      return Values{combine(loadOrder(e.add(first, k.lane)), sum[0])};
    })[0];
  }

  /// Scores that are not below `bound`, which is above 0.
  Value countFrom(Value bound) {
    return e.sumWarp(overRow(e.i32(0), [&](Value order, Value sum) {
      return e.add(sum, e.select(e.below(order, bound), e.i32(0), e.i32(1)));
    }));
  }

  /// The greatest bound that as many scores as `count` reach, or one that exactly so many reach, which is found sooner.
  Value findBoundOf(Value count) {
    Block *next = e.createBlock({k.i32(), k.i32()}), *done = e.createBlock({k.i32()});
    e.branch(next, {e.i32(int64_t{1} << 31), e.i32(0)});
    e.enter(next);
    Value bit = next->getArgument(0), bound = next->getArgument(1), candidate = e.bitOr(bound, bit);
    Value reached = countFrom(candidate), lower = e.shiftRight(bit, 1);
    Value better = e.select(e.less(reached, count), bound, candidate);
    Value isLast = e.bitOr(e.equal(reached, count), e.equal(lower, 0));
    e.branchIf(isLast, done, better, next, {lower, better});
    e.enter(done);
    return done->getArgument(0);
  }

  /// The greatest bound for which `reaches` holds, bit by bit; 0 if there is none.
  Value findBound(llvm::function_ref<Value(Value)> reaches) {
    return e.loop(e.i32(0), e.i32(32), e.i32(1), e.i32(0), [&](Value number, ValueRange bound) {
      Value candidate = e.bitOr(bound[0], e.shiftRight(e.i32(int64_t{1} << 31), number));
      return Values{e.select(reaches(candidate), candidate, bound[0])};
    })[0];
  }

  //===--- Shares of the softmax ---===//

  /// A score from its order: the order of negative numbers has their other bits turned.
  Value scoreOf(Value order) {
    Value bits = toUnsigned(order);
    Value sign = LLVM::AShrOp::create(e.b, bits, e.i32(31));
    return LLVM::BitcastOp::create(e.b, k.f32(), e.bitXor(bits, e.bitAnd(sign, 0x7FFFFFFF)));
  }

  /// e^(score - greatest); of infinite greatest scores each has a share of 1, and the others none.
  Value weightOf(Value order, Value greatest) {
    Value score = scoreOf(order), top = scoreOf(greatest);
    Value isFinite = e.equalF(e.mulF(top, e.f32(0)), e.f32(0));
    Value weight = e.exp2(e.mulF(e.subF(score, top), e.f32(M_LOG2E)));
    Value isTop = e.select(e.equal(order, greatest), e.f32(1), e.f32(0));
    return e.select(e.equal(order, 0), e.f32(0), e.select(isFinite, weight, isTop));
  }

  Value massFrom(Value bound, Value greatest) {
    Value own = overRow(e.f32(0), [&](Value order, Value sum) {
      return e.addF(sum, e.select(e.below(order, bound), e.f32(0), weightOf(order, greatest)));
    });
    return e.reduceWarp(own, [&](Value a, Value b) { return e.addF(a, b); });
  }

  /// The length of the shortest prefix that has the mass.
  Value countMass() {
    auto greater = [&](Value a, Value b) { return LLVM::UMaxOp::create(e.b, a, b).getResult(); };
    Value greatest = e.reduceWarp(overRow(e.i32(0), greater), greater);
    Value wanted = e.mulF(k.argument(kMass), massFrom(e.i32(0), greatest));
    Value bound = findBound([&](Value candidate) {
      return e.equal(e.extend(e.greaterF(wanted, massFrom(candidate, greatest)), 32), 0);
    });
    Value next = e.add(bound, 1), above = countFrom(next), equal = e.sub(countFrom(bound), above);
    Value missing = e.subF(wanted, massFrom(next, greatest));
    Value ratio = LLVM::FCeilOp::create(e.b, e.divideF(missing, weightOf(bound, greatest)));
    Value most = LLVM::SIToFPOp::create(e.b, k.f32(), equal);
    Value needed = LLVM::FPToSIOp::create(e.b, k.i32(), LLVM::MinNumOp::create(e.b, ratio, most));
    return e.add(above, e.greater(needed, e.i32(1)));
  }

  //===--- The list ---===//

  void writeList(Value count) {
    Value bound = findBoundOf(count);
    Value above = countFrom(e.add(bound, 1)), ties = e.sub(count, above);
    Value codes = codesOfRow(), zero = e.i32(0);
    Values ends;
    if (orders.empty()) {
      ends = e.loop(zero, e.i32(keyBlocks), e.i32(32), {zero, zero}, [&](Value first, ValueRange state) {
        Value key = e.add(first, k.lane);
        return writeEntries(key, loadOrder(key), loadCodes(codes, key), bound, ties, state);
      });
    } else {
      // All at once: the list takes the place of the scores.
      Values both;
      for (size_t i = 0; i < orders.size(); ++i)
        both.push_back(loadCodes(codes, e.add(k.lane, 32 * i)));
      ends = {zero, zero};
      for (size_t i = 0; i < orders.size(); ++i)
        ends = writeEntries(e.add(k.lane, 32 * i), orders[i], both[i], bound, ties, ends);
    }
    e.when(e.equal(k.lane, 0), [&] {
      Value range = e.advance(k.argument(kRanges), e.mul(e.extend(row), 8));
      e.store(e.mul(row, rt::cuda::ScoreShape::rowPitch(keyBlocks)), range, 4);
      e.store(ends[0], e.advance(range, e.i64(4)), 4);
    });
  }

  Value codesOfRow() {
    Value pair = e.divide(row, queryBlocks), block = e.remainder(row, queryBlocks);
    Value set = e.remainder(pair, k.argument(kSets));
    if (isRecognized) {
      Value choice = e.loadAt(k.i32(), k.argument(kSelectChoices), pair);
      set = e.add(set, e.mul(choice, k.argument(kSets)));
    }
    Value codeRow = e.add(e.mul(set, queryBlocks), block);
    return e.advance(k.argument(kCodes), e.mul(e.extend(codeRow), keyBlocks));
  }

  /// Of the lanes' key blocks those that are visited, behind the `state[0]` entries and `state[1]` ties before them; returns
  /// both afterwards.
  Values writeEntries(Value key, Value order, Value both, Value bound, Value ties, ValueRange state) {
    Value lower = e.add(e.shiftLeft(e.i32(1), k.lane), -1);
    Value isTie = e.bitAnd(e.equal(order, bound), e.below(key, e.i32(keyBlocks)));
    Value tied = e.ballot(isTie), number = e.add(state[1], e.countBits(e.bitAnd(tied, lower)));
    Value isSelected = e.bitOr(e.below(bound, order), e.bitAnd(isTie, e.less(number, ties)));
    Value code = codeOf(both, key, isSelected);
    Value isVisited = e.notEqual(code, 0), visited = e.ballot(isVisited);
    Value position = e.add(state[0], e.countBits(e.bitAnd(visited, lower)));
    e.when(isVisited, [&] {
      Value given = e.select(isSelected, e.i32(kGivenFlag), e.i32(0));
      Value partial = e.select(e.equal(code, 2), e.i32(kPartialFlag), e.i32(0));
      e.storeAt(e.bitOr(e.shiftLeft(key, 2), e.bitOr(given, partial)), scores, position);
    });
    return {e.add(state[0], e.countBits(visited)), e.add(state[1], e.countBits(tied))};
  }

  /// What the entry of a key block is outside and inside of the selection.
  Value loadCodes(Value codes, Value key) {
    Value at = e.advance(codes, e.extend(e.minimum(key, e.i32(keyBlocks - 1))));
    return e.extend(e.load(e.b.getI8Type(), at, 1), 32);
  }

  /// What it is of these two; 0 beyond the row.
  Value codeOf(Value both, Value key, Value isSelected) {
    Value code = e.bitAnd(e.select(isSelected, e.shiftRight(both, 2), both), 3);
    return e.select(e.below(key, e.i32(keyBlocks)), code, e.i32(0));
  }

  StageKernel k;
  Emitter &e;
  const Selection &selection;
  int64_t queryBlocks, keyBlocks;
  bool isRecognized;
  Value row, scores;
  /// Every 32nd order of the row from the lane's on.
  static constexpr int64_t kMostOrders = 32;
  Values orders;
};

} // namespace

void weft::cuda::formSelect(func::FuncOp kernel, BlockAttentionOp op, const Selection &selection) {
  int64_t queryBlocks = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks();
  int64_t keyBlocks = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks();
  SelectStage(kernel, op, selection, queryBlocks, keyBlocks).emit();
}
