// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks tiles in shared memory.
//
// Fragments are asked for before the products that precede theirs, so that ldmatrix runs under mma.sync.
//
// Values lie key by key, and a product wants them channel by channel. For 16 bits ldmatrix transposes. For f32 it
// cannot, but a sum over keys may take them in any order: with key 2q as number q and key 2q + 1 as number q + 4 of
// eight, the scores' registers are the left operand as they are, and what a quad loads is in four different banks'
// rows.

#include "codegen/CUDA/WarpTile.h"

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/RegisterSoftmax.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

/// The address of chunk `half` of the first pair of chunks in a row of 128 bytes.
static Value firstAddress(Emitter &e, Value base, Value row, Value half) {
  Value swizzled = e.shiftLeft(e.bitAnd(e.bitXor(half, row), 7), 4);
  return e.add(base, e.add(e.mul(row, MMASchedule::kRowBytes), swizzled));
}

/// Of that address, those of all four pairs of chunks.
static Values pairAddresses(Emitter &e, Value first) {
  Values addresses;
  for (int64_t pair = 0; pair < 4; ++pair)
    addresses.push_back(pair ? e.bitXor(first, 32 * pair) : first);
  return addresses;
}

WarpTile::WarpTile(Emitter &e, const MMASchedule &s, Type element, Value warp, Value lane)
    : e(e), s(s), element(element), product(e, ptxType(element)) {
  Value row = e.bitAnd(lane, 7), low = e.bitAnd(e.shiftRight(lane, 3), 1), high = e.shiftRight(lane, 4);
  // Matrices in the order of a fragment on the left: rows first; on the right: chunks first.
  Value leftRow = e.add(row, e.shiftLeft(low, 3)), rightRow = e.add(row, e.shiftLeft(high, 3));
  Value ownRows = e.mul(warp, 16 * s.rowTiles * MMASchedule::kRowBytes);
  query = firstAddress(e, e.add(e.sharedAddress(e.i32(s.queryOffset)), ownRows), leftRow, high);
  key = firstAddress(e, e.sharedAddress(e.i32(s.keyOffset)), rightRow, low);
  Value values = e.sharedAddress(e.i32(s.valueOffset));
  if (!element.isF32()) {
    value = firstAddress(e, values, leftRow, high);
    return;
  }
  Value channel = e.shiftRight(lane, 2), firstKey = e.shiftLeft(e.bitAnd(lane, 3), 1);
  Value base = e.add(values, e.shiftLeft(e.bitAnd(channel, 3), 2));
  // Bits 2 and 3 of the addresses are the channel in its chunk, which the pairs' bits 5 and 6 do not meet.
  value = firstAddress(e, base, firstKey, e.shiftRight(channel, 2));
  secondValue = firstAddress(e, base, e.add(firstKey, 1), e.shiftRight(channel, 2));
}

/// Calls `load` for a unit before `use` is called for the one ahead of it.
static void pipeline(int64_t units, llvm::function_ref<void(int64_t)> load, llvm::function_ref<void(int64_t)> use) {
  load(0);
  for (int64_t unit = 0; unit < units; ++unit) {
    if (unit + 1 < units)
      load(unit + 1);
    use(unit);
  }
}

RowTiles WarpTile::multiplyKeys(Value stage) {
  RowTiles scores(s.rowTiles, Values(s.columns / 2, e.f32(0)));
  addScores(scores, stage);
  return scores;
}

void WarpTile::addScores(RowTiles &scores, Value stage) {
  Values queries = pairAddresses(e, query), keys = pairAddresses(e, e.add(key, e.mul(stage, s.keyBytes())));
  int64_t pairs = s.columns / 16;
  // By steps of the depth: the queries' fragments, and the keys' of the unit under way and of the next.
  std::array<SmallVector<Fragment, 2>, 2> left;
  std::array<Fragment, 2> right;
  auto load = [&](int64_t unit) {
    int64_t step = unit / pairs, group = step / 4;
    if (unit % pairs == 0) {
      left[step % 2].clear();
      for (int64_t tile = 0; tile < s.rowTiles; ++tile)
        left[step % 2].push_back(product.fragment(
            loadMatrices(e, queries[step % 4], (group * s.rows() + 16 * tile) * MMASchedule::kRowBytes)));
    }
    right[unit % 2] = product.fragment(
        loadMatrices(e, keys[step % 4], (group * s.columns + unit % pairs * 16) * MMASchedule::kRowBytes));
  };
  auto use = [&](int64_t unit) {
    int64_t step = unit / pairs, first = unit % pairs * 8;
    for (int64_t part = 0; part < product.parts(); ++part)
      for (int64_t tile = 0; tile < s.rowTiles; ++tile)
        for (int64_t half = 0; half < 2; ++half)
          product.multiplyPart(part, MutableArrayRef(scores[tile]).slice(first + 4 * half, 4), left[step % 2][tile],
                               right[unit % 2], 2 * half);
  };
  pipeline(s.depthSteps * pairs, load, use);
}

