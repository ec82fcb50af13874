// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From the LLVM dialect to machine code: translation, optimisation, assembly and objects.

#ifndef WEFT_RUNTIME_JIT_CODEGENERATOR_H
#define WEFT_RUNTIME_JIT_CODEGENERATOR_H

#include "codegen/CPU/Target.h"
#include "runtime/Status.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

#include <memory>

namespace weft {

/// Adds the translations from MLIR dialects to LLVM IR that generateLLVM needs.
void registerTranslations(mlir::DialectRegistry &registry);

/// A code generator for the target.
rt::Result<std::unique_ptr<llvm::TargetMachine>> createTargetMachine(const CPUTarget &target);

/// Translates a module of the LLVM dialect and optimises it for `machine`.
rt::Result<std::unique_ptr<llvm::Module>> generateLLVM(mlir::ModuleOp module, llvm::LLVMContext &context,
                                                       llvm::TargetMachine &machine);

/// Assembly text or an object file, which consumes the module.
rt::Result<llvm::SmallVector<char, 0>> generateCode(llvm::Module &module, llvm::TargetMachine &machine,
                                                    llvm::CodeGenFileType type);

} // namespace weft

#endif // WEFT_RUNTIME_JIT_CODEGENERATOR_H
