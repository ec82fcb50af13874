// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Makes the runtime's image of a kernel from a lowered module.

#ifndef WEFT_LIB_COMPILER_IMAGEBUILDER_H
#define WEFT_LIB_COMPILER_IMAGEBUILDER_H

#include "runtime/Kernel.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <memory>

namespace llvm {
class Module;
}

namespace weft {

/// A plan kept for its predicate, together with its context.
struct RetainedPlan {
  std::shared_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

/// Everything but code and planner, from the `weft.image` that weft-form-online-softmax left on `module`.
rt::KernelImage buildImage(mlir::ModuleOp module);

/// Adds the image to the LLVM module of its kernel as the constant `weft_NAME_image` (rt::StaticImage).
void embedImage(llvm::Module &code, mlir::ModuleOp module);

/// Classifies the plan's block pairs for values of its dynamic parameters. Safe to call from several threads.
rt::ListPlanner createPlanner(std::shared_ptr<RetainedPlan> plan);

} // namespace weft

#endif // WEFT_LIB_COMPILER_IMAGEBUILDER_H
