// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finds out which sorted tokens the copy engine can bring.

#include "codegen/CUDA/AttentionKernel.h"
#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/Passes.h"
#include "dialect/SortedBoxes.h"
#include "passes/FormReuse.h"
#include "passes/PassCounts.h"

namespace weft {
#define GEN_PASS_DEF_FINDBOXESPASS
#include "codegen/CUDA/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

struct FindBoxes final : weft::impl::FindBoxesPassBase<FindBoxes> {
  using Base::Base;

  void runOnOperation() override {
    if (!cuda::isGenerator(getOperation(), cuda::kHopperGenerator))
      return;
    int64_t found = 0;
    getOperation().walk([&](BlockAttentionOp op) {
      // With wide heads a tile of queries always has 128 rows: see HopperSchedule.
      bool isTile = op.getQuery().getType().getDimSize(3) <= 128 || op.getQueryBlockSize() == 128;
      if (!cuda::gathersRows(op) && isTile)
        found += find(op, cuda::kQueryBoxes, op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize());
      if (!mergesKeys(op))
        found += find(op, cuda::kKeyBoxes, op.getKeyGrid(), op.getKeyOrder(), op.getBlock());
    });
    recordCounts(getOperation(), getArgument(), {{"sides_in_boxes", found}});
  }

  static bool find(BlockAttentionOp op, StringRef name, GridAttr grid, OrderAttr order, int64_t block) {
    // A tile has no rows beside its boxes'.
    std::optional<SortedBoxes> boxes = block % 64 ? std::nullopt : findSortedBoxes(grid, order, block);
    if (boxes)
      op->setAttr(name, DenseI64ArrayAttr::get(op.getContext(), {boxes->rows, boxes->columns}));
    return boxes.has_value();
  }
};

} // namespace
