// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From PTX to machine code, by ptxas where a CUDA toolkit is installed.

#ifndef WEFT_CODEGEN_CUDA_ASSEMBLE_H
#define WEFT_CODEGEN_CUDA_ASSEMBLE_H

#include "codegen/CUDA/Pipeline.h"

namespace weft {

/// Where ptxas is: $WEFT_PTXAS (nowhere if that is empty), or in $CUDA_HOME/bin, on PATH or in /usr/local/cuda/bin. Empty
/// if there is none.
std::string findPtxas();

/// A cubin for the target, made by findPtxas().
rt::Result<std::string> assemblePTX(const std::string &ptx, const CUDATarget &target);

} // namespace weft

#endif // WEFT_CODEGEN_CUDA_ASSEMBLE_H
