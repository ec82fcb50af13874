// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The two products of a step: scores of a warp's queries, and their weights times the values.

#ifndef WEFT_CODEGEN_CUDA_WARPTILE_H
#define WEFT_CODEGEN_CUDA_WARPTILE_H

#include "codegen/CUDA/MMASchedule.h"
#include "codegen/CUDA/WarpProduct.h"

namespace weft::cuda {

/// Registers of each of a warp's row tiles.
using RowTiles = llvm::SmallVector<Values, 2>;

/// Multiplies tiles in shared memory, which lie as MMASchedule says.
class WarpTile {
public:
  /// Of elements of a type; `s` outlives the tile.
  WarpTile(Emitter &e, const MMASchedule &s, mlir::Type element, mlir::Value warp, mlir::Value lane);

  /// The scores of the warp's queries and of the keys in stage `stage` (i32): columns / 2 registers per row tile.
  RowTiles multiplyKeys(mlir::Value stage);

  /// `scores` += these.
  void addScores(RowTiles &scores, mlir::Value stage);

  /// `accumulator` += weights * values of a stage. Weights are f32 in the order of the scores.
  void multiplyValues(RowTiles &accumulator, const RowTiles &weights, mlir::Value stage);

private:
  void multiplyHalfValues(RowTiles &accumulator, const RowTiles &weights, mlir::Value stage);
  void addProduct(llvm::MutableArrayRef<mlir::Value> accumulator, const Fragment &left, const Fragment &right);
  void multiplyFullValues(RowTiles &accumulator, const RowTiles &weights, mlir::Value stage);

  Emitter &e;
  const MMASchedule &s;
  mlir::Type element;
  WarpProduct product;
  /// Addresses of this lane's row and chunk in the first pair of chunks of the tiles. Of f32 values, one for each of a
  /// lane's two keys.
  mlir::Value query, key, value, secondValue;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_WARPTILE_H
