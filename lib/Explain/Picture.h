// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Pictures of coloured rectangles, as SVG or PNG.

#ifndef WEFT_LIB_EXPLAIN_PICTURE_H
#define WEFT_LIB_EXPLAIN_PICTURE_H

#include "runtime/Status.h"

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weft::explain {

/// What rectangles of one colour mean.
struct Kind {
  /// A class of the SVG.
  std::string name;
  std::array<uint8_t, 3> colour;
};

/// Rectangles on white, in cells, x to the right and y down. Later ones hide earlier ones.
struct Picture {
  struct Rectangle {
    size_t kind;
    int64_t x, y, width, height;
  };

  /// At most 255.
  std::vector<Kind> kinds;
  int64_t width = 0, height = 0;
  std::vector<Rectangle> rectangles;

  /// Adds a grid of cells at x and y; neighbours of one kind in a row become one rectangle.
  void addCells(int64_t x, int64_t y, int64_t columns, int64_t rows,
                const std::function<size_t(int64_t column, int64_t row)> &kindOf);
};

/// Kinds from light to dark for shares from 0 to 1, and the kind of a share. The lightest is nothing, the darkest all.
std::vector<Kind> shades();
size_t shadeOf(double share);

std::string toSVG(const Picture &picture);

/// Each cell is a square of as many pixels as fit into a picture of 1600, at least one. An error if there is no
/// memory for it.
rt::Result<std::string> toPNG(const Picture &picture);

} // namespace weft::explain

#endif // WEFT_LIB_EXPLAIN_PICTURE_H
