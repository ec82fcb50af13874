// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From PTX to machine code, by ptxas where a CUDA toolkit is installed.

#ifndef WEFT_CODEGEN_CUDA_ASSEMBLE_H
#define WEFT_CODEGEN_CUDA_ASSEMBLE_H

#include "codegen/CUDA/Pipeline.h"

namespace weft {

/// A cubin for the target. Looks for ptxas in $CUDA_HOME/bin, on PATH and in /usr/local/cuda/bin.
rt::Result<std::string> assemblePTX(const std::string &ptx, const CUDATarget &target);

} // namespace weft

#endif // WEFT_CODEGEN_CUDA_ASSEMBLE_H
