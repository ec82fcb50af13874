// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which generator a kernel is for: the attribute `weft.generator` of its module.

#ifndef WEFT_CODEGEN_CUDA_CHOOSEGENERATOR_H
#define WEFT_CODEGEN_CUDA_CHOOSEGENERATOR_H

#include "mlir/IR/BuiltinOps.h"

namespace weft::cuda {

/// wgmma and the copy engine of sm_90a; mma.sync and cp.async of sm_80 and everything newer.
constexpr llvm::StringLiteral kHopperGenerator = "hopper", kMMAGenerator = "mma";

/// Whether the module is for this generator; one without the attribute is for any.
bool isGenerator(mlir::ModuleOp module, llvm::StringRef name);

/// The generator for a target, which is sm_90a if `hopper`, and elements of 16 bits or others.
llvm::StringRef generatorFor(bool hopper, bool isHalf);

/// Most tokens of a box of queries and keys that a generator takes.
int64_t mostBoxTokens(llvm::StringRef generator, int64_t headDim);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_CHOOSEGENERATOR_H
