// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recalls on probes: what share of each row's attention mass the candidates keep.
//
// A CTA has a tile of a probe's queries and walks a part of the probe's keys; all probes are one launch, since one
// alone does not fill a large GPU. One exponential of each score serves all candidates: relative to the row's maximum
// over the part's keys, a candidate's sum is that of the weights of its pairs. Sums are added up in the same order as
// the sum over all keys, so that a candidate which keeps all has a share of exactly 1. A warp takes that sum where it
// holds all pairs of its tile, and nothing where it holds none; else it asks the bits.

#include "codegen/CUDA/MMAKernel.h"
#include "codegen/CUDA/RecallPlan.h"
#include "codegen/CUDA/RegisterSoftmax.h"
#include "codegen/CUDA/Stages.h"
#include "codegen/CUDA/WarpTile.h"
#include "codegen/CUDA/WarpgroupTile.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// Queries and keys, each with the strides of batch, head and token in elements; the tokens of one probe after another,
/// -1 behind the last of each up to whole tiles; bits; and what is written, lines of a number for each row by pair. Then
/// the elements from one line to the next.
enum Argument : unsigned { kQueryTensor = 0, kKeyTensor = 4, kTokens = 8, kBits, kNumbers, kPitch };

/// What a thread knows of one of its row tiles.
struct RowState {
  RowPair maximum, sum;
  /// By candidate.
  SmallVector<RowPair> kept;
};

/// The code of one probe.
class ProbeRecall {
public:
  ProbeRecall(StageKernel &stage, BlockAttentionOp op, const RecallPlan &plan, const ProbePlan &probe)
      : k(stage), e(k.e), plan(plan), probe(probe), s(plan.schedule), mma(e, op, s, k.arguments),
        copies(e, k.thread, s.threads(), s.problem.headDim, s.problem.elementBytes),
        warps(e, s, mma.element, k.warp, k.lane),
        warpgroups(e, s, ptxType(mma.element), k.warp), factor(op.getScale().convertToDouble() * M_LOG2E), pair(k.y),
        table(e.advance(k.argument(kTokens), e.i64(4 * probe.rowsBefore))) {}

  void emit() {
    Value part = e.sub(k.z, e.i32(probe.partsBefore));
    Value isHere = e.bitAnd(e.below(part, e.i32(probe.parts)), e.below(k.x, e.i32(probe.rows / s.rows())));
    e.when(isHere, [&] { emitPart(part); });
  }

private:
  void emitPart(Value part) {
    firstStep = e.mul(part, probe.partSteps);
    lastStep = e.minimum(e.add(firstStep, probe.partSteps), e.i32(probe.steps));
    firstLine = e.add(e.add(e.mul(pair, plan.lines), probe.linesBefore), e.mul(part, probe.linesOfPart()));
    Value query = copies.headAddress(tensor(kQueryTensor), pair, mma.heads);
    Value key = copies.headAddress(tensor(kKeyTensor), pair, mma.heads);
    Value firstRow = e.mul(k.x, s.rows());
    copies.copy(e.sharedAddress(e.i32(s.queryOffset)), s.rows(), tensor(kQueryTensor), query,
                copies.loadTokens(e.advance(table, e.extend(firstRow), k.i32()), s.rows()));
    copyKeys(key, firstStep, loadKeyTokens(firstStep));
    ownRow = e.add(firstRow, e.add(e.mul(k.warp, 16 * s.rowTiles), e.shiftRight(k.lane, 2)));
    emitSteps(key);
  }

  TokenTensor tensor(unsigned first) const {
    return {k.argument(first), k.argument(first + 1), k.argument(first + 2), k.argument(first + 3)};
  }

  //===--- Keys ---===//

  Values loadKeyTokens(Value step) {
    Value first = e.mul(e.minimum(step, e.i32(probe.steps - 1)), s.columns);
    return copies.loadTokens(e.advance(table, e.extend(first), k.i32()), s.columns);
  }

  void copyKeys(Value key, Value step, ArrayRef<Value> rows) {
    copies.copy(e.sharedAddress(e.add(e.mul(stageOf(step), s.keyBytes()), s.keyOffset)), s.columns, tensor(kKeyTensor),
                key, rows);
  }

  Value stageOf(Value step) { return e.bitAnd(step, 1); }

  //===--- Steps ---===//

