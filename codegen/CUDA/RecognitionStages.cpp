// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What follows from recalls: the choice of each pair, and its lists.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/RecallPlan.h"
#include "codegen/CUDA/Stages.h"
#include "passes/FormRecognition.h"
#include "runtime/CUDA/StageShapes.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RecognitionShape;

namespace {

/// The numbers of rows that `recall` left, the elements from one line to the next, the bound; and what is written:
/// recalls (f64) by pair and candidate, and choices by pair.
enum ChooseArgument : unsigned { kNumbers, kPitch, kBound, kRecalls, kPairChoices };

/// A CTA per pair. The sums have one order, so that recalls are the same in every run.
class ChooseStage {
public:
  ChooseStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "choose", "pidpp", Shape::kChooseThreads), e(k.e), choose(recognitionOf(op)),
        plan(RecallPlan::of(op)),
        factor(op.getScale().convertToDouble() * M_LOG2E), measured(plan.numMeasured()), recalls(measured) {}

  void emit() {
    k.takeRegisters();
    for (const ProbePlan &probe : plan.probes)
      measure(probe);
    e.when(e.equal(k.thread, 0), [&] {
      for (int64_t i = 0; i < measured; ++i) {
        Value at = e.add(e.mul(k.x, measured), i);
        e.store(recalls[i], e.advance(k.argument(kRecalls), e.extend(at), f64()), 8);
      }
      e.storeAt(chosen(), k.argument(kPairChoices), k.x);
    });
    k.finish();
  }

private:
  Type f64() { return e.b.getF64Type(); }

  /// The means of the candidates' shares. Two rows at once, if there are registers: what they load is waited for once.
  void measure(const ProbePlan &probe) {
    constexpr int64_t mostNumbers = 16;
    int64_t rowsAtOnce = probe.parts * probe.linesOfPart() <= mostNumbers ? 2 : 1;
    Values zeros(probe.candidates.size(), e.f64(0));
    Value step = e.i32(rowsAtOnce * k.threads);
    Values sums = e.loop(k.thread, e.i32(probe.tokens), step, zeros, [&](Value first, ValueRange before) {
      Values after(before);
      for (int64_t i = 0; i < rowsAtOnce; ++i) {
        Value row = e.add(first, i * k.threads), exists = e.below(row, e.i32(probe.tokens));
        for (auto [sum, share] : llvm::zip_equal(after, sharesOf(probe, e.select(exists, row, first))))
          sum = e.addF(sum, e.select(exists, e.toF64(share), e.f64(0)));
      }
      return after;
    });
    for (auto [candidate, sum] : llvm::zip_equal(probe.candidates, sums))
      recalls[candidate.number] = e.divideF(addUp(sum), e.f64(static_cast<double>(probe.tokens)));
  }

  /// Each candidate's share of a row's mass, from the parts of its keys.
  Values sharesOf(const ProbePlan &probe, Value row) {
    SmallVector<Values> parts;
    for (int64_t part = 0; part < probe.parts; ++part) {
      parts.emplace_back();
      for (int64_t line = 0; line < probe.linesOfPart(); ++line)
        parts.back().push_back(numberAt(probe.lineOf(part, line), row));
    }
    Value maximum = parts.front()[0];
    for (const Values &part : llvm::drop_begin(parts))
      maximum = e.maximum(maximum, part[0]);
    Value isLowest = e.equalF(maximum, e.f32(-std::numeric_limits<double>::infinity()));
    Value shift = e.negate(e.mulF(e.select(isLowest, e.f32(0), maximum), e.f32(factor)));
    Values sums(probe.linesOfPart() - 1, e.f32(0));
    for (const Values &part : parts) {
      Value correction = e.exp2(e.fma(part[0], e.f32(factor), shift));
      for (auto [sum, number] : llvm::zip_equal(sums, ArrayRef(part).drop_front()))
        sum = e.fma(number, correction, sum);
    }
    Values shares;
    for (Value kept : ArrayRef(sums).drop_front())
      shares.push_back(e.divideF(kept, sums[0]));
    return shares;
  }

