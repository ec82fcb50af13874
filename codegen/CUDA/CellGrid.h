// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The cells of a sequence whose tokens are snapped: window x window x window tokens, within which all donors lie.

#ifndef WEFT_CODEGEN_CUDA_CELLGRID_H
#define WEFT_CODEGEN_CUDA_CELLGRID_H

#include "codegen/CUDA/StageKernel.h"

#include <array>

namespace weft::cuda {

/// Arguments of a stage: tokens along t, h and w, tokens of a cell along them (1 where no windows lie), the sequence
/// position of the first video token, and all tokens. The launch's order is in runtime/CUDA/DeviceReuse.cpp.
class CellGrid {
public:
  static constexpr llvm::StringLiteral kLetters = "iiiiiiii";

  CellGrid(StageKernel &k, unsigned firstArgument);

  /// A cell of video tokens, or one text token.
  struct Cell {
    /// Coordinates of its first token, beyond the grid if it is text.
    std::array<mlir::Value, 3> begin;
    /// The text token, or -1.
    mlir::Value text;
  };
  /// Cell `number` of all, the text tokens behind those of video; from count() on it holds no token.
  Cell cellAt(mlir::Value number);
  /// The cell of a token of the sequence.
  Cell cellOf(mlir::Value token);
  mlir::Value count();

  /// Tokens of a whole cell: positions in raster order.
  mlir::Value size;

  struct Place {
    /// Sequence position, -1 if the cell has no such token.
    mlir::Value token;
    /// Tokens from the cell's begin on along each axis.
    std::array<mlir::Value, 3> offset;
  };
  Place placeAt(const Cell &cell, mlir::Value position);
  /// The same by offsets within the cell.
  Place placeAt(const Cell &cell, const std::array<mlir::Value, 3> &offset);
  /// Whether a window of the cell along an axis is not cut short by the grid.
  mlir::Value isWhole(const Cell &cell, int64_t axis);
  /// Tokens from one to the next along an axis.
  std::array<mlir::Value, 3> steps;
  mlir::Value tokens;

private:
  Emitter &e;
  std::array<mlir::Value, 3> extents, window;
  mlir::Value begin, video;
};

} // namespace weft::cuda

#endif // WEFT_CODEGEN_CUDA_CELLGRID_H
