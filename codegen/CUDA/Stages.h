// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stages that run on the device before an attention: prediction of block lists, and gathering of rows.
//
// A predicted mask is four kernels: pool (means of queries, then of keys), score, select and sort. Rows are three: count,
// plan and scatter; rows that are selected by importance have two more before these, importance and selection, and two
// behind the attention, for the ages. Recognized heads are four: probe_bits, recall, choose and choose_lists. They write what the
// attention kernel reads anyway: entries, items, their number, tokens and coordinates of the rows of each tile. Nothing
// comes back to the host.

#ifndef WEFT_CODEGEN_CUDA_STAGES_H
#define WEFT_CODEGEN_CUDA_STAGES_H

#include "codegen/CUDA/StageKernel.h"
#include "dialect/Prediction.h"
#include "dialect/WeftDialect.h"

namespace weft::cuda {

/// Means of the rows of pools; also zeros the counts of lists by length. Grid: pools x pairs x 2 sides. The arguments' order
/// is the launch's in runtime/CUDA/DevicePrediction.cpp, as that of the next three.
void formPool(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Scores of all pairs of pools, as integers that have the order of the scores; the greatest of each pair of blocks.
/// Grid: tiles of key pools x tiles of query pools x pairs.
void formScore(mlir::func::FuncOp kernel, BlockAttentionOp op, const PoolPartition &query, const PoolPartition &key);

/// Selects key blocks of each row, and writes its list over its scores. Grid: rows / 4.
void formSelect(mlir::func::FuncOp kernel, BlockAttentionOp op, const Selection &selection);

/// Sorts the rows' items by length, the longest first: of lists that were selected, or of those of each pair's choice.
/// Grid: 1.
void formSort(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formSortChosen(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Counts rows by pair and pool, plans the tiles that they fill, and writes the tiles. Query coordinates are those of
/// `axes`, and a tile has `rows` rows. Grids: parts x pairs, 1, parts x pairs. See runtime/CUDA/DeviceRows.cpp.
void formCountRows(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formPlanRows(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t rows);
void formScatterRows(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t rows, llvm::ArrayRef<int64_t> axes);

/// Which pairs of a probe's tokens candidates hold; the attention mass that each of a probe's candidates keeps of each
/// row; the choice of each pair from these; and the lists of each pair's choice. Grids: parts of the pairs of tokens x
/// heads x candidates, query tiles of a probe x pairs x parts of probes, pairs, parts of the rows. See RecallPlan.h and
/// runtime/CUDA/DeviceRecognition.cpp.
void formProbeBits(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formRecalls(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formChoose(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formChooseLists(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// The importance of tokens, as integers that have its order; the rows of greatest importance, ascending; and what
/// becomes of ages: one more for all tokens, then 0 for rows. Grids: parts of the tokens x batch, batch, and twice parts
/// x batch. See runtime/CUDA/DeviceRowSelection.cpp.
void formImportance(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formSelectRows(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formAdvanceAges(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// What a caller of an attention that selects rows needs beside it: the drift of inputs of its element type, and copies of
/// those of computed rows. Grids: tokens or rows / 8 x batch. See runtime/CUDA/DeviceRowSelection.cpp.
void formDrift(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Adds the stages that an attention needs, whose tiles have `rows` query rows and `columns` keys.
void formStages(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t rows, int64_t columns);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_STAGES_H
