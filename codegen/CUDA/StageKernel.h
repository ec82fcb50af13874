// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A small kernel that runs before the attention: its function, and who a thread is.

#ifndef WEFT_CODEGEN_CUDA_STAGEKERNEL_H
#define WEFT_CODEGEN_CUDA_STAGEKERNEL_H

#include "codegen/CUDA/Emitter.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft::cuda {

/// The function `weft_NAME.SUFFIX` of a kernel NAME while it is emitted.
class StageKernel {
public:
  /// `arguments` has a letter for each: p for a pointer, i for i32, l for i64, f for f32, d for f64.
  StageKernel(mlir::func::FuncOp kernel, llvm::StringRef suffix, llvm::StringRef arguments, int64_t threads);

  Emitter e;
  int64_t threads;
  mlir::Block::BlockArgListType arguments;
  mlir::Value thread, lane, warp;
  /// The CTA's place in the grid.
  mlir::Value x, y, z;

  mlir::Value argument(unsigned number) const { return chosen[number]; }
  /// Two sides have arguments of the same types: from here on argument `first` + i is `first` + `count` + i for CTAs of
  /// the second side, and those behind these close up.
  void chooseSide(mlir::Value isSecond, unsigned first, unsigned count);
  mlir::Type i32() { return e.b.getI32Type(); }
  mlir::Type f32() { return e.b.getF32Type(); }
  /// CTAs of the grid along x.
  mlir::Value gridX();
  /// The same along y.
  mlir::Value gridY();
  /// The sum of an i32 over all threads before, by doubling distances in the first four bytes a thread of shared memory.
  mlir::Value sumBefore(mlir::Value own);
  /// Lets the function take the registers that one CTA of a multiprocessor can have, where fewer would spill.
  void takeRegisters();
  /// Lets it take no more than so many CTAs of a multiprocessor can have each.
  void shareRegisters(int64_t ctas);
  /// The sum of an i32 over the lanes below and the own.
  mlir::Value scanWarp(mlir::Value value);
  /// All threads of the CTA wait for each other.
  void meet();
  void finish();

private:
  StageKernel(mlir::LLVM::LLVMFuncOp function, int64_t threads);

  /// The arguments, or those of a side.
  Values chosen;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_STAGEKERNEL_H