  void emitSteps(Value key) {
    Value lowest = e.f32(-std::numeric_limits<double>::infinity()), zero = e.f32(0);
    RowState start{{lowest, lowest}, {zero, zero}, SmallVector<RowPair>(probe.candidates.size(), {zero, zero})};
    SmallVector<RowState> states(s.rowTiles, start);
    Values carried = flatten(states);
    size_t numNumbers = carried.size();
    carried.append(loadKeyTokens(e.add(firstStep, 1)));
    Values last = e.loop(firstStep, lastStep, e.i32(1), carried, [&](Value step, ValueRange values) {
      Values next(values.drop_front(numNumbers));
      waitForKeys();
      Value following = e.add(step, 1);
      Values scores = askForScores(step);
      e.when(e.below(following, lastStep), [&] { copyKeys(key, following, next); });
      Values ahead = loadKeyTokens(e.add(step, 2));
      SmallVector<SmallVector<RowPair>> words;
      for (const MeasuredCandidate &candidate : probe.candidates)
        words.push_back(loadWords(candidate, step));
      wait(scores);
      SmallVector<RowState> current = states;
      assign(current, values);
      addScores(step, scores, words, current);
      Values result = flatten(current);
      result.append(ahead);
      return result;
    });
    assign(states, last);
    for (int64_t i = 0; i < s.rowTiles; ++i)
      store(states[i], e.add(ownRow, 16 * i));
  }

  void waitForKeys() {
    waitForCopies(e);
    if (plan.usesWarpgroups)
      warpgroups.fenceCopies();
    k.meet();
  }

  /// Of all row tiles.
  Values askForScores(Value step) {
    if (plan.usesWarpgroups)
      return warpgroups.askForScores(stageOf(step));
    Values scores;
    for (const Values &tile : warps.multiplyKeys(stageOf(step)))
      scores.append(tile);
    return scores;
  }

  void wait(Values &scores) {
    if (plan.usesWarpgroups)
      warpgroups.wait(scores);
  }

  static Values flatten(ArrayRef<RowState> states) {
    Values values;
    for (const RowState &state : states) {
      values.append({state.maximum[0], state.maximum[1], state.sum[0], state.sum[1]});
      for (const RowPair &kept : state.kept)
        values.append({kept[0], kept[1]});
    }
    return values;
  }

  static void assign(MutableArrayRef<RowState> states, ValueRange values) {
    size_t next = 0;
    for (RowState &state : states) {
      for (Value *value : {&state.maximum[0], &state.maximum[1], &state.sum[0], &state.sum[1]})
        *value = values[next++];
      for (RowPair &kept : state.kept)
        kept[0] = values[next++], kept[1] = values[next++];
    }
  }

  /// `words` are those of loadWords() of each candidate.
  void addScores(Value step, ArrayRef<Value> scores, ArrayRef<SmallVector<RowPair>> words,
                 MutableArrayRef<RowState> states) {
    for (int64_t i = 0; i < s.rowTiles; ++i) {
      Values own(scores.slice(i * s.columns / 2, s.columns / 2));
      maskTail(own, step);
      SoftmaxResult result = emitSoftmax(e, own, states[i].maximum, factor);
      states[i].maximum = result.maximum;
      for (int64_t r = 0; r < 2; ++r)
        states[i].sum[r] = e.fma(states[i].sum[r], result.correction[r], result.sum[r]);
      for (auto [number, candidate] : llvm::enumerate(probe.candidates)) {
        RowPair kept = candidate.predicate ? keptSums(result, words[number][i])
                       : candidate.holdsAll ? result.sum
                                            : RowPair{e.f32(0), e.f32(0)};
        for (int64_t r = 0; r < 2; ++r)
          states[i].kept[number][r] = e.fma(states[i].kept[number][r], result.correction[r], kept[r]);
      }
    }
  }

  /// Columns behind the last token of the probe.
  void maskTail(Values &scores, Value step) {
    if (probe.tokens % s.columns == 0)
      return;
    Value column = e.add(e.mul(step, s.columns), e.shiftLeft(e.bitAnd(k.lane, 3), 1));
    Value count = e.sub(e.i32(probe.tokens), column);
    Value isCut = e.less(count, e.i32(s.columns));
    Values masked = e.valuesWhen(
        isCut,
        [&] {
          Values values;
          for (auto [i, score] : llvm::enumerate(scores)) {
            int64_t place = 8 * (static_cast<int64_t>(i) / 4) + i % 2;
            Value lowest = e.f32(-std::numeric_limits<double>::infinity());
            values.push_back(e.select(e.less(e.i32(place), count), score, lowest));
          }
          return values;
        },
        scores);
    scores = masked;
  }

