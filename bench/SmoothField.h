// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Queries and keys with as much redundancy as a video has.

#ifndef WEFT_BENCH_SMOOTHFIELD_H
#define WEFT_BENCH_SMOOTHFIELD_H

#include "lib/Frontend/MLIRGen.h"
#include "runtime/Tensor.h"

#include <cstdint>

namespace weft::bench {

/// A sum of waves with random phases in every channel of [1, heads, tokens, channels], and noise that is strong in some
/// regions and weak in others: as in a video, whose background hardly changes where objects move.
void fillField(const rt::Tensor &tensor, const GridShape &grid, uint64_t seed);

} // namespace weft::bench

#endif // WEFT_BENCH_SMOOTHFIELD_H