void WarpTile::multiplyValues(RowTiles &accumulator, const RowTiles &weights, Value stage) {
  if (element.isF32())
    multiplyFullValues(accumulator, weights, stage);
  else
    multiplyHalfValues(accumulator, weights, stage);
}

void WarpTile::multiplyHalfValues(RowTiles &accumulator, const RowTiles &weights, Value stage) {
  Values values = pairAddresses(e, e.add(value, e.mul(stage, s.keyBytes())));
  int64_t tiles = s.problem.headDim / 8, pairs = llvm::divideCeil(tiles, 2);
  SmallVector<Values, 2> packed;
  for (const Values &tile : weights)
    packed.push_back(packPairs(e, tile, ptxType(element)));
  std::array<Fragment, 2> right;
  auto load = [&](int64_t unit) {
    int64_t step = unit / pairs, pair = unit % pairs;
    int64_t bytes = (pair / 4 * s.columns + 16 * step) * MMASchedule::kRowBytes;
    right[unit % 2] = product.fragment(loadMatrices(e, values[pair % 4], bytes, /*transposed=*/true));
  };
  auto use = [&](int64_t unit) {
    int64_t step = unit / pairs, pair = unit % pairs;
    for (int64_t tile = 0; tile < s.rowTiles; ++tile)
      for (int64_t half = 0; half < 2 && 2 * pair + half < tiles; ++half)
        product.multiply(MutableArrayRef(accumulator[tile]).slice(8 * pair + 4 * half, 4),
                         product.fragment(ArrayRef(packed[tile]).slice(4 * step, 4)), right[unit % 2], 2 * half);
  };
  pipeline(s.columns / 16 * pairs, load, use);
}

/// Tensor cores cut what they add: over thousands of keys that is a drift. An addition of its own rounds.
void WarpTile::addProduct(MutableArrayRef<Value> accumulator, const Fragment &left, const Fragment &right) {
  Values sum(4, e.f32(0));
  product.multiply(sum, left, right, 0);
  for (auto [total, part] : llvm::zip(accumulator, sum))
    total = e.addF(total, part);
}

void WarpTile::multiplyFullValues(RowTiles &accumulator, const RowTiles &weights, Value stage) {
  Value bytes = e.mul(stage, s.keyBytes());
  Values first = pairAddresses(e, e.add(value, bytes)), second = pairAddresses(e, e.add(secondValue, bytes));
  int64_t tiles = s.problem.headDim / 8;
  SmallVector<Fragment, 2> left;
  std::array<Fragment, 2> right;
  auto load = [&](int64_t unit) {
    int64_t step = unit / tiles, tile = unit % tiles;
    int64_t at = (tile / 4 * s.columns + 8 * step) * MMASchedule::kRowBytes;
    right[unit % 2] = product.fragment({loadShared(e, first[tile % 4], at), loadShared(e, second[tile % 4], at)});
  };
  auto use = [&](int64_t unit) {
    int64_t step = unit / tiles, tile = unit % tiles;
    if (tile == 0) {
      left.clear();
      for (const Values &row : weights)
        left.push_back(product.fragment({row[4 * step], row[4 * step + 2], row[4 * step + 1], row[4 * step + 3]}));
    }
    for (int64_t row = 0; row < s.rowTiles; ++row)
      addProduct(MutableArrayRef(accumulator[row]).slice(4 * tile, 4), left[row], right[unit % 2]);
  };
  pipeline(s.columns / 8 * tiles, load, use);
}
