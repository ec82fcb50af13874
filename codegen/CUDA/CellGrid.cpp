// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Cells and their tokens.

#include "codegen/CUDA/CellGrid.h"

using namespace mlir;
using namespace weft::cuda;

CellGrid::CellGrid(StageKernel &k, unsigned first) : e(k.e) {
  for (unsigned axis = 0; axis < 3; ++axis)
    extents[axis] = k.argument(first + axis), window[axis] = k.argument(first + 3 + axis);
  begin = k.argument(first + 6), tokens = k.argument(first + 7);
  steps = {e.mul(extents[1], extents[2]), extents[2], e.i32(1)};
  video = e.mul(extents[0], steps[0]);
  size = e.mul(window[0], e.mul(window[1], window[2]));
}

static std::array<Value, 3> countCells(Emitter &e, ArrayRef<Value> extents, ArrayRef<Value> window) {
  std::array<Value, 3> counts;
  for (size_t axis = 0; axis < 3; ++axis)
    counts[axis] = e.divide(e.add(extents[axis], e.add(window[axis], -1)), window[axis]);
  return counts;
}

Value CellGrid::count() {
  auto [t, h, w] = countCells(e, extents, window);
  return e.add(e.mul(t, e.mul(h, w)), e.sub(tokens, video));
}

CellGrid::Cell CellGrid::cellAt(Value number) {
  auto [t, h, w] = countCells(e, extents, window);
  Value area = e.mul(h, w), videoCells = e.mul(t, area);
  Value slice = e.divide(number, area), within = e.sub(number, e.mul(slice, area));
  Value row = e.divide(within, w), column = e.sub(within, e.mul(row, w));
  Cell cell{{e.mul(slice, window[0]), e.mul(row, window[1]), e.mul(column, window[2])}, {}};
  Value place = e.sub(number, videoCells);
  Value isText = e.bitAnd(e.less(e.i32(-1), place), e.less(place, e.sub(tokens, video)));
  Value token = e.select(e.less(place, begin), place, e.add(place, video));
  cell.text = e.select(isText, token, e.i32(-1));
  return cell;
}

CellGrid::Cell CellGrid::cellOf(Value token) {
  Value place = e.sub(token, begin), isVideo = e.below(place, video);
  Value t = e.divide(place, steps[0]), within = e.sub(place, e.mul(t, steps[0]));
  Value h = e.divide(within, steps[1]), w = e.sub(within, e.mul(h, steps[1]));
  auto beginOf = [&](Value at, int64_t axis) { return e.sub(at, e.remainder(at, window[axis])); };
  return {{e.select(isVideo, beginOf(t, 0), extents[0]), beginOf(h, 1), beginOf(w, 2)},
          e.select(isVideo, e.i32(-1), token)};
}

CellGrid::Place CellGrid::placeAt(const Cell &cell, Value position) {
  Value area = e.mul(window[1], window[2]);
  Value t = e.divide(position, area), within = e.sub(position, e.mul(t, area));
  Value h = e.divide(within, window[2]), w = e.sub(within, e.mul(h, window[2]));
  Place place = placeAt(cell, {t, h, w});
  place.token = e.select(e.less(position, size), place.token, e.i32(-1));
  return place;
}

CellGrid::Place CellGrid::placeAt(const Cell &cell, const std::array<Value, 3> &offset) {
  Place place{{}, offset};
  Value exists = e.i1(true), isFirst = e.i1(true), token = begin;
  for (int64_t axis = 0; axis < 3; ++axis) {
    Value at = e.add(cell.begin[axis], place.offset[axis]);
    exists = e.bitAnd(exists, e.bitAnd(e.less(at, extents[axis]), e.less(offset[axis], window[axis])));
    isFirst = e.bitAnd(isFirst, e.equal(offset[axis], 0));
    token = e.add(token, e.mul(at, steps[axis]));
  }
  Value text = e.select(isFirst, cell.text, e.i32(-1));
  place.token = e.select(exists, token, text);
  return place;
}

Value CellGrid::isWhole(const Cell &cell, int64_t axis) {
  return e.less(e.add(cell.begin[axis], e.add(window[axis], -1)), extents[axis]);
}
