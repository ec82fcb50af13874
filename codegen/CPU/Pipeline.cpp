// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CPU pipeline.

#include "codegen/CPU/Pipeline.h"

#include "codegen/CPU/Passes.h"
#include "passes/Passes.h"
#include "passes/Pipelines.h"

#include "mlir/Conversion/AffineToStandard/AffineToStandard.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVMPass.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVMPass.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace weft;

void weft::buildCPULoopsPipeline(OpPassManager &manager, const CPUTarget &target) {
  FormOnlineSoftmaxPassOptions softmax;
  softmax.pairs = target.usesPairs();
  // A tile of AMX is 32 channels deep.
  softmax.depthGranule = target.bf16 == BF16Unit::TileX86 ? 32 : 8;
  // Tiles are multiplied by a unit of their own, beside the vectors'.
  softmax.overlap = target.bf16 == BF16Unit::TileX86;
  manager.addPass(createFormOnlineSoftmaxPass(softmax));
  LowerTilesPassOptions tiles;
  tiles.lanes = target.lanes;
  tiles.scalef = target.hasScalef;
  tiles.bf16 = target.bf16;
  manager.addPass(createLowerTilesPass(tiles));
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}

void weft::buildCPUToLLVMPipeline(OpPassManager &manager, const CPUTarget &target) {
  arith::ArithExpandOpsPassOptions expand;
  expand.includeBf16 = !target.usesPairs();
  manager.addPass(arith::createArithExpandOpsPass(expand));
  manager.addPass(createSCFToControlFlowPass());
  manager.addPass(memref::createExpandStridedMetadataPass());
  manager.addPass(createLowerAffinePass());
  ConvertVectorToLLVMPassOptions vectors;
  vectors.x86Vector = vectors.amx = target.isX86();
  manager.addPass(createConvertVectorToLLVMPass(vectors));
  manager.addPass(createConvertMathToLLVMPass());
  manager.addPass(createFinalizeMemRefToLLVMConversionPass());
  manager.addPass(createArithToLLVMConversionPass());
  ConvertFuncToLLVMPassOptions functions;
  functions.useBarePtrCallConv = true;
  manager.addPass(createConvertFuncToLLVMPass(functions));
  manager.addPass(createConvertControlFlowToLLVMPass());
  manager.addPass(createUBToLLVMConversionPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.addPass(createAddEntryPointsPass());
}

namespace {
struct CPUPipelineOptions : PassPipelineOptions<CPUPipelineOptions> {
  Option<std::string> target{*this, "target", llvm::cl::desc(CPUTarget::names()),
                             llvm::cl::init("native")};
};
} // namespace

void weft::registerWeftCPUPipelines() {
  PassPipelineRegistration<CPUPipelineOptions>(
      "weft-to-cpu", "lowers a program to the LLVM dialect for a CPU",
      [](OpPassManager &manager, const CPUPipelineOptions &options) {
        std::string error;
        std::optional<CPUTarget> target = CPUTarget::parse(options.target, error);
        if (!target)
          llvm::report_fatal_error(llvm::Twine(error), /*gen_crash_diag=*/false);
        buildPlanPipeline(manager);
        buildCPULoopsPipeline(manager, *target);
        buildCPUToLLVMPipeline(manager, *target);
      });
}
