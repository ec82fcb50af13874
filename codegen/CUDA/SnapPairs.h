// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Donors of whole tokens in windows of two.

#ifndef WEFT_CODEGEN_CUDA_SNAPPAIRS_H
#define WEFT_CODEGEN_CUDA_SNAPPAIRS_H

#include "codegen/CUDA/CellGrid.h"
#include "codegen/CUDA/RowGroup.h"

#include <optional>

namespace weft::cuda {

/// What a group of lanes does with a cell of 2 x 2 x 2 tokens, fewer along axes without windows. All lanes of a warp
/// come along.
class SnapPairs {
public:
  /// Rows of `source` lie `stride` elements apart; a window fires if all distances are less than `bound`, an f64.
  SnapPairs(StageKernel &k, RowGroup &rows, CellGrid &grid, const std::array<bool, 3> &axes, mlir::Value source,
            mlir::Value stride, mlir::Value bound);

  /// CTAs that a multiprocessor's registers should suffice for.
  static int64_t mostCTAs(const RowGroup &rows) {
    return !rows.element.isF32() ? 3 : rows.shape.passes() == 1 ? 2 : 1;
  }

  /// Stores the donor of each token of the cell at its place in `donors`. Returns how many tokens are their own.
  mlir::Value storeDonors(const CellGrid::Cell &cell, mlir::Value donors);

private:
  struct Place {
    std::array<int64_t, 3> offset;
    mlir::Value token;
    /// By axis: the number of the window whose last token this is, among the cell's.
    std::array<std::optional<int64_t>, 3> window;
  };
  struct Window {
    size_t first, last;
  };

  void findPlaces(const CellGrid::Cell &cell);
  size_t numberOf(const std::array<int64_t, 3> &offset) const;
  Values loadRows(int64_t pass);
  mlir::Value findFailures(int64_t pass);
  mlir::Value tokenOr0(const Place &place);
  mlir::Value judgeExactly(int64_t pass);
  Values greatestDistances(llvm::ArrayRef<mlir::Value> chunks);

  Emitter &e;
  RowGroup &rows;
  CellGrid &grid;
  std::array<int64_t, 3> sides;
  mlir::Value source, stride, bound, surelyBelow, surelyNotBelow;
  llvm::SmallVector<Place, 8> places;
  llvm::SmallVector<Window, 12> windows;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_SNAPPAIRS_H
