// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What kernels and the tables they read agree on about blocks.

#ifndef WEFT_RUNTIME_CUDA_SEGMENT_H
#define WEFT_RUNTIME_CUDA_SEGMENT_H

#include <cstdint>

namespace weft::rt::cuda {

/// What a block's copy reads: boxes or runs of the video, runs of the text, or runs of first frames that stand apart.
enum class Segment : int32_t { Video, Text, Apart };
/// A segment's bits below a block's column mask.
constexpr int32_t kSegmentBits = 2;

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_SEGMENT_H
