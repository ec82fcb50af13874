// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Queries, keys, values and given block lists for a run: from files, or random.

#ifndef WEFT_TOOLS_WEFT_RUN_INPUTS_H
#define WEFT_TOOLS_WEFT_RUN_INPUTS_H

#include "lib/TensorFile/TensorFile.h"
#include "runtime/BlockLists.h"

namespace weft {

/// What the kernel expects.
struct ExpectedShape {
  int64_t heads, queryTokens, keyTokens, headDim;
  rt::DType dtype;
  /// The query grid as a file's metadata may name it, "TxHxW".
  std::string grid;
};

/// q, k and v as [batch, heads, tokens, head dim].
struct Inputs {
  OwnedTensor query, key, value;
};

/// Reads tensors `q`, `k` and `v` (or `query`, `key`, `value`) from a file, or from three .npy files with commas
/// between their names, and converts them to the kernel's element type; `bshd` says that their axes are
/// [batch, tokens, heads, head dim].
rt::Result<Inputs> readInputs(const std::string &path, bool bshd, const ExpectedShape &shape);

/// Normally distributed inputs.
rt::Result<Inputs> randomInputs(uint64_t seed, int64_t batch, const ExpectedShape &shape);

/// Block lists, and the number of key blocks that the file is about.
struct GivenMap {
  rt::GivenLists lists;
  int64_t keyBlocks;
};

/// Reads an array of u8 or bool [sets, query blocks, key blocks] in which 1 means named and 0 not.
rt::Result<GivenMap> readGiven(const std::string &path);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_INPUTS_H
