// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Makes the runtime's image of a GPU kernel: the host's part, and tables of its blocks.

#ifndef WEFT_LIB_COMPILER_GPUIMAGEBUILDER_H
#define WEFT_LIB_COMPILER_GPUIMAGEBUILDER_H

#include "runtime/CUDA/GPUKernel.h"

#include "mlir/IR/BuiltinOps.h"

namespace weft {

/// Everything but PTX and planner, from the `weft.image` that weft-cuda-form-hopper-kernel left on `module`.
rt::cuda::GPUKernelImage buildGPUImage(mlir::ModuleOp module);

} // namespace weft

#endif // WEFT_LIB_COMPILER_GPUIMAGEBUILDER_H
