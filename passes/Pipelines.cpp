// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a program to its plan.

#include "passes/Pipelines.h"

#include "passes/Passes.h"

#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void weft::buildPlanPipeline(OpPassManager &manager) {
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.addPass(createSimplifyMasksPass());
  // Merged formulas share leaves and hold constants.
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
  manager.addPass(createChooseTilesPass());
  manager.addPass(createClassifyBlocksPass());
  manager.addPass(createFoldOrderPass());
}

void weft::registerWeftPipelines() {
  PassPipelineRegistration<>("weft-to-plan", "lowers a program to its plan", buildPlanPipeline);
}
