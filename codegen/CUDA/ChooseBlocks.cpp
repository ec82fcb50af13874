// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses block sizes for Hopper kernels.

#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/HopperSchedule.h"
#include "codegen/CUDA/Passes.h"
#include "passes/PassCounts.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {
#define GEN_PASS_DEF_CHOOSEBLOCKSPASS
#include "codegen/CUDA/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;
using weft::cuda::HopperSchedule;

namespace {

constexpr int64_t kDefaultBlock = 128;

/// Given lists are of the caller's blocks, and what a prediction keeps depends on its blocks.
bool usesLists(AttentionOp op) {
  auto function = op->getParentOfType<func::FuncOp>();
  if (!function)
    return false;
  bool isPredicted = false;
  function.walk([&](BlockMeansOp) { isPredicted = true; });
  return isPredicted || llvm::any_of(function.getArgumentTypes(), llvm::IsaPred<BlocksType>);
}

struct ChooseBlocks final : weft::impl::ChooseBlocksPassBase<ChooseBlocks> {
  using Base::Base;

  void runOnOperation() override {
    if (!cuda::isGenerator(getOperation(), cuda::kHopperGenerator))
      return;
    int64_t chosen = 0;
    getOperation().walk([&](AttentionOp op) { chosen += choose(op); });
    recordCounts(getOperation(), getArgument(), {{"blocks_chosen", chosen}});
  }

  static bool choose(AttentionOp op) {
    if (op.getQueryBlock() || usesLists(op))
      return false;
    int64_t headDim = op.getQuery().getType().getDimSize(3), block = op.getBlock();
    // Boxes of queries and keys are alike: they are cut for tiles of 128. Beside three consumers the warps that gather sorted
    // keys have too few registers.
    bool permutes = op.getQueryOrder().permutes() || op.getKeyOrder().permutes();
    int64_t most = HopperSchedule::mostQueries(headDim);
    int64_t queries = block == kDefaultBlock && !permutes ? most : std::min(block, most);
    int64_t keys = std::min(block, HopperSchedule::mostKeys(headDim, queries));
    if (queries == block && keys == block)
      return false;
    op.setQueryBlock(queries);
    op.setBlock(keys);
    return true;
  }
};

} // namespace