  //===--- Candidates ---===//

  /// Of each row tile, a word for each of the thread's rows.
  SmallVector<RowPair> loadWords(const MeasuredCandidate &candidate, Value step) {
    SmallVector<RowPair> words(s.rowTiles);
    if (!candidate.predicate)
      return words;
    Value line = e.add(e.mul(step, probe.rows), ownRow);
    if (candidate.heads > 1)
      line = e.add(line, e.mul(e.remainder(pair, mma.heads), probe.words() / 4));
    Value first = e.add(e.add(e.shiftLeft(line, 2), e.bitAnd(k.lane, 3)), candidate.firstWord);
    Value address = e.advance(k.argument(kBits), e.extend(first), k.i32());
    for (auto [tile, pair] : llvm::enumerate(words))
      for (int64_t r = 0; r < 2; ++r)
        pair[r] = e.load(k.i32(), e.advance(address, e.i64(16 * (16 * tile + 8 * r))), 4);
    return words;
  }

  RowPair keptSums(const SoftmaxResult &result, const RowPair &words) {
    int64_t all = llvm::maskTrailingOnes<uint32_t>(s.columns / 4);
    Value isFull = e.equal(e.ballot(e.notEqual(e.bitAnd(words[0], words[1]), static_cast<int32_t>(all))), 0);
    Value isEmpty = e.equal(e.ballot(e.notEqual(e.bitOr(words[0], words[1]), 0)), 0);
    RowPair otherwise;
    for (int64_t r = 0; r < 2; ++r)
      otherwise[r] = e.select(isFull, result.sum[r], e.f32(0));
    Values kept = e.valuesWhen(
        e.equal(e.extend(e.bitOr(isFull, isEmpty), 32), 0), [&] { return sumHeld(result.weights, words); },
        {otherwise[0], otherwise[1]});
    return {kept[0], kept[1]};
  }

  Values sumHeld(ArrayRef<Value> weights, const RowPair &words) {
    std::array<Values, 2> rows;
    for (auto [i, weight] : llvm::enumerate(weights)) {
      int64_t bit = 2 * (static_cast<int64_t>(i) / 4) + i % 2;
      Value isHeld = e.notEqual(e.bitAnd(words[rowOf(i)], static_cast<int32_t>(uint32_t{1} << bit)), 0);
      rows[rowOf(i)].push_back(e.select(isHeld, weight, e.f32(0)));
    }
    auto add = [&](Value a, Value b) { return e.addF(a, b); };
    return {e.reduce(rows[0], add), e.reduce(rows[1], add)};
  }

  //===--- Results ---===//

  void store(const RowState &state, Value firstRow) {
    auto add = [&](Value a, Value b) { return e.addF(a, b); };
    for (int64_t r = 0; r < 2; ++r) {
      Values numbers = {state.maximum[r], e.reduceQuad(state.sum[r], add)};
      for (const RowPair &kept : state.kept)
        numbers.push_back(e.reduceQuad(kept[r], add));
      Value row = e.add(firstRow, 8 * r);
      e.when(e.bitAnd(e.equal(e.bitAnd(k.lane, 3), 0), e.below(row, e.i32(probe.tokens))), [&] {
        for (auto [line, number] : llvm::enumerate(numbers)) {
          Value first = e.mul(e.extend(e.add(firstLine, line)), e.extend(k.argument(kPitch)));
          e.store(number, e.advance(k.argument(kNumbers), e.add(first, e.extend(row)), k.f32()), 4);
        }
      });
    }
  }

  StageKernel &k;
  Emitter &e;
  const RecallPlan &plan;
  const ProbePlan &probe;
  const MMASchedule &s;
  MMAKernel mma;
  TileCopy copies;
  WarpTile warps;
  WarpgroupTile warpgroups;
  double factor;
  Value pair, table;
  /// Of the CTA's part, and of its numbers.
  Value firstStep, lastStep, firstLine;
  /// The thread's first row of the probe.
  Value ownRow;
};

} // namespace

void weft::cuda::formRecalls(func::FuncOp kernel, BlockAttentionOp op) {
  RecallPlan plan = RecallPlan::of(op);
  StageKernel stage(kernel, "recall", "plllplllpppi", plan.schedule.threads());
  for (const ProbePlan &probe : plan.probes)
    ProbeRecall(stage, op, plan, probe).emit();
  // Products and exponentials of several CTAs take turns.
  if (plan.usesWarpgroups)
    stage.shareRegisters(plan.ctasPerSM());
  stage.finish();
}
