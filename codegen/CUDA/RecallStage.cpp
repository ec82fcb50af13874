// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recalls on probes: what share of each row's attention mass the candidates keep.
//
// A CTA has a block of a probe's queries and walks the probe's keys, with the tiles, copies and products of kernels of
// mma.sync; both probes are one launch, since one alone does not fill a large GPU. One exponential of each score serves
// all candidates: relative to the row's maximum over all keys, a candidate's sum is that of the weights of its pairs. Sums
// are added up in the same order as the sum over all keys, so that a candidate which keeps all has a share of exactly 1.

#include "codegen/CUDA/MMAKernel.h"
#include "codegen/CUDA/RegisterSoftmax.h"
#include "codegen/CUDA/Stages.h"
#include "codegen/CUDA/WarpTile.h"
#include "dialect/Recognition.h"
#include "passes/FormRecognition.h"
#include "passes/KernelFunction.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

/// Values would be a third operand; their stages are not used.
static MMASchedule scheduleOf(BlockAttentionOp op) {
  RankedTensorType type = op.getQuery().getType();
  MMAProblem problem;
  problem.headDim = type.getDimSize(3), problem.elementBytes = type.getElementTypeBitWidth() / 8;
  problem.queryTokens = 128, problem.keyTokens = 16;
  std::string error;
  std::optional<MMASchedule> schedule = MMASchedule::choose(problem, "", error);
  assert(schedule && "the attention has one, by now");
  return *schedule;
}

RecallTile weft::cuda::recallTileOf(BlockAttentionOp op) {
  MMASchedule schedule = scheduleOf(op);
  return {schedule.rows(), schedule.columns, schedule.threads(), schedule.valueOffset};
}

namespace {

/// Queries and keys, each with the strides of batch, head and token in elements; the tokens of one probe after another, -1
/// behind the last of each up to whole tiles; likewise their coordinates t, h, w and index; and the share of each
/// candidate by pair, candidate and row. Then the elements from one candidate's shares to the next's, and dynamic
/// parameters but floats.
enum Argument : unsigned {
  kQueryTensor = 0, kKeyTensor = 4, kTokens = 8, kCoordinates, kShares, kPitch, kNumRecallArguments
};

/// What a thread knows of one of its row tiles.
struct RowState {
  RowPair maximum, sum;
  /// By candidate.
  SmallVector<RowPair> kept;
};

/// The code of one probe.
class ProbeRecall {
public:
  /// Before the probe's tables there are those of `before` tokens.
  ProbeRecall(StageKernel &stage, func::FuncOp kernel, BlockAttentionOp op, const MMASchedule &schedule,
              const ProbeCandidates &group, int64_t before)
      : k(stage), e(k.e), op(op), s(schedule), mma(e, op, schedule, k.arguments),
        copies(e, k.thread, s.threads(), s.problem.headDim, s.problem.elementBytes), tile(mma, k.warp),
        factor(op.getScale().convertToDouble() * M_LOG2E), pair(k.y),
        tokens(probeTokens(op.getQueryGrid(), group.probe).size()), padded(llvm::alignTo(tokens, s.rows())),
        table(e.advance(k.argument(kTokens), e.i64(4 * before))),
        coordinates(e.advance(k.argument(kCoordinates), e.i64(4 * kNumAxes * before))) {
    unsigned next = kNumRecallArguments;
    for (BlockArgument parameter : parametersOf(kernel)) {
      if (parameter.getType().isInteger(32))
        common.map(parameter, k.argument(next++));
      else if (parameter.getType().isInteger(1))
        common.map(parameter, e.notEqual(k.argument(next++), 0));
    }
    for (int64_t number : group.numbers)
      addCandidate(recognitionOf(op), number);
  }

  int64_t paddedTokens() const { return padded; }

  void emit() {
    e.when(e.below(k.x, e.i32(padded / s.rows())), [&] { emitBlock(); });
  }

private:
  void emitBlock() {
    Value query = copies.headAddress(tensor(kQueryTensor), pair, mma.heads);
    Value key = copies.headAddress(tensor(kKeyTensor), pair, mma.heads);
    Value firstRow = e.mul(k.x, s.rows());
    copies.copy(e.sharedAddress(e.i32(s.queryOffset)), s.rows(), tensor(kQueryTensor), query,
                copies.loadTokens(e.advance(table, e.extend(firstRow), k.i32()), s.rows()));
    copyKeys(key, e.i32(0), loadKeyTokens(e.i32(0)));
    ownRow = e.add(firstRow, e.add(e.mul(k.warp, 16 * s.rowTiles), e.shiftRight(k.lane, 2)));
    firstColumn = e.shiftLeft(e.bitAnd(k.lane, 3), 1);
    loadQueryCoordinates();
    emitSteps(key);
  }

  struct Candidate {
    int64_t number;
    /// Null if it holds every pair, or none.
    PredicateOp predicate;
    bool isAll;
    SmallVector<int64_t> queryAxes, keyAxes;
  };

