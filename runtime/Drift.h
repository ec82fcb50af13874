// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Drift: how far a token's input is from the one it was last computed with.

#ifndef WEFT_RUNTIME_DRIFT_H
#define WEFT_RUNTIME_DRIFT_H

#include "runtime/Rows.h"
#include "runtime/Tensor.h"

namespace weft::rt {

/// Writes the Euclidean norm of x[b, i, :] - last[b, i, :] to the f32 `drift` [batch, tokens]. The inputs are
/// [batch, tokens, width] of one type, f32, bf16 or f16, with a contiguous last axis. Sums are in double precision; NaN
/// gives NaN. Nothing was written on error.
Status measureDrift(const Tensor &x, const Tensor &last, const Tensor &drift, int threads = 0);

/// Copies the inputs of rows that are computed into `last`. `rows` are for all heads, as Kernel::selectRows gives them.
/// Nothing was written on error.
Status keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last);

/// What measureDrift() checks of its tensors.
Status checkDrift(const Tensor &x, const Tensor &last, const Tensor &drift);
/// What keepInputs() checks of its tensors; of rows nothing.
Status checkKeptInputs(const Tensor &x, const Tensor &last);

} // namespace weft::rt

#endif // WEFT_RUNTIME_DRIFT_H
