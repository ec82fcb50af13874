// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Snapping: tokens take the values of neighbours, or learn whose they will take.
//
// A group of lanes walks the tokens of a cell in raster order; of whole tokens in windows of two, SnapPairs takes all
// at once. A token's donor along an axis is the first token of its window, which was walked before: what that one took is
// what this one takes. Windows are judged in f64, as the interpreter and the CPU judge them, so that all snap alike.

#include "codegen/CUDA/CellGrid.h"
#include "codegen/CUDA/ReuseStages.h"
#include "codegen/CUDA/RowGroup.h"
#include "codegen/CUDA/SnapPairs.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// Source with the strides of batch, head and token; the rows that are written, or donors by pair and token; by pair
/// how many values were replaced; the bound on deviations, or on distances for windows of two; the grid.
enum Argument : unsigned { kSource, kBatchStride, kHeadStride, kTokenStride, kTarget, kReplaced, kBound, kGrid };

class SnapStage {
public:
  SnapStage(func::FuncOp kernel, BlockAttentionOp op, SnapOp snap)
      : k(kernel, "snap", ("plllppd" + CellGrid::kLetters).str(), rt::cuda::RowGroupShape::kThreads), e(k.e),
        rows(k, op), grid(k, kGrid), window(snap.getWindow()), axes(windowAxes(op)),
        isWhole(snap.getWhole()),
        stride(k.argument(kTokenStride)), source(rows.chunkAddress(kSource, kBatchStride, k.y)) {}

  void emit() {
    if (window > 2) // roots and divisions
      k.takeRegisters();
    else if (isWhole)
      k.shareRegisters(SnapPairs::mostCTAs(rows));
    CellGrid::Cell cell = grid.cellAt(e.add(e.mul(k.x, rows.shape.groups()), rows.group));
    if (isWhole && window == 2)
      SnapPairs(k, rows, grid, axes, source, stride, k.argument(kBound)).storeDonors(cell, donorsOfPair());
    else if (isWhole)
      walk(cell, [&](const CellGrid::Place &place) { findDonor(cell, place); });
    else
      for (int64_t pass = 0; pass < rows.shape.passes(); ++pass)
        snapCell(cell, pass);
    k.finish();
  }

private:
  void walk(const CellGrid::Cell &cell, llvm::function_ref<void(const CellGrid::Place &)> body) {
    e.loop(e.i32(0), grid.size, e.i32(1), [&](Value position) { body(grid.placeAt(cell, position)); });
  }

  //===--- Windows ---===//

  /// Whether the token is in a window along an axis, and not its first.
  Value mayFollow(const CellGrid::Cell &cell, const CellGrid::Place &place, int64_t axis) {
    return e.bitAnd(e.less(e.i32(0), place.offset[axis]), grid.isWhole(cell, axis));
  }

  /// The first token of the window along an axis.
  Value firstOf(const CellGrid::Place &place, int64_t axis) {
    return e.sub(place.token, e.mul(place.offset[axis], grid.steps[axis]));
  }

  /// Whether the window from `first` on fires, channel by channel of the thread's chunk.
  Values fires(Value first, Value step, int64_t pass) {
    return window == 2 ? testPair(first, step, pass) : testWindow(first, step, pass);
  }

  Values loadValues(Value token, int64_t pass) {
    Value chunk = rows.load(rows.chunkAt(source, token, stride, pass));
    Values values;
    for (int64_t i = 0; i < rows.elements; ++i)
      values.push_back(e.toF64(rows.at(chunk, i)));
    return values;
  }

  Values compare(ArrayRef<Value> deviations) {
    Values result;
    for (Value deviation : deviations)
      result.push_back(e.greaterF(k.argument(kBound), deviation));
    return result;
  }

  /// Of two tokens the deviation is half the distance.
  Values testPair(Value first, Value step, int64_t pass) {
    Values one = loadValues(first, pass), other = loadValues(e.add(first, step), pass), distances;
    for (auto [a, b] : llvm::zip_equal(one, other))
      distances.push_back(e.absolute(e.subF(a, b)));
    return compare(distances);
  }

  /// Combines each channel's values with its number, in the order of tokens.
  Values overWindow(Value first, Value step, int64_t pass,
                    llvm::function_ref<Value(Value value, Value sum, int64_t i)> add) {
    return e.loop(e.i32(0), e.i32(window), e.i32(1), Values(rows.elements, e.f64(0)), [&](Value i, ValueRange sums) {
      Values values = loadValues(e.add(first, e.mul(i, step)), pass), next;
      for (int64_t c = 0; c < rows.elements; ++c)
        next.push_back(add(values[c], sums[c], c));
      return next;
    });
  }

