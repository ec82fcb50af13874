// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The stages of score reuse.
//
// Channels by themselves take one kernel, snap, which writes the queries and keys that the attention reads. Whole
// tokens are merged: snap finds donors, inspect_lists says which pools the mask does not tell apart, merge_rows leaves
// one query of those that are alike (of the listed ones, if mark_rows marked these), and spread copies its result to
// the others. Keys are counted block by block, planned, and filled into blocks of their own, which merge_lists names in
// the place of the original ones.

#ifndef WEFT_CODEGEN_CUDA_REUSESTAGES_H
#define WEFT_CODEGEN_CUDA_REUSESTAGES_H

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <array>

namespace weft::cuda {

/// Along which axes queries or keys have windows. A side that has none along one of them has a window of one token there,
/// as the launch says.
std::array<bool, 3> windowAxes(BlockAttentionOp op);

/// Snaps tokens, or finds their donors if they are snapped whole; launched for queries and for keys. Grid: cells /
/// groups of a CTA x pairs. The arguments' order is the launch's in runtime/CUDA/DeviceReuse.cpp, as that of all stages
/// here.
void formSnap(mlir::func::FuncOp kernel, BlockAttentionOp op, SnapOp snap);

/// Which lists have a partial entry, and which key blocks are visited, fully or partially. Grid: pools / 8 x sets.
void formInspectLists(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Marks the listed rows. Grid: parts x pairs.
void formMarkRows(mlir::func::FuncOp kernel, BlockAttentionOp op);
/// Lists the first query of those that are alike, with its donor's row, and tells the others. Grid: tokens / groups x
/// pairs.
void formMergeRows(mlir::func::FuncOp kernel, BlockAttentionOp op);
/// Copies results to the queries that were merged. Grid: tokens / four groups x pairs.
void formSpread(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Numbers the keys of each block that stay, a block of `columns` keys. Grid: key blocks x pairs.
void formCountKeys(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t columns);
/// Where each pool's keys go, and the table of their blocks. Grid: 1 x pairs.
void formPlanKeys(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t columns);
/// Writes merged keys, values, biases, tokens and coordinates. Grid: key blocks x pairs.
void formFillKeys(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t columns);
/// Lists of merged blocks from those of the original ones. Grid: pools / 8 x pairs.
void formMergeLists(mlir::func::FuncOp kernel, BlockAttentionOp op);

/// Where mergesByCells() holds, four stages do all that: see CellStages.cpp. They find donors and count who stays. Grid:
/// cells / groups of a CTA x pairs x 2 sides. Then they say where rows and merged keys go, and write lists of the latter.
/// Grid: 2 sides x pairs. Then they write merged keys and values, and the rows and items of the attention. Grid: as the
/// first, and one more x pairs x 3. Results are copied by the stage above.
void formSnapCells(mlir::func::FuncOp kernel, BlockAttentionOp op);
void formPlanCells(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t columns);
void formFillCells(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t tileRows, int64_t columns);

/// Adds the stages that an attention with reuse needs, whose tiles have so many rows and columns.
void formReuseStages(mlir::func::FuncOp kernel, BlockAttentionOp op, int64_t tileRows, int64_t columns);

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_REUSESTAGES_H