  void addCandidate(ChooseOp choose, int64_t number) {
    Operation *mask = choose.getRecalls()[number].getDefiningOp<RecallOp>().getMask().getDefiningOp();
    Candidate candidate{number, dyn_cast<PredicateOp>(mask), false, {}, {}};
    if (auto constant = dyn_cast<ConstantMaskOp>(mask))
      candidate.isAll = constant.getValue();
    if (candidate.predicate) {
      candidate.queryAxes = usedAxes(candidate.predicate.getBody(), kQueryT);
      candidate.keyAxes = usedAxes(candidate.predicate.getBody(), kKeyT);
    }
    candidates.push_back(candidate);
  }

  TokenTensor tensor(unsigned first) const {
    return {k.argument(first), k.argument(first + 1), k.argument(first + 2), k.argument(first + 3)};
  }

  int64_t numSteps() const { return llvm::divideCeil(tokens, s.columns); }

  //===--- Keys ---===//

  Values loadKeyTokens(Value step) {
    Value first = e.mul(e.minimum(step, e.i32(numSteps() - 1)), s.columns);
    return copies.loadTokens(e.advance(table, e.extend(first), k.i32()), s.columns);
  }

  void copyKeys(Value key, Value step, ArrayRef<Value> rows) {
    Value stage = e.mul(e.bitAnd(step, 1), s.keyBytes());
    copies.copy(e.sharedAddress(e.add(stage, s.keyOffset)), s.columns, tensor(kKeyTensor), key, rows);
  }

  //===--- Steps ---===//

