// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Small builders that the lowerings of tile steps share.

#ifndef WEFT_CODEGEN_CPU_TILEEMITTER_H
#define WEFT_CODEGEN_CPU_TILEEMITTER_H

#include "codegen/CPU/Passes.h"
#include "codegen/CPU/Target.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace weft {

/// What the lowerings know of the target.
struct TileTarget {
  int64_t lanes;
  bool scalef;
  BF16Unit bf16;
};

/// Emits the ops of one tile step at its place.
class TileEmitter {
public:
  TileEmitter(mlir::Operation *op, TileTarget target) : b(op->getLoc(), op), target(target) {}

  mlir::ImplicitLocOpBuilder b;
  TileTarget target;

  mlir::Value index(int64_t value);
  mlir::Value integer(int64_t value, unsigned width = 32);
  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value add(mlir::Value lhs, int64_t rhs);
  mlir::Value mul(mlir::Value lhs, mlir::Value rhs);
  /// Rounds up to a multiple of a power of two.
  mlir::Value alignUp(mlir::Value value, int64_t multiple);
  mlir::Value less(mlir::Value lhs, mlir::Value rhs);

  mlir::VectorType vector(int64_t lanes, mlir::Type type);
  mlir::VectorType floats() { return vector(target.lanes, b.getF32Type()); }
  /// A splat of `value` in f32.
  mlir::Value splat(double value);
  mlir::Value splat(double value, mlir::VectorType type);
  mlir::Value broadcast(mlir::Value scalar);
  mlir::Value load(mlir::VectorType type, mlir::Value memory, mlir::ValueRange indices);
  void store(mlir::Value value, mlir::Value memory, mlir::ValueRange indices);
  mlir::Value loadScalar(mlir::Value memory, mlir::ValueRange indices);

  /// The greater of both; the second if either is NaN, as maxps.
  mlir::Value maximum(mlir::Value lhs, mlir::Value rhs);
  mlir::Value fma(mlir::Value a, mlir::Value x, mlir::Value y);
  /// Reduces each of as many vectors to a lane of the result.
  static constexpr int64_t kReducedRows = 4;
  mlir::Value reduceRows(llvm::ArrayRef<mlir::Value> rows,
                         llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
  /// 2^x for f32 vectors to a relative error of 1.7e-7 (`degree` 5) or 1e-4 (3); 0 far below -126, NaN for NaN.
  mlir::Value exp2(mlir::Value x, int degree);
  /// Two vectors of 16 numbers behind one another in bf16, by AVX512-BF16.
  mlir::Value roundToBF16(mlir::Value low, mlir::Value high);

  /// for (i = begin; i < end; i += step) with values carried along; `body` returns the next values.
  using LoopBody =
      llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value, llvm::SmallVector<mlir::Value>)>;
  llvm::SmallVector<mlir::Value> loop(mlir::Value begin, mlir::Value end, int64_t step,
                                      llvm::ArrayRef<mlir::Value> carried, LoopBody body);
  void loop(mlir::Value begin, mlir::Value end, int64_t step, llvm::function_ref<void(mlir::Value)> body);

  /// Fetches share number `number` of `shares` equal ones of a tile into the second-level cache.
  void prefetchShare(mlir::Value tile, mlir::Value number, int64_t shares);

  /// `size` elements from `source + offset`.
  mlir::Value rowAt(mlir::Value source, mlir::Value offset, int64_t size);

private:
  mlir::Value callIntrinsic(llvm::StringRef name, mlir::Type type, mlir::ValueRange operands);
  mlir::Value polynomial(mlir::Value f, llvm::ArrayRef<double> coefficients);
  mlir::Value exp2ByScalef(mlir::Value x, int degree);
};

/// Lowerings of the tile steps; each erases its op.
void lowerLoadTile(LoadTileOp op, TileTarget target);
void lowerInitTile(InitTileOp op, TileTarget target);
void lowerScores(ScoresOp op, TileTarget target);
void lowerSoftmax(SoftmaxOp op, TileTarget target);
void lowerAccumulate(AccumulateOp op, TileTarget target);
void lowerStoreTile(StoreTileOp op, TileTarget target);
void lowerMeanRow(MeanRowOp op, TileTarget target);
void lowerScoreRow(ScoreRowOp op, TileTarget target);
/// As lowerScores and lowerAccumulate, for operands of bf16 and AMX.
void lowerScoresToTiles(ScoresOp op, TileTarget target);
void lowerAccumulateToTiles(AccumulateOp op, TileTarget target);

} // namespace weft

#endif // WEFT_CODEGEN_CPU_TILEEMITTER_H
