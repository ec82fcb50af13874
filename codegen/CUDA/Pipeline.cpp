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

static constexpr StringLiteral kHopper = "sm_90a";
/// The lowest version of PTX that has the target: older drivers take no newer ones.
static StringRef featuresOf(int64_t capability, bool isSpecific) {
  return capability >= 120 ? "+ptx87" : capability >= 100 || isSpecific ? "+ptx86" : "+ptx78";
}

std::optional<CUDATarget> CUDATarget::parse(StringRef name) {
  if (name == kHopper)
    return CUDATarget{name.str(), featuresOf(90, true).str(), 90, true};
  for (int64_t capability : {80, 86, 87, 89, 90, 100, 120})
    if (name == "sm_" + std::to_string(capability))
      return CUDATarget{name.str(), featuresOf(capability, false).str(), capability, false};
  return std::nullopt;
}

std::optional<CUDATarget> CUDATarget::forCapability(int64_t capability) {
  if (capability == 90)
    return parse(kHopper);
  // The driver compiles code for sm_80 for whatever is newer.
  return capability < 80 ? std::nullopt : parse("sm_80");
}

const std::string &CUDATarget::names() {
  static const std::string text = "sm_80, sm_86, sm_87, sm_89, sm_90, sm_90a, sm_100, sm_120";
  return text;
}

void weft::buildCUDAProgramPipeline(OpPassManager &manager, const CUDATarget &target) {
  manager.addPass(createChooseGeneratorPass({target.isSpecific}));
  manager.addPass(createChooseBlocksPass());
}

void weft::buildCUDAPipeline(OpPassManager &manager, const CUDATarget &target) {
  if (target.isSpecific)
    manager.addPass(createFindBoxesPass()), manager.addPass(createFormHopperKernelPass());
  manager.addPass(createFormMMAKernelPass());
  if (target.capability >= 90)
    manager.addPass(createChainKernelsPass());
  buildNVVMPipeline(manager);
}

void weft::buildNVVMPipeline(OpPassManager &manager) {
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
