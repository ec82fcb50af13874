// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses the box of an open tiled order.

#include "passes/ChooseTiles.h"

#include "dialect/BlockPartition.h"
#include "passes/PassCounts.h"
#include "passes/Passes.h"

#include "llvm/Support/MathExtras.h"

#include <array>

namespace weft {
#define GEN_PASS_DEF_CHOOSETILESPASS
#include "passes/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

/// One axis cut by a side: `whole` pieces of `side` tokens and at most one of `rest`.
struct Cut {
  Cut(int64_t extent, int64_t side) : side(side), whole(extent / side), rest(extent % side) {}
  int64_t side, whole, rest;
  /// (length, how many) of the two kinds of pieces.
  std::array<std::pair<int64_t, int64_t>, 2> pieces() const { return {{{side, whole}, {rest, rest ? 1 : 0}}}; }
};

/// What a box costs: computed tokens, and a share of a granule for each tile's fixed work.
double costOf(GridAttr grid, int64_t t, int64_t h, int64_t w, int64_t granule) {
  double cost = 0;
  for (auto [dt, nt] : Cut(grid.getT(), t).pieces())
    for (auto [dh, nh] : Cut(grid.getH(), h).pieces())
      for (auto [dw, nw] : Cut(grid.getW(), w).pieces())
        if (int64_t count = nt * nh * nw)
          cost += count * (llvm::alignTo(dt * dh * dw, granule) + 0.25 * granule);
  return cost;
}

struct Candidate {
  int64_t t, h, w;
  double cost;
  int64_t sides() const { return t + h + w; }
};

} // namespace

OrderAttr weft::chooseTiles(GridAttr grid, int64_t block, int64_t granule) {
  SmallVector<Candidate> candidates;
  for (int64_t t = 1; t <= std::min(grid.getT(), block); ++t)
    for (int64_t h = 1; h <= std::min(grid.getH(), block / t); ++h)
      for (int64_t w = 1; w <= std::min(grid.getW(), block / (t * h)); ++w)
        candidates.push_back({t, h, w, costOf(grid, t, h, w, granule)});
  double least = llvm::min_element(candidates, [](auto &a, auto &b) { return a.cost < b.cost; })->cost;
  const Candidate *best = nullptr;
  for (const Candidate &candidate : candidates) {
    if (candidate.cost > 1.03 * least)
      continue;
    if (!best || std::pair(candidate.sides(), candidate.cost) < std::pair(best->sides(), best->cost))
      best = &candidate;
  }
  return OrderAttr::get(grid.getContext(), true, best->t, best->h, best->w);
}

int64_t weft::countPaddedTokens(GridAttr grid, OrderAttr order, int64_t granule) {
  int64_t padded = 0;
  for (auto [count, runs] : Cut(countTokensApart(grid, order), llvm::product_of(tileExtents(grid, order))).pieces())
    padded += runs * llvm::alignTo(count, granule);
  std::array<int64_t, 3> box = order.getBox(), extents = tiledPart(grid, order).extents;
  for (auto [dt, nt] : Cut(extents[0], box[0]).pieces())
    for (auto [dh, nh] : Cut(extents[1], box[1]).pieces())
      for (auto [dw, nw] : Cut(extents[2], box[2]).pieces())
        padded += nt * nh * nw * llvm::alignTo(dt * dh * dw, granule);
  return padded - grid.getVideoTokens();
}

namespace {

struct ChooseTiles final : weft::impl::ChooseTilesPassBase<ChooseTiles> {
  using Base::Base;

  void runOnOperation() override {
    numChosen = numPadding = 0;
    if (granule < 1 || granule > 1024) {
      getOperation().emitError("expected a granule from 1 to 1024 tokens, but got ") << granule.getValue();
      return signalPassFailure();
    }
    getOperation().walk([&](AttentionOp op) {
      if (op.getQueryOrder().isOpen())
        op.setQueryOrderAttr(choose(op.getQueryGrid(), op.getQueryBlockSize()));
      if (op.getKeyOrder().isOpen())
        op.setKeyOrderAttr(choose(op.getKeyGrid(), op.getBlock()));
    });
    // The same boxes for the blocks that predict.
    getOperation().walk([&](BlockMeansOp op) {
      if (op.getOrder().isOpen())
        op.setOrderAttr(chooseTiles(op.getGrid(), op.getBlock(), granule));
    });
    getOperation().walk([&](MaxScoresOp op) {
      if (op.getQueryOrder().isOpen())
        op.setQueryOrderAttr(chooseTiles(op.getQueryGrid(), op.getQueryBlock(), granule));
      if (op.getKeyOrder().isOpen())
        op.setKeyOrderAttr(chooseTiles(op.getKeyGrid(), op.getKeyBlock(), granule));
    });
    recordCounts(getOperation(), getArgument(), {{"boxes_chosen", numChosen}, {"tokens_padded", numPadding}});
  }

  OrderAttr choose(GridAttr grid, int64_t block) {
    OrderAttr order = chooseTiles(grid, block, granule);
    ++numChosen;
    numPadding += countPaddedTokens(grid, order, granule);
    return order;
  }

  int64_t numChosen = 0;
  int64_t numPadding = 0;
};

} // namespace
