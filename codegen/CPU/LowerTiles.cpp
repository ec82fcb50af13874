// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lowers all tile steps of a module.

#include "codegen/CPU/TileEmitter.h"
#include "passes/PassCounts.h"

#include "llvm/ADT/TypeSwitch.h"

namespace weft {
#define GEN_PASS_DEF_LOWERTILESPASS
#include "codegen/CPU/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

struct LowerTiles final : weft::impl::LowerTilesPassBase<LowerTiles> {
  using Base::Base;

  void runOnOperation() override {
    numSteps = 0;
    if (lanes != 8 && lanes != 16) {
      getOperation().emitError("expected 8 or 16 lanes, but got ") << lanes.getValue();
      return signalPassFailure();
    }
    SmallVector<Operation *> steps;
    getOperation().walk([&](Operation *op) {
      if (isa<LoadTileOp, InitTileOp, ScoresOp, SoftmaxOp, AccumulateOp, StoreTileOp>(op))
        steps.push_back(op);
    });
    TileTarget target{lanes, scalef};
    for (Operation *op : steps)
      lower(op, target);
    numSteps += steps.size();
    recordCounts(getOperation(), getArgument(), {{"steps_lowered", numSteps}});
  }

  static void lower(Operation *op, TileTarget target) {
    llvm::TypeSwitch<Operation *>(op)
        .Case<LoadTileOp>([&](auto step) { lowerLoadTile(step, target); })
        .Case<InitTileOp>([&](auto step) { lowerInitTile(step, target); })
        .Case<ScoresOp>([&](auto step) { lowerScores(step, target); })
        .Case<SoftmaxOp>([&](auto step) { lowerSoftmax(step, target); })
        .Case<AccumulateOp>([&](auto step) { lowerAccumulate(step, target); })
        .Case<StoreTileOp>([&](auto step) { lowerStoreTile(step, target); });
  }

  int64_t numSteps = 0;
};

} // namespace
