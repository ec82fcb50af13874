// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stages of score reuse.
//
// Channels by themselves take one kernel, snap, which writes the queries and keys that the attention reads.

#ifndef WEFT_CODEGEN_CUDA_REUSESTAGES_H
#define WEFT_CODEGEN_CUDA_REUSESTAGES_H

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft::cuda {

/// Snaps tokens, or finds their donors if they are snapped whole; launched for queries and for keys. Grid: cells / groups
/// of a CTA x pairs. The arguments' order is the launch's in runtime/CUDA/DeviceReuse.cpp, as that of all stages here.
void formSnap(mlir::func::FuncOp kernel, BlockAttentionOp op, SnapOp snap);

/// Adds the stages that an attention with reuse needs.
void formReuseStages(mlir::func::FuncOp kernel, BlockAttentionOp op);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_REUSESTAGES_H
