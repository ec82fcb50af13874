// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Figures of tokens by frame.

#ifndef WEFT_LIB_EXPLAIN_FRAMES_H
#define WEFT_LIB_EXPLAIN_FRAMES_H

#include "runtime/Kernel.h"

#include <optional>
#include <vector>

namespace weft::explain {

/// Means over the tokens of each frame, and over the text tokens if there are any.
struct FrameMeans {
  std::vector<double> frames;
  std::optional<double> text;
};

/// `shares` are by sequence position.
FrameMeans meansByFrame(const rt::TokenBlocks &blocks, const std::vector<double> &shares);

/// A video token's place in the sequence and in the video. Text tokens have none.
struct Place {
  int32_t token, t, h, w;
};
std::vector<Place> placesOf(const rt::TokenBlocks &blocks);

} // namespace weft::explain

#endif // WEFT_LIB_EXPLAIN_FRAMES_H