  Value numberAt(int64_t line, Value row) {
    Value first = e.mul(e.extend(e.add(e.mul(k.x, plan.lines), line)), e.extend(k.argument(kPitch)));
    return e.loadAt(k.f32(), e.advance(k.argument(kNumbers), first, k.f32()), row);
  }

  /// An f64 of each thread over all of them.
  Value addUp(Value own) {
    auto add = [&](Value a, Value b) { return e.addF(a, b); };
    auto place = [&](Value warp) { return e.shared(e.shiftLeft(warp, 3)); };
    static_assert(Shape::kChooseThreads == 32 * 32, "a number of each warp for each lane");
    Value ofWarp = e.reduceWarp(own, add);
    k.meet();
    e.when(e.equal(k.lane, 0), [&] { e.store(ofWarp, place(k.warp), 8); });
    k.meet();
    return e.reduceWarp(e.load(f64(), place(k.lane), 8), add);
  }

  /// As chooseCandidate of the runtime: NaN counts as 0, and of equal recalls the first.
  Value chosen() {
    Value best = e.i32(0), greatest, reached = e.i32(-1);
    for (int64_t i = 0; i < measured; ++i) {
      Value recall = e.select(e.equalF(recalls[i], recalls[i]), recalls[i], e.f64(0));
      if (choose.getBound()) {
        Value isBelow = e.greaterF(k.argument(kBound), recall);
        Value isFirst = e.less(reached, e.i32(0));
        reached = e.select(e.bitAnd(isFirst, e.bitXor(isBelow, e.i1(true))), e.i32(i), reached);
      }
      Value isGreater = i ? e.greaterF(recall, greatest) : e.i1(true);
      best = e.select(isGreater, e.i32(i), best);
      greatest = i ? e.select(isGreater, recall, greatest) : recall;
    }
    Value otherwise = choose.getFallback() ? e.i32(measured) : best;
    return e.select(e.less(reached, e.i32(0)), otherwise, reached);
  }

  StageKernel k;
  Emitter &e;
  ChooseOp choose;
  RecallPlan plan;
  double factor;
  int64_t measured;
  Values recalls;
};

/// Choices by pair; by candidate, set and query block (or pool, if rows are gathered) where each list is, and then also
/// the pool of each query block; the sets, the first pair's number, rows; and what is written: the same of each pair.
enum ListArgument : unsigned { kListChoices, kSourceRanges, kSourcePools, kSets, kFirstPair, kRows, kRanges, kPools };

class ChooseListsStage {
public:
  ChooseListsStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "choose_lists", "pppiiipp", Shape::kListThreads), e(k.e), gathers(gathersRows(op)),
        queryBlocks(partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks()) {}

  void emit() {
    Value row = e.add(e.mul(k.x, k.threads), k.thread);
    e.when(e.below(row, k.argument(kRows)), [&] {
      Value pair = e.divide(row, queryBlocks), block = e.sub(row, e.mul(pair, queryBlocks));
      Value choice = e.loadAt(k.i32(), k.argument(kListChoices), pair);
      Value set = e.remainder(e.add(pair, k.argument(kFirstPair)), k.argument(kSets));
      Value source = e.add(e.mul(e.add(e.mul(choice, k.argument(kSets)), set), queryBlocks), block);
      Value from = rangeAt(k.argument(kSourceRanges), source), to = rangeAt(k.argument(kRanges), row);
      Value count = e.load(k.i32(), e.advance(from, e.i64(4)), 4);
      e.store(e.load(k.i32(), from, 4), to, 4);
      e.store(count, e.advance(to, e.i64(4)), 4);
      if (gathers)
        e.storeAt(e.loadAt(k.i32(), k.argument(kSourcePools), source), k.argument(kPools), row);
    });
    k.finish();
  }

private:
  Value rangeAt(Value ranges, Value number) { return e.advance(ranges, e.mul(e.extend(number), 8)); }

  StageKernel k;
  Emitter &e;
  bool gathers;
  int64_t queryBlocks;
};

} // namespace

void weft::cuda::formChoose(func::FuncOp kernel, BlockAttentionOp op) { ChooseStage(kernel, op).emit(); }

void weft::cuda::formChooseLists(func::FuncOp kernel, BlockAttentionOp op) { ChooseListsStage(kernel, op).emit(); }
