// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CPU pipeline, from plan to the LLVM dialect.

#ifndef WEFT_CODEGEN_CPU_PIPELINE_H
#define WEFT_CODEGEN_CPU_PIPELINE_H

#include "codegen/CPU/Target.h"

#include "mlir/Pass/PassManager.h"

namespace weft {

/// From a plan to functions of loops over vectors.
void buildCPULoopsPipeline(mlir::OpPassManager &manager, const CPUTarget &target);

/// From loops over vectors to the LLVM dialect, with entry points.
void buildCPUToLLVMPipeline(mlir::OpPassManager &manager, const CPUTarget &target);

/// Registers `weft-to-cpu`, which lowers a program for an option `target`.
void registerWeftCPUPipelines();

} // namespace weft

#endif // WEFT_CODEGEN_CPU_PIPELINE_H
