// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which pairs of a probe's tokens each candidate holds, a bit each: a thread per word of 32 columns.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/PairPredicate.h"
#include "codegen/CUDA/RecallPlan.h"
#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RecognitionShape;

namespace {

/// The coordinates t, h, w and index of one probe after another, and the words. Dynamic parameters but floats follow.
enum Argument : unsigned { kCoordinates, kWords, kNumArguments };

class ProbeBitsStage {
public:
  ProbeBitsStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "probe_bits", "pp" + std::string(predicateParameters(op).size(), 'i'), Shape::kBitThreads), e(k.e),
        plan(RecallPlan::of(op)) {
    for (auto [i, parameter] : llvm::enumerate(predicateParameters(op))) {
      Value value = k.argument(kNumArguments + i);
      common.map(parameter, parameter.getType().isInteger(1) ? e.notEqual(value, 0) : value);
    }
  }

  /// The grid: words of a candidate, heads, candidates.
  void emit() {
    Value at = e.add(e.mul(k.x, k.threads), k.thread);
    for (const ProbePlan &probe : plan.probes)
      for (const MeasuredCandidate &candidate : probe.candidates)
        if (candidate.predicate)
          e.when(e.bitAnd(e.equal(k.z, candidate.number),
                          e.bitAnd(e.below(k.y, e.i32(candidate.heads)), e.below(at, e.i32(probe.words())))),
                 [&] { emitWord(probe, candidate, at); });
    k.finish();
  }

private:
  Value coordinateAt(const ProbePlan &probe, int64_t axis, Value place) {
    int64_t first = kNumAxes * probe.rowsBefore + axis * probe.rows;
    return e.advance(k.argument(kCoordinates), e.extend(e.add(place, first)), k.i32());
  }

  void emitWord(const ProbePlan &probe, const MeasuredCandidate &candidate, Value at) {
    Value line = e.shiftRight(at, 2), step = e.divide(line, probe.rows), row = e.sub(line, e.mul(step, probe.rows));
    Value firstColumn = e.add(e.mul(step, plan.schedule.columns), e.shiftLeft(e.bitAnd(at, 3), 1));
    Values query;
    for (int64_t axis : candidate.queryAxes)
      query.push_back(e.load(k.i32(), coordinateAt(probe, axis, row), 4));
    Value word = e.i32(0);
    for (int64_t group = 0; group < plan.schedule.columns / 8; ++group) {
      Value column = e.add(firstColumn, 8 * group);
      std::array<Values, 2> keys;
      for (int64_t axis : candidate.keyAxes) {
        Value both = e.load(VectorType::get(2, k.i32()), coordinateAt(probe, axis, column), 8);
        for (int64_t i = 0; i < 2; ++i)
          keys[i].push_back(LLVM::ExtractElementOp::create(e.b, both, e.i32(i)));
      }
      for (int64_t i = 0; i < 2; ++i) {
        // Columns behind the last token have no weight: all of a step may be held with them.
        Value isBehind = e.less(e.i32(probe.tokens - 1 - i), column);
        Value bit = e.bitOr(isBehind, holds(candidate, query, keys[i]));
        word = e.bitOr(word, e.shiftLeft(e.extend(bit, 32), 2 * group + i));
      }
    }
    Value place = e.add(e.add(e.mul(k.y, probe.words()), at), candidate.firstWord);
    e.storeAt(word, k.argument(kWords), place);
  }

  Value holds(const MeasuredCandidate &candidate, ArrayRef<Value> query, ArrayRef<Value> key) {
    PredicateOp predicate = candidate.predicate;
    Region &body = predicate.getBody();
    IRMapping mapping = common;
    mapping.map(body.getArgument(kHead), k.y);
    auto mapSide = [&](unsigned first, ArrayRef<int64_t> axes, ArrayRef<Value> coordinates) {
      for (auto [axis, coordinate] : llvm::zip_equal(axes, coordinates))
        mapping.map(body.getArgument(first + axis), coordinate);
      mapping.map(body.getArgument(first + kNumAxes), e.i1(false)); // probes have no text
    };
    mapSide(kQueryT, candidate.queryAxes, query);
    mapSide(kKeyT, candidate.keyAxes, key);
    for (Operation &inner : body.front().without_terminator())
      e.b.clone(inner, mapping);
    return mapping.lookupOrDefault(cast<YieldOp>(body.front().getTerminator()).getValue());
  }

  StageKernel k;
  Emitter &e;
  RecallPlan plan;
  IRMapping common;
};

} // namespace

void weft::cuda::formProbeBits(func::FuncOp kernel, BlockAttentionOp op) { ProbeBitsStage(kernel, op).emit(); }
