// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Chooses the generator by target and element type.

#include "codegen/CUDA/ChooseGenerator.h"

#include "codegen/CUDA/HopperSchedule.h"
#include "codegen/CUDA/MMASchedule.h"
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

StringRef weft::cuda::generatorFor(bool hopper, bool isHalf) {
  return hopper && isHalf ? kHopperGenerator : kMMAGenerator;
}

int64_t weft::cuda::mostBoxTokens(StringRef generator, int64_t headDim) {
  if (generator != kHopperGenerator)
    return std::min(MMASchedule::kMostQueries, MMASchedule::kMostKeys);
  int64_t tokens = HopperSchedule::mostQueries(headDim);
  while (tokens > HopperSchedule::mostKeys(headDim, tokens))
    --tokens;
  return tokens;
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
    getOperation()->setAttr(kGeneratorAttrName, StringAttr::get(&getContext(), generatorFor(hopper, isHalf)));
  }
};

} // namespace
