// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tokens that lie anywhere: the copy engine brings boxes and runs, so warps of the producer bring listed rows, and the
// tiles of sorted tokens.

#ifndef WEFT_CODEGEN_CUDA_TOKENGATHER_H
#define WEFT_CODEGEN_CUDA_TOKENGATHER_H

#include "codegen/CUDA/HopperKernel.h"

namespace weft::cuda {

/// Emits the code of the gathering warps, from the current block to the branch to `exit`. Items come by the barrier
/// FullItem; a warp arrives at FullQuery for each of them and, if keys are gathered, walks its list as the producer does
/// and arrives at FullKey and FullValue.
void emitGather(HopperKernel &kernel, mlir::Block *exit);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_TOKENGATHER_H
