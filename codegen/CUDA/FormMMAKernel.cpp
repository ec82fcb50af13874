// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Turns block attention into a kernel of mma.sync: the function and the image.

#include "codegen/CUDA/ChooseGenerator.h"
#include "codegen/CUDA/DeviceFunction.h"
#include "codegen/CUDA/MMAKernel.h"
#include "codegen/CUDA/Passes.h"
#include "codegen/CUDA/Stages.h"
#include "dialect/BlockPartition.h"
#include "passes/PassCounts.h"

#include <cstdlib>

namespace weft {
#define GEN_PASS_DEF_FORMMMAKERNELPASS
#include "codegen/CUDA/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

MMAProblem describeProblem(BlockAttentionOp op) {
  MMAProblem problem;
  RankedTensorType type = op.getQuery().getType();
  problem.headDim = type.getDimSize(3);
  problem.elementBytes = type.getElementTypeBitWidth() / 8;
  problem.queryTokens = partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).maxTokens();
  problem.keyTokens = partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).maxTokens();
  problem.hasBias = addsBias(op);
  return problem;
}

SmallVector<Type> operandTypes(Builder &b) {
  SmallVector<Type> types(kNumMMAOperands, b.getI64Type());
  for (unsigned pointer : {kQuery, kKey, kValue, kKeyTokens})
    types[pointer] = LLVM::LLVMPointerType::get(b.getContext(), 1);
  return types;
}

void form(func::FuncOp kernel, BlockAttentionOp op, const MMASchedule &s) {
  ImplicitLocOpBuilder b(op.getLoc(), kernel);
  declareShared(b);
  LLVM::LLVMFuncOp function = declareDeviceFunction(b, kernel, operandTypes(b), s.threads(), s.registerCTAs);
  b.setInsertionPointToStart(function.addEntryBlock(b));
  Emitter e(b, kSharedName);
  MMAKernel mma(e, op, s, function.getArguments());
  emitMMAKernel(mma);
  formStages(kernel, op, s.blockRows(), s.blockColumns());
  describeDevice(b, kernel, op, {s.blockRows(), s.blockColumns(), s.threads(), s.sharedBytes, s.ctasPerSM,
                                 s.queryParts, /*usesTensorMaps=*/false});
}

struct FormMMAKernel final : weft::impl::FormMMAKernelPassBase<FormMMAKernel> {
  using Base::Base;

  void runOnOperation() override {
    if (!isGenerator(getOperation(), kMMAGenerator))
      return;
    BlockAttentionOp op = findBlockAttention(getOperation());
    if (!op)
      return signalPassFailure();
    auto kernel = cast<func::FuncOp>(op->getParentOp());
    const char *wanted = std::getenv("WEFT_MMA_SCHEDULE");
    std::string error;
    auto schedule = MMASchedule::choose(describeProblem(op), wanted ? wanted : "", error);
    if (!schedule) {
      op.emitOpError(error);
      return signalPassFailure();
    }
    form(kernel, op, *schedule);
    recordCounts(getOperation(), getArgument(),
                 {{"kernels", 1},
                  {"kernels_masked", op.getBody().empty() ? 0 : 1},
                  {"shared_bytes", schedule->sharedBytes}});
    kernel.erase();
  }
};

} // namespace
