// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An attention's predicate for pairs of tokens whose coordinates are in registers.

#ifndef WEFT_CODEGEN_CUDA_PAIRPREDICATE_H
#define WEFT_CODEGEN_CUDA_PAIRPREDICATE_H

#include "codegen/CUDA/Emitter.h"
#include "dialect/WeftDialect.h"

#include "mlir/IR/IRMapping.h"

namespace weft::cuda {

/// Dynamic parameters that a predicate may read: those of the kernel that are no floats.
llvm::SmallVector<mlir::BlockArgument> predicateParameters(BlockAttentionOp op);

/// On what a predicate depends beside the coordinates: values that may differ between pairs of the same two blocks.
bool readsHead(BlockAttentionOp op);
bool readsGiven(BlockAttentionOp op);

class PairPredicate {
public:
  /// `parameters` are the values of predicateParameters(); `given` is an i1.
  PairPredicate(Emitter &e, BlockAttentionOp op, mlir::Value head, mlir::Value given, mlir::ValueRange parameters);

  /// Gives another value that the predicate reads: a choice.
  void set(mlir::Value read, mlir::Value value) { common.map(read, value); }

  /// An i1. Coordinates are those on usedAxes().
  mlir::Value holds(llvm::ArrayRef<mlir::Value> query, llvm::ArrayRef<mlir::Value> key);

private:
  void mapSide(mlir::IRMapping &mapping, unsigned first, llvm::ArrayRef<int64_t> axes,
               llvm::ArrayRef<mlir::Value> coordinates);

  Emitter &e;
  mlir::Block &body;
  llvm::SmallVector<int64_t> queryAxes, keyAxes;
  mlir::IRMapping common;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_PAIRPREDICATE_H
