// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lowers all tile steps of a module.

#include "codegen/CPU/TileEmitter.h"
#include "passes/PassCounts.h"
#include "passes/TileShapes.h"

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
    if (lanes != 4 && lanes != 8 && lanes != 16) {
      getOperation().emitError("expected 4, 8 or 16 lanes, but got ") << lanes.getValue();
      return signalPassFailure();
    }
    SmallVector<Operation *> steps;
    getOperation().walk([&](Operation *op) {
      if (isa<LoadTileOp, InitTileOp, ScoresOp, SoftmaxOp, AccumulateOp, StoreTileOp, MeanRowOp, ScoreRowOp>(op))
        steps.push_back(op);
    });
    TileTarget target{lanes, scalef, bf16};
    for (Operation *op : steps)
      if (failed(checkStep(op, target)))
        return signalPassFailure();
    if (llvm::any_of(steps, [&](Operation *op) {
          auto scores = dyn_cast<ScoresOp>(op);
          return scores && usesTiles(scores.getKey(), target);
        }))
      noteTiles();
    for (Operation *op : steps)
      lower(op, target);
    numSteps += steps.size();
    recordCounts(getOperation(), getArgument(), {{"steps_lowered", numSteps}});
  }

  /// Code works on whole vectors and register tiles.
  static LogicalResult checkTile(Operation *op, Value tile, int64_t granule, int64_t rows) {
    auto type = cast<MemRefType>(tile.getType());
    if (!type.hasStaticShape())
      return op->emitOpError("expected tiles of static shape, but got ") << type;
    int64_t width = type.getShape().back(), panel = type.getElementType().isBF16() ? 2 * kPanel : kPanel;
    if (type.getRank() == 3 && width != panel)
      return op->emitOpError("expected panels of ") << panel << " numbers, but got " << type;
    if (type.getRank() == 2 && (type.getDimSize(0) % rows || width % granule))
      return op->emitOpError("expected a multiple of ")
             << rows << " rows and of " << granule << " columns, but got " << type;
    return success();
  }

  static LogicalResult checkTiles(Operation *op, std::initializer_list<std::pair<Value, int64_t>> tiles,
                                  int64_t rows = kTileGranule) {
    for (auto [tile, granule] : tiles)
      if (failed(checkTile(op, tile, granule, rows)))
        return failure();
    return success();
  }

  static LogicalResult checkStep(Operation *op, TileTarget target) {
    constexpr int64_t channels = 8, values = kTileGranule / 2, keys = kTileGranule;
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case<LoadTileOp>([&](auto step) { return checkTiles(op, {{step.getTile(), channels}}); })
        .Case<InitTileOp, StoreTileOp>([&](auto step) { return checkTiles(op, {{step.getAccumulator(), values}}); })
        .Case<ScoresOp>([&](auto step) {
          int64_t depth = usesTiles(step.getKey(), target) ? 32 : channels;
          return checkTiles(op, {{step.getQuery(), depth}, {step.getKey(), 0}, {step.getScores(), keys}});
        })
        .Case<SoftmaxOp>([&](auto step) {
          return checkTiles(op, {{step.getScores(), keys}, {step.getWeights(), keys}}, TileEmitter::kReducedRows);
        })
        .Case<AccumulateOp>([&](auto step) {
          return checkTiles(op, {{step.getWeights(), keys}, {step.getValue(), 0}, {step.getAccumulator(), values}});
        })
        .Case<MeanRowOp, ScoreRowOp>([](auto) { return success(); });
  }

  /// The runtime must ask the system for the use of tiles.
  void noteTiles() {
    auto image = getOperation()->getAttrOfType<DictionaryAttr>("weft.image");
    if (!image)
      return;
    NamedAttrList fields(image);
    fields.set("tiles", UnitAttr::get(&getContext()));
    getOperation()->setAttr("weft.image", fields.getDictionary(&getContext()));
  }

  static void lower(Operation *op, TileTarget target) {
    llvm::TypeSwitch<Operation *>(op)
        .Case<LoadTileOp>([&](auto step) { lowerLoadTile(step, target); })
        .Case<InitTileOp>([&](auto step) { lowerInitTile(step, target); })
        .Case<ScoresOp>([&](auto step) {
          usesTiles(step.getKey(), target) ? lowerScoresToTiles(step, target) : lowerScores(step, target);
        })
        .Case<SoftmaxOp>([&](auto step) { lowerSoftmax(step, target); })
        .Case<AccumulateOp>([&](auto step) {
          usesTiles(step.getValue(), target) ? lowerAccumulateToTiles(step, target) : lowerAccumulate(step, target);
        })
        .Case<StoreTileOp>([&](auto step) { lowerStoreTile(step, target); })
        .Case<MeanRowOp>([&](auto step) { lowerMeanRow(step, target); })
        .Case<ScoreRowOp>([&](auto step) { lowerScoreRow(step, target); });
  }

  static bool usesTiles(Value operand, TileTarget target) {
    return target.bf16 == BF16Unit::TileX86 && cast<MemRefType>(operand.getType()).getElementType().isBF16();
  }

  int64_t numSteps = 0;
};

} // namespace