  Values testWindow(Value first, Value step, int64_t pass) {
    Value count = e.f64(static_cast<double>(window));
    Values mean = overWindow(first, step, pass, [&](Value value, Value sum, int64_t) { return e.addF(sum, value); });
    for (Value &sum : mean)
      sum = e.divideF(sum, count);
    Values squares = overWindow(first, step, pass, [&](Value value, Value sum, int64_t c) {
      Value distance = e.subF(value, mean[c]);
      return e.addF(sum, e.mulF(distance, distance));
    });
    for (Value &sum : squares)
      sum = e.squareRoot(e.divideF(sum, count));
    return compare(squares);
  }

  //===--- Channels ---===//

  /// Snaps the thread's chunk of every token.
  void snapCell(const CellGrid::Cell &cell, int64_t pass) {
    Value target = rows.chunkAddress(kTarget, k.y, grid.tokens);
    Value replaced = e.loop(e.i32(0), grid.size, e.i32(1), e.i32(0), [&](Value position, ValueRange sum) {
      CellGrid::Place place = grid.placeAt(cell, position);
      Value exists = e.bitAnd(e.less(e.i32(-1), place.token), rows.hasChunk(pass));
      Value count = e.valueWhen(exists, [&] { return snapToken(cell, place, target, pass); }, e.i32(0));
      return Values{e.add(sum[0], count)};
    })[0];
    Value all = e.sumWarp(replaced);
    e.when(e.equal(k.lane, 0), [&] { e.atomicAdd(e.advance(k.argument(kReplaced), e.extend(k.y), k.i32()), all); });
  }

  /// Returns how many values were replaced. The axis that counts is written last.
  Value snapToken(const CellGrid::Cell &cell, const CellGrid::Place &place, Value target, int64_t pass) {
    Value own = rows.load(rows.chunkAt(source, place.token, stride, pass));
    Values result = {own, e.i32(0)};
    for (int64_t axis : {2, 1, 0})
      result = e.valuesWhen(
          mayFollow(cell, place, axis), [&] { return takeAlong(place, axis, result, target, pass); }, result);
    rows.store(result[0], rows.chunkAt(target, place.token, rows.contiguousStride(), pass));
    return e.countBits(result[1]);
  }

  /// `state` are the chunk and a bit for each value that was replaced.
  Values takeAlong(const CellGrid::Place &place, int64_t axis, ArrayRef<Value> state, Value target, int64_t pass) {
    Value first = firstOf(place, axis);
    Values fire = fires(first, grid.steps[axis], pass);
    Value donor = rows.load(rows.chunkAt(target, first, rows.contiguousStride(), pass));
    Value chunk = state[0], replaced = state[1];
    for (int64_t i = 0; i < rows.elements; ++i) {
      Value value = e.select(fire[i], rows.at(donor, i), rows.at(chunk, i));
      chunk = LLVM::InsertElementOp::create(e.b, chunk, value, e.i32(i));
      replaced = e.bitOr(replaced, e.select(fire[i], e.i32(int64_t{1} << i), e.i32(0)));
    }
    return {chunk, replaced};
  }

  //===--- Whole tokens ---===//

  /// Whether a window fires in no channel of some chunk of the thread.
  Value failsSomewhere(Value first, Value step) {
    Value fails = e.i1(false);
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass) {
      Value own = e.valueWhen(
          rows.hasChunk(pass),
          [&] {
            Values fire = fires(first, step, pass);
            Value all = e.reduce(fire, [&](Value a, Value b) { return e.bitAnd(a, b); });
            return e.select(all, e.i1(false), e.i1(true));
          },
          e.i1(false));
      fails = e.bitOr(fails, own);
    }
    return fails;
  }

  Value donorsOfPair() {
    return e.advance(k.argument(kTarget), e.mul(e.extend(k.y), e.extend(grid.tokens)), k.i32());
  }

  void findDonor(const CellGrid::Cell &cell, const CellGrid::Place &place) {
    Value donors = donorsOfPair();
    Value exists = e.less(e.i32(-1), place.token), isOpen = exists, donor = place.token;
    for (int64_t axis : {0, 1, 2}) {
      Value follows = e.bitAnd(isOpen, mayFollow(cell, place, axis)), first = firstOf(place, axis);
      Value fails = e.valueWhen(follows, [&] { return failsSomewhere(first, grid.steps[axis]); }, e.i1(false));
      Value takes = e.bitAnd(follows, e.equal(rows.ballot(fails), 0));
      donor = e.valueWhen(e.bitAnd(takes, rows.isLeader), [&] { return e.loadAt(k.i32(), donors, first); }, donor);
      isOpen = e.select(takes, e.i1(false), isOpen);
    }
    e.when(e.bitAnd(exists, rows.isLeader), [&] { e.storeAt(donor, donors, place.token); });
  }

  StageKernel k;
  Emitter &e;
  RowGroup rows;
  CellGrid grid;
  int64_t window;
  std::array<bool, 3> axes;
  bool isWhole;
  Value stride, source;
};

} // namespace

void weft::cuda::formSnap(func::FuncOp kernel, BlockAttentionOp op, SnapOp snap) { SnapStage(kernel, op, snap).emit(); }
