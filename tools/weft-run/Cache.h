// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What an attention with rows keeps from call to call, and the drift of its inputs: from files, or random.

#ifndef WEFT_TOOLS_WEFT_RUN_CACHE_H
#define WEFT_TOOLS_WEFT_RUN_CACHE_H

#include "tools/weft-run/Inputs.h"

namespace weft {

/// Zeros, for an attention that selects rows if `withAge`.
rt::Result<Results> emptyCache(const Inputs &inputs, bool withAge);

/// Reads `out`, `lse` and, if `withAge`, `age` of a file that --output wrote.
rt::Result<Results> readCache(const std::string &path, const Inputs &inputs, bool withAge);

/// Normally distributed outputs, log-sum-exps around the logarithm of the number of keys, and ages from 0 to 3.
rt::Result<Results> randomCache(uint64_t seed, const Inputs &inputs, bool withAge);

/// A copy that a call may write to.
rt::Result<Results> copyCache(const Results &cache);

/// Reads an f32 tensor [batch, query tokens].
rt::Result<OwnedTensor> readDrift(const std::string &path, const Inputs &inputs);

/// The magnitude of normally distributed numbers.
rt::Result<OwnedTensor> randomDrift(uint64_t seed, const Inputs &inputs);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_CACHE_H
