// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The function around a block attention, as backends take it: its checks, its parameters and what the runtime is told.

#ifndef WEFT_PASSES_KERNELFUNCTION_H
#define WEFT_PASSES_KERNELFUNCTION_H

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {

/// Checks that `kernel` computes the attention and nothing else, on arguments that the runtime can pass; afterwards the
/// predicate depends on nothing outside of it but parameters.
mlir::LogicalResult checkKernel(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Whether an argument of this type is a dynamic parameter.
bool isParameter(mlir::Type type);

/// The kernel's dynamic parameters: its arguments of type i1, i32 and f64.
llvm::SmallVector<mlir::BlockArgument> parametersOf(mlir::func::FuncOp kernel);

/// What every backend leaves in the module's `weft.image`: name, shapes, grids, orders, parameters and lists.
llvm::SmallVector<mlir::NamedAttribute> describeKernel(mlir::func::FuncOp kernel, BlockAttentionOp op);

} // namespace weft

#endif // WEFT_PASSES_KERNELFUNCTION_H
