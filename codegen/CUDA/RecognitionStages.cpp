// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What follows from recalls: the choice of each pair, and its lists.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/Stages.h"
#include "passes/FormRecognition.h"
#include "runtime/CUDA/StageShapes.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::RecognitionShape;

namespace {

/// Shares by pair, candidate with a probe and row, the elements from one candidate's to the next's, the number of rows of
/// both probes, the bound; and what is written: recalls (f64) by pair and candidate, and choices by pair.
enum ChooseArgument : unsigned { kShares, kPitch, kLocalRows, kGlobalRows, kBound, kRecalls, kPairChoices };

/// A CTA per pair. The sums have one order, so that recalls are the same in every run.
class ChooseStage {
public:
  ChooseStage(func::FuncOp kernel, ChooseOp choose)
      : k(kernel, "choose", "piiidpp", Shape::kChooseThreads), e(k.e), choose(choose),
        measured(choose.getRecalls().size()) {}

  void emit() {
    for (int64_t i = 0; i < measured; ++i)
      recalls.push_back(measure(i));
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

  /// The mean of a candidate's shares, in the first thread.
  Value measure(int64_t candidate) {
    bool isLocal = choose.getRecalls()[candidate].getDefiningOp<RecallOp>().getProbe() == Probe::Local;
    Value rows = k.argument(isLocal ? kLocalRows : kGlobalRows);
    Value line = e.add(e.mul(k.x, measured), candidate);
    Value shares = e.advance(k.argument(kShares), e.mul(e.extend(line), e.extend(k.argument(kPitch))), k.f32());
    Value own = e.loop(k.thread, rows, e.i32(k.threads), e.f64(0), [&](Value row, ValueRange sum) {
      Value share = LLVM::FPExtOp::create(e.b, f64(), e.loadAt(k.f32(), shares, row));
      return Values{e.addF(sum[0], share)};
    })[0];
    return e.divideF(sum(own), LLVM::SIToFPOp::create(e.b, f64(), rows));
  }

  /// Over all threads, by halving distances; in the first.
  Value sum(Value own) {
    auto place = [&](Value thread) { return e.shared(e.shiftLeft(thread, 3)); };
    for (int64_t distance = k.threads / 2; distance > 0; distance /= 2) {
      k.meet();
      e.store(own, place(k.thread), 8);
      k.meet();
      Value other = e.valueWhen(
          e.below(k.thread, e.i32(distance)),
          [&] { return e.load(f64(), place(e.add(k.thread, distance)), 8); }, e.f64(0));
      own = e.addF(own, other);
    }
    return own;
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
  int64_t measured;
  Values recalls;
};

/// Choices by pair; by candidate, set and query block (or pool, if rows are gathered) where each list is, and then also
/// the pool of each query block; the sets, the first pair's number, rows; and what is written: the same of each pair,
/// and unless rows are gathered how many lists have each length.
enum ListArgument : unsigned {
  kListChoices, kSourceRanges, kSourcePools, kSets, kFirstPair, kRows, kRanges, kPools, kLengths
};

class ChooseListsStage {
public:
  ChooseListsStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "choose_lists", "pppiiippp", Shape::kListThreads), e(k.e), gathers(gathersRows(op)),
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
      else
        e.atomicAdd(e.advance(k.argument(kLengths), e.extend(count), k.i32()), e.i32(1));
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

void weft::cuda::formChoose(func::FuncOp kernel, BlockAttentionOp op) { ChooseStage(kernel, recognitionOf(op)).emit(); }

void weft::cuda::formChooseLists(func::FuncOp kernel, BlockAttentionOp op) { ChooseListsStage(kernel, op).emit(); }
