// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Groups of lanes that walk rows of channels together, 16 bytes a lane.

#ifndef WEFT_CODEGEN_CUDA_ROWGROUP_H
#define WEFT_CODEGEN_CUDA_ROWGROUP_H

#include "codegen/CUDA/StageKernel.h"
#include "dialect/WeftDialect.h"
#include "runtime/CUDA/StageShapes.h"

namespace weft::cuda {

/// A thread's place among the groups of its CTA.
class RowGroup {
public:
  RowGroup(StageKernel &k, BlockAttentionOp op);

  rt::cuda::RowGroupShape shape;
  mlir::Type element;
  /// Elements of a chunk.
  int64_t elements;
  int64_t heads;
  /// The group's number, the thread's number in it, and whether that is 0.
  mlir::Value group, lane, isLeader;

  /// Whether the thread has a chunk in a pass.
  mlir::Value hasChunk(int64_t pass);
  /// The address of a pair's first row, at the thread's chunk of pass 0; strides are three arguments from `strides` on.
  mlir::Value chunkAddress(unsigned tensor, unsigned strides, mlir::Value pair);
  /// The same of contiguous rows [pairs, rows, channels].
  mlir::Value chunkAddress(unsigned tensor, mlir::Value pair, mlir::Value rows);
  /// The thread's chunk of a row: `stride` elements, an i64, lie between rows.
  mlir::Value chunkAt(mlir::Value address, mlir::Value row, mlir::Value stride, int64_t pass = 0);
  mlir::Value contiguousStride() { return e.i64(shape.headDim); }
  mlir::Value load(mlir::Value chunk);
  void store(mlir::Value vector, mlir::Value chunk);
  /// The element of a chunk that was loaded.
  mlir::Value at(mlir::Value vector, int64_t i);
  /// The lanes of the group for which the condition holds, a bit each. All lanes of the warp must come here.
  mlir::Value ballot(mlir::Value condition);

private:
  StageKernel &k;
  Emitter &e;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_ROWGROUP_H
