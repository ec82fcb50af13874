// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Passes of the CUDA backend.

#ifndef WEFT_CODEGEN_CUDA_PASSES_TD
#define WEFT_CODEGEN_CUDA_PASSES_TD

include "mlir/Pass/PassBase.td"

def FormHopperKernelPass : Pass<"weft-cuda-form-hopper-kernel", "mlir::ModuleOp"> {
  let summary = "turns block attention into a kernel for Hopper GPUs";
  let description = [{
    Before: a function of one folded weft.block_attention of bf16 or f16.

    After: a kernel in the LLVM and NVVM dialects and arith, with warpgroups for copies and for
    products, and the module's `weft.image`, which tells the runtime the sizes of its tiles
    and tables.

    Counts in `weft.statistics`: `kernels`, kernels formed; `kernels_masked`, those that
    evaluate a predicate; `shared_bytes`, shared memory of a kernel.

    Example: test/codegen/cuda/form-hopper-kernel.mlir.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::LLVM::LLVMDialect", "mlir::NVVM::NVVMDialect"];
}

#endif // WEFT_CODEGEN_CUDA_PASSES_TD
