// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The function of a GPU kernel and what the runtime is told of it, as all generators make them.

#ifndef WEFT_CODEGEN_CUDA_DEVICEFUNCTION_H
#define WEFT_CODEGEN_CUDA_DEVICEFUNCTION_H

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace weft::cuda {

/// The symbol of a kernel's dynamic shared memory.
constexpr llvm::StringLiteral kSharedName = "weft_shared";

/// What the runtime is told of a kernel: rows of a query block and columns of a key block in its tables, threads of a
/// CTA, shared memory in bytes, CTAs of a multiprocessor, and how many items a query block is.
struct DeviceShape {
  int64_t rows = 0, columns = 0, threads = 0, sharedBytes = 0, ctasPerSM = 1, queryParts = 1;
  /// Operands are tensor maps; else addresses, strides and a table of the keys' tokens.
  bool usesTensorMaps = false;
  /// Columns that hold a token in a key block that nothing cuts short; 0 if these are all, or the kernel does not ask.
  int64_t usualColumns = 0;
  /// Partial blocks are masked by bits where there are some.
  bool readsMaskBits = false;
  /// Items may be cut into pieces.
  bool cutsItems = false;
};

/// Declares the kernels' shared memory, unless the module has it.
void declareShared(mlir::ImplicitLocOpBuilder &b);

/// Declares `weft_NAME` with the generator's operands, the arguments of KernelArg and the dynamic parameters; ptxas
/// divides the registers between `registerCTAs` CTAs.
mlir::LLVM::LLVMFuncOp declareDeviceFunction(mlir::ImplicitLocOpBuilder &b, mlir::func::FuncOp kernel,
                                             llvm::ArrayRef<mlir::Type> operands, int64_t threads,
                                             int64_t registerCTAs);

/// Sets the module's `weft.image`.
void describeDevice(mlir::Builder &b, mlir::func::FuncOp kernel, BlockAttentionOp op, const DeviceShape &shape);

/// The module's one attention after its function was checked; null with an error if there is another number.
BlockAttentionOp findBlockAttention(mlir::ModuleOp module);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_DEVICEFUNCTION_H
