// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Marks inline assembly as convergent.

#ifndef WEFT_CODEGEN_CUDA_MARKCONVERGENT_H
#define WEFT_CODEGEN_CUDA_MARKCONVERGENT_H

#include "llvm/IR/Module.h"

namespace weft {

/// Marks every inline assembly with side effects as convergent, and the functions that hold it; returns how many were
/// marked.
///
/// Barriers, products and matrix stores are executed by warps or warpgroups together. LLVM may duplicate code into the
/// two sides of a branch on the thread's number unless it is convergent; then the hardware would see one collective as
/// two, each with half of its threads. The LLVM dialect has no way to say it, so it is said here, before optimisation.
unsigned markConvergent(llvm::Module &module);

} // namespace weft

#endif // WEFT_CODEGEN_CUDA_MARKCONVERGENT_H