  void emitSteps(Value key) {
    Value lowest = e.f32(-std::numeric_limits<double>::infinity()), zero = e.f32(0);
    RowState start{{lowest, lowest}, {zero, zero}, SmallVector<RowPair>(candidates.size(), {zero, zero})};
    SmallVector<RowState> states(s.rowTiles, start);
    Values carried = flatten(states);
    size_t numNumbers = carried.size();
    carried.append(loadKeyTokens(e.i32(1)));
    Values last = e.loop(e.i32(0), e.i32(numSteps()), e.i32(1), carried, [&](Value step, ValueRange values) {
      Values next(values.drop_front(numNumbers));
      waitForCopies(e);
      k.meet();
      Value following = e.add(step, 1);
      e.when(e.below(following, e.i32(numSteps())), [&] { copyKeys(key, following, next); });
      Values ahead = loadKeyTokens(e.add(step, 2));
      SmallVector<RowState> current = states;
      assign(current, values);
      emitStep(step, current);
      Values result = flatten(current);
      result.append(ahead);
      return result;
    });
    assign(states, last);
    for (int64_t i = 0; i < s.rowTiles; ++i)
      storeShares(states[i], e.add(ownRow, 16 * i));
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

  void emitStep(Value step, MutableArrayRef<RowState> states) {
    RowTiles scores = tile.multiplyKeys(e.bitAnd(step, 1));
    Value column = e.add(e.mul(step, s.columns), firstColumn);
    SmallVector<SoftmaxResult, 2> results;
    for (int64_t i = 0; i < s.rowTiles; ++i) {
      maskTail(scores[i], column);
      results.push_back(emitSoftmax(e, scores[i], states[i].maximum, factor));
      states[i].maximum = results[i].maximum;
      for (int64_t r = 0; r < 2; ++r)
        states[i].sum[r] = e.fma(states[i].sum[r], results[i].correction[r], results[i].sum[r]);
    }
    for (auto [number, candidate] : llvm::enumerate(candidates))
      addKept(number, candidate, column, results, states);
  }

  /// Columns behind the last token of the probe.
  void maskTail(Values &scores, Value column) {
    if (tokens % s.columns == 0)
      return;
    Value count = e.sub(e.i32(tokens), column);
    for (auto [i, score] : llvm::enumerate(scores)) {
      int64_t place = 8 * (static_cast<int64_t>(i) / 4) + i % 2;
      score = e.select(e.less(e.i32(place), count), score, e.f32(-std::numeric_limits<double>::infinity()));
    }
  }

  //===--- Candidates ---===//

  void addKept(size_t number, const Candidate &candidate, Value column, ArrayRef<SoftmaxResult> results,
               MutableArrayRef<RowState> states) {
    SmallVector<Values, 2> weights;
    for (const SoftmaxResult &result : results)
      weights.push_back(result.weights);
    if (candidate.predicate)
      keepPairs(candidate, column, weights);
    for (auto [i, state] : llvm::enumerate(states)) {
      std::array<Values, 2> rows;
      for (auto [at, weight] : llvm::enumerate(weights[i]))
        rows[rowOf(at)].push_back(weight);
      for (int64_t r = 0; r < 2; ++r) {
        Value sum = candidate.predicate || candidate.isAll
                        ? e.reduce(rows[r], [&](Value a, Value b) { return e.addF(a, b); })
                        : e.f32(0);
        state.kept[number][r] = e.fma(state.kept[number][r], results[i].correction[r], sum);
      }
    }
  }

  Value coordinateAt(int64_t axis, Value place) {
    return e.advance(coordinates, e.extend(e.add(place, axis * padded)), k.i32());
  }

  /// Of the axes that some candidate reads, of each of the thread's rows.
  void loadQueryCoordinates() {
    for (int64_t axis = 0; axis < kNumAxes; ++axis)
      if (llvm::any_of(candidates, [&](const Candidate &c) { return llvm::is_contained(c.queryAxes, axis); }))
        for (int64_t row = 0; row < 2 * s.rowTiles; ++row)
          queries[axis].push_back(e.load(k.i32(), coordinateAt(axis, e.add(ownRow, 8 * row)), 4));
  }

  /// Replaces the weights of pairs that the candidate does not hold by 0.
  void keepPairs(const Candidate &candidate, Value column, MutableArrayRef<Values> weights) {
    Region &body = candidate.predicate->getRegion(0);
    common.map(body.getArgument(kHead), e.remainder(pair, mma.heads));
    auto mapSide = [&](IRMapping &mapping, unsigned first, int64_t axis, Value coordinate) {
      mapping.map(body.getArgument(first + axis), coordinate);
      mapping.map(body.getArgument(first + kNumAxes), e.i1(false)); // probes have no text
    };
    for (int64_t group = 0; group < s.columns / 8; ++group) {
      SmallVector<std::array<Value, 2>> keys;
      for (int64_t axis : candidate.keyAxes) {
        Value both = e.load(VectorType::get(2, k.i32()), coordinateAt(axis, e.add(column, 8 * group)), 8);
        keys.push_back({LLVM::ExtractElementOp::create(e.b, both, e.i32(0)),
                        LLVM::ExtractElementOp::create(e.b, both, e.i32(1))});
      }
      for (auto [number, tile] : llvm::enumerate(weights))
        for (int64_t i = 4 * group; i < 4 * group + 4; ++i) {
          IRMapping mapping = common;
          for (int64_t axis : candidate.queryAxes)
            mapSide(mapping, kQueryT, axis, queries[axis][2 * number + rowOf(i)]);
          for (auto [at, axis] : llvm::enumerate(candidate.keyAxes))
            mapSide(mapping, kKeyT, axis, keys[at][i % 2]);
          tile[i] = e.select(evaluate(body, mapping), tile[i], e.f32(0));
        }
    }
  }

  Value evaluate(Region &body, IRMapping &mapping) {
    for (Operation &inner : body.front().without_terminator())
      e.b.clone(inner, mapping);
    return mapping.lookupOrDefault(cast<YieldOp>(body.front().getTerminator()).getValue());
  }

  //===--- Shares ---===//

  void storeShares(const RowState &state, Value firstRow) {
    auto add = [&](Value a, Value b) { return e.addF(a, b); };
    int64_t numCandidates = recognitionOf(op).getRecalls().size();
    for (int64_t r = 0; r < 2; ++r) {
      Value row = e.add(firstRow, 8 * r), sum = e.reduceQuad(state.sum[r], add);
      for (auto [kept, candidate] : llvm::zip_equal(state.kept, candidates)) {
        Value share = e.divideF(e.reduceQuad(kept[r], add), sum);
        Value line = e.add(e.mul(pair, numCandidates), candidate.number);
        Value at = e.add(e.mul(e.extend(line), e.extend(k.argument(kPitch))), e.extend(row));
        e.when(e.bitAnd(e.equal(firstColumn, 0), e.below(row, e.i32(tokens))),
               [&] { e.store(share, e.advance(k.argument(kShares), at, k.f32()), 4); });
      }
    }
  }

  StageKernel &k;
  Emitter &e;
  BlockAttentionOp op;
  MMASchedule s;
  MMAKernel mma;
  TileCopy copies;
  WarpTile tile;
  double factor;
  Value pair;
  /// Of the probe, and rounded up to whole query tiles.
  int64_t tokens, padded;
  Value table, coordinates;
  SmallVector<Candidate> candidates;
  /// Parameters, and the head.
  IRMapping common;
  /// The thread's first row of the probe, and its first column of a step.
  Value ownRow, firstColumn;
  /// By axis.
  std::array<Values, kNumAxes> queries;
};

} // namespace

void weft::cuda::formRecalls(func::FuncOp kernel, BlockAttentionOp op) {
  std::string letters = "plllplllpppi";
  for (BlockArgument parameter : parametersOf(kernel))
    if (!parameter.getType().isF64())
      letters += 'i';
  MMASchedule schedule = scheduleOf(op);
  StageKernel stage(kernel, "recall", letters, schedule.threads());
  int64_t before = 0;
  for (auto [number, group] : llvm::enumerate(groupByProbe(recognitionOf(op))))
    stage.e.when(stage.e.equal(stage.z, static_cast<int64_t>(number)), [&] {
      ProbeRecall probe(stage, kernel, op, schedule, group, before);
      probe.emit();
      before += probe.paddedTokens();
    });
  stage.finish();
}
