// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Asks for products and waits for them.

#include "codegen/CUDA/WarpgroupTile.h"

#include "codegen/CUDA/WarpgroupProduct.h"

using namespace mlir;
using namespace weft::cuda;

WarpgroupTile::WarpgroupTile(Emitter &e, const MMASchedule &schedule, StringRef type, Value warp)
    : e(e), s(schedule), type(type) {
  Value rows = e.mul(e.shiftRight(warp, 2), 64 * MMASchedule::kRowBytes);
  query = makeDescriptor(e, e.sharedAddress(e.add(rows, s.queryOffset)));
  key = makeDescriptor(e, e.sharedAddress(e.i32(s.keyOffset)));
}

Values WarpgroupTile::askForScores(Value stage) {
  Value keys = e.add(key, e.mul(e.extend(stage), s.keyBytes() / 16));
  Values scores;
  fenceProducts(e);
  for (int64_t step = 0; step < s.depthSteps; ++step) {
    int64_t group = step / 4, within = step % 4 * 32;
    Value left = advanceDescriptor(e, query, group * s.rows() * MMASchedule::kRowBytes + within);
    Value right = advanceDescriptor(e, keys, group * s.columns * MMASchedule::kRowBytes + within);
    multiply(e, type, s.columns, scores, {left, {}}, right, /*transposed=*/false);
  }
  commitProducts(e);
  return scores;
}

void WarpgroupTile::wait(Values &scores) { waitForProducts(e, 0, {&scores}); }

void WarpgroupTile::fenceCopies() { fenceShared(e); }
