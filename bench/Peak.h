// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The machine's peak rates, measured.

#ifndef WEFT_BENCH_PEAK_H
#define WEFT_BENCH_PEAK_H

namespace weft::bench {

/// The instructions that bound a kernel.
enum class Unit { F32FMA, BF16Dot, BF16Tile };

/// Whether this machine has the unit's vector instructions.
bool hasUnit(Unit unit);

/// Floating-point operations per second of independent instructions in registers, on `threads` threads at once: best
/// of several short runs. A fused multiply-add counts as two operations.
double measurePeak(Unit unit, int threads);

} // namespace weft::bench

#endif // WEFT_BENCH_PEAK_H
