// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CUDA targets and the pipeline from a plan to PTX.

#ifndef WEFT_CODEGEN_CUDA_PIPELINE_H
#define WEFT_CODEGEN_CUDA_PIPELINE_H

#include "runtime/Status.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"

#include <optional>
#include <string>

namespace weft {

/// A GPU architecture to generate code for.
struct CUDATarget {
  /// As the user names it: "sm_90a".
  std::string name;
  /// LLVM's feature string: the version of PTX.
  std::string features;
  /// Compute capability: 90 for 9.0.
  int64_t capability = 0;
  /// With the suffix `a`: code runs on GPUs of this capability alone, not on later ones.
  bool isSpecific = false;

  /// Nothing for a name that is none of names().
  static std::optional<CUDATarget> parse(llvm::StringRef name);
  /// The target for a GPU; nothing for one older than sm_80.
  static std::optional<CUDATarget> forCapability(int64_t capability);
  /// The names that parse() takes, for messages and help.
  static const std::string &names();
};

/// What a program passes through before it is lowered to its plan.
void buildCUDAProgramPipeline(mlir::OpPassManager &manager, const CUDATarget &target);

/// A plan to the LLVM and NVVM dialects.
void buildCUDAPipeline(mlir::OpPassManager &manager, const CUDATarget &target);

/// What emitters emit, which has ops of arith too, to the LLVM and NVVM dialects alone.
void buildNVVMPipeline(mlir::OpPassManager &manager);

/// Registers `weft-to-cuda`.
void registerWeftCUDAPipelines();

/// Adds the translation of the NVVM dialect to LLVM IR.
void registerCUDATranslations(mlir::DialectRegistry &registry);

/// A module of the LLVM and NVVM dialects as optimised LLVM IR text, or as PTX.
rt::Result<std::string> emitDeviceIR(mlir::ModuleOp module, const CUDATarget &target);
rt::Result<std::string> emitPTX(mlir::ModuleOp module, const CUDATarget &target);

} // namespace weft

#endif // WEFT_CODEGEN_CUDA_PIPELINE_H
