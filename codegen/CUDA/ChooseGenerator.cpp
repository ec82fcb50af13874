// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses the generator by target and element type.

#include "codegen/CUDA/ChooseGenerator.h"

#include "codegen/CUDA/Passes.h"

#include "mlir/IR/TypeUtilities.h"

namespace weft {
#define GEN_PASS_DEF_CHOOSEGENERATORPASS
#include "codegen/CUDA/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

static constexpr StringLiteral kGeneratorAttrName = "weft.generator";

bool weft::cuda::isGenerator(ModuleOp module, StringRef name) {
  auto chosen = module->getAttrOfType<StringAttr>(kGeneratorAttrName);
  return !chosen || chosen.getValue() == name;
}

namespace {

struct ChooseGenerator final : weft::impl::ChooseGeneratorPassBase<ChooseGenerator> {
  using Base::Base;

  void runOnOperation() override {
    bool isHalf = true;
    getOperation().walk([&](Operation *op) {
      if (isa<AttentionOp, BlockAttentionOp>(op))
        isHalf &= !getElementTypeOrSelf(op->getOperand(0)).isF32();
    });
    StringRef generator = hopper && isHalf ? kHopperGenerator : kMMAGenerator;
    getOperation()->setAttr(kGeneratorAttrName, StringAttr::get(&getContext(), generator));
  }
};

} // namespace
