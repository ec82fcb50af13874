// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CUDA pipeline.

#include "codegen/CUDA/Pipeline.h"

#include "codegen/CUDA/Passes.h"
#include "passes/Pipelines.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace weft;

std::optional<CUDATarget> CUDATarget::parse(StringRef name) {
  if (name == "sm_90a")
    return CUDATarget{"sm_90a", "+ptx86", 90};
  return std::nullopt;
}

const std::string &CUDATarget::names() {
  static const std::string text = "sm_90a";
  return text;
}

void weft::buildCUDAProgramPipeline(OpPassManager &manager, const CUDATarget &target) {
  manager.addPass(createChooseBlocksPass());
}

void weft::buildCUDAPipeline(OpPassManager &manager, const CUDATarget &target) {
  manager.addPass(createFormHopperKernelPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  // Division that rounds to the floor or the ceiling.
  manager.addPass(arith::createArithExpandOpsPass());
  manager.addPass(createArithToLLVMConversionPass());
  manager.addPass(createConvertNVVMToLLVMPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
}

void weft::registerWeftCUDAPipelines() {
  PassPipelineRegistration<>("weft-to-cuda", "lowers a program to the LLVM and NVVM dialects for a Hopper GPU",
                             [](OpPassManager &manager) {
                               CUDATarget target = *CUDATarget::parse("sm_90a");
                               buildCUDAProgramPipeline(manager, target);
                               buildPlanPipeline(manager);
                               buildCUDAPipeline(manager, target);
                             });
}
