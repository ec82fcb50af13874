// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Judges all windows of a cell at once.
//
// The lanes of a group have the chunks of all tokens in registers. Distances are rounded to f32 and compared with two
// numbers that have the bound between them: what is below the one is below the bound, and what is not below the other is
// not, however it was rounded. Only between the two are distances taken in f64, as the interpreter and the CPU take them;
// so all snap alike, and next to nothing is computed in f64.

#include "codegen/CUDA/SnapPairs.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

SnapPairs::SnapPairs(StageKernel &k, RowGroup &rows, CellGrid &grid, const std::array<bool, 3> &axes, Value source,
                     Value stride, Value bound)
    : e(k.e), rows(rows), grid(grid), sides{axes[0] ? 2 : 1, axes[1] ? 2 : 1, axes[2] ? 2 : 1}, source(source),
      stride(stride), bound(bound) {
  // Rounding to f32 moves a number by 2^-24 of it, or by 2^-150.
  auto margin = [&](double factor, double distance) {
    Value moved = e.addF(e.mulF(bound, e.f64(factor)), e.f64(distance));
    return Value(arith::TruncFOp::create(e.b, k.f32(), moved));
  };
  surelyBelow = margin(1 - std::ldexp(1, -22), -std::ldexp(1, -148));
  surelyNotBelow = margin(1 + std::ldexp(1, -22), std::ldexp(1, -148));
}

size_t SnapPairs::numberOf(const std::array<int64_t, 3> &offset) const {
  return (offset[0] * sides[1] + offset[1]) * sides[2] + offset[2];
}

void SnapPairs::findPlaces(const CellGrid::Cell &cell) {
  for (int64_t t = 0; t < sides[0]; ++t)
    for (int64_t h = 0; h < sides[1]; ++h)
      for (int64_t w = 0; w < sides[2]; ++w) {
        Place place{{t, h, w}, grid.placeAt(cell, {e.i32(t), e.i32(h), e.i32(w)}).token, {}};
        for (int64_t axis = 0; axis < 3; ++axis)
          if (place.offset[axis]) {
            std::array<int64_t, 3> first = place.offset;
            first[axis] = 0;
            place.window[axis] = windows.size();
            windows.push_back({numberOf(first), places.size()});
          }
        places.push_back(place);
      }
}

Value SnapPairs::tokenOr0(const Place &place) {
  return e.select(e.less(e.i32(-1), place.token), place.token, e.i32(0));
}

/// Of places without a token another row, which no window that counts has.
Values SnapPairs::loadRows(int64_t pass) {
  auto load = [&] {
    Values chunks;
    for (const Place &place : places)
      chunks.push_back(rows.load(rows.chunkAt(source, tokenOr0(place), stride, pass)));
    return chunks;
  };
  if (rows.shape.chunks() % rows.shape.lanes() == 0)
    return load();
  Value zeros = LLVM::ZeroOp::create(e.b, VectorType::get(rows.elements, rows.element));
  return e.valuesWhen(rows.hasChunk(pass), load, Values(places.size(), zeros));
}

/// Of each window over the thread's channels, NaN if a distance is. Channel by channel, so that few numbers of all tokens
/// are in registers at once.
Values SnapPairs::greatestDistances(ArrayRef<Value> chunks) {
  Values greatest(windows.size());
  for (int64_t i = 0; i < rows.elements; ++i) {
    Values channel;
    for (Value chunk : chunks)
      channel.push_back(e.toF32(rows.at(chunk, i)));
    for (auto [number, window] : llvm::enumerate(windows)) {
      Value distance = e.absolute(e.subF(channel[window.first], channel[window.last])), &before = greatest[number];
      before = before ? e.maximumOrNaN(before, distance) : distance;
    }
  }
  return greatest;
}

/// A bit for each window that does not fire in some channel of the thread's chunk.
Value SnapPairs::findFailures(int64_t pass) {
  Values chunks = loadRows(pass);
  Value failures = e.i32(0), isNear = e.i1(false);
  for (auto [number, greatest] : llvm::enumerate(greatestDistances(chunks))) {
    Value fires = e.greaterF(surelyBelow, greatest);
    failures = e.bitOr(failures, e.select(fires, e.i32(0), e.i32(int64_t{1} << number)));
    Value mayFire = arith::CmpFOp::create(e.b, arith::CmpFPredicate::OLE, greatest, surelyNotBelow);
    isNear = e.bitOr(isNear, e.select(fires, e.i1(false), mayFire));
  }
  return e.valueWhen(e.bitAnd(isNear, rows.hasChunk(pass)), [&] { return judgeExactly(pass); }, failures);
}

/// Rarely needed: channels are read again one by one, so that this takes no registers from what is always done.
Value SnapPairs::judgeExactly(int64_t pass) {
  // Known here, but if the compiler knew it, it would unroll the loop and do just that.
  Value count = e.assembly("mov.b32 $0, " + std::to_string(rows.elements) + ";", "=r", {}, {e.b.getI32Type()})[0];
  return e.loop(e.i32(0), count, e.i32(1), e.i32(0), [&](Value i, ValueRange before) {
    Values channel;
    for (const Place &place : places) {
      Value chunk = rows.chunkAt(source, tokenOr0(place), stride, pass);
      channel.push_back(e.toF64(e.load(rows.element, e.advance(chunk, e.extend(i), rows.element), rows.shape.elementBytes)));
    }
    Value failures = before[0];
    for (auto [number, window] : llvm::enumerate(windows)) {
      Value fires = e.greaterF(bound, e.absolute(e.subF(channel[window.first], channel[window.last])));
      failures = e.bitOr(failures, e.select(fires, e.i32(0), e.i32(int64_t{1} << number)));
    }
    return Values{failures};
  })[0];
}

Value SnapPairs::storeDonors(const CellGrid::Cell &cell, Value donorsOfPair) {
  findPlaces(cell);
  Value failures = e.i32(0);
  for (int64_t pass = 0; pass < rows.shape.passes(); ++pass)
    failures = e.bitOr(failures, findFailures(pass));
  failures = e.reduceLanes(failures, rows.shape.lanes(), [&](Value a, Value b) { return e.bitOr(a, b); });

  Values donors;
  for (const Place &place : places) {
    Value donor = place.token;
    // The first axis along which a window fires is written last.
    for (int64_t axis : {2, 1, 0})
      if (place.window[axis]) {
        Value fires = e.equal(e.bitAnd(failures, int64_t{1} << *place.window[axis]), 0);
        donor = e.select(e.bitAnd(fires, grid.isWhole(cell, axis)), donors[windows[*place.window[axis]].first], donor);
      }
    donors.push_back(donor);
  }
  Value own = e.i32(0);
  for (auto [place, donor] : llvm::zip_equal(places, donors)) {
    Value exists = e.less(e.i32(-1), place.token);
    e.when(e.bitAnd(rows.isLeader, exists), [&] { e.storeAt(donor, donorsOfPair, place.token); });
    own = e.add(own, e.extend(e.bitAnd(exists, e.equal(donor, place.token)), 32));
  }
  return own;
}
