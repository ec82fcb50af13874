// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pipelines of target-independent passes.

#ifndef WEFT_PASSES_PIPELINES_H
#define WEFT_PASSES_PIPELINES_H

#include "mlir/Pass/PassManager.h"

namespace weft {

/// From a program to its plan: masks simplified, tiles chosen, blocks classified, the order folded.
void buildPlanPipeline(mlir::OpPassManager &manager);

/// Registers `weft-to-plan`.
void registerWeftPipelines();

} // namespace weft

#endif // WEFT_PASSES_PIPELINES_H
