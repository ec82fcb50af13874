// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Queries, keys, values and what is given beside them for a run: from files, or random.

#ifndef WEFT_TOOLS_WEFT_RUN_INPUTS_H
#define WEFT_TOOLS_WEFT_RUN_INPUTS_H

#include "lib/TensorFile/TensorFile.h"
#include "runtime/BlockLists.h"
#include "runtime/Rows.h"

namespace weft {

/// What the kernel expects.
struct ExpectedShape {
  int64_t heads, queryTokens, keyTokens, headDim;
  rt::DType dtype;
  /// The query grid as a file's metadata may name it, "TxHxW".
  std::string grid;
};

/// Rows with their memory.
struct OwnedRows {
  OwnedTensor indices, counts;
  rt::RowLists view() const { return {indices.view, counts.view}; }
};

/// Memory for the results of a call, with ages if it selects rows.
struct Results {
  OwnedTensor out, lse;
  std::optional<OwnedTensor> age = {};
};

/// q, k and v as [batch, heads, tokens, head dim]; bias and rows if these are given; for an attention with rows what was
/// kept of the last call, and for one that selects them the drift.
struct Inputs {
  OwnedTensor query, key, value;
  std::optional<OwnedTensor> bias = {};
  std::optional<OwnedRows> rows = {};
  std::optional<Results> cache = {};
  std::optional<OwnedTensor> drift = {};
};

/// Reads tensors `q`, `k` and `v` (or `query`, `key`, `value`) from a file, or from three .npy files with commas
/// between their names, and converts them to the kernel's element type; `bshd` says that their axes are
/// [batch, tokens, heads, head dim].
rt::Result<Inputs> readInputs(const std::string &path, bool bshd, const ExpectedShape &shape);

/// Normally distributed inputs.
rt::Result<Inputs> randomInputs(uint64_t seed, int64_t batch, const ExpectedShape &shape);

/// Reads one tensor of f32.
rt::Result<OwnedTensor> readBias(const std::string &path);

/// All zeros, without ages.
rt::Result<Results> allocateResults(const Inputs &inputs);

/// A normally distributed bias for each head, for all batches.
rt::Result<OwnedTensor> randomBias(uint64_t seed, const ExpectedShape &shape);

/// Reads an array of u8 or bool [batch or 1, heads or 1, query tokens] in which 1 means to be computed and 0 not.
rt::Result<OwnedRows> readRows(const std::string &path, const ExpectedShape &shape);

/// A share of the query tokens in random order, for all batches and heads.
rt::Result<OwnedRows> randomRows(uint64_t seed, double share, const ExpectedShape &shape);

/// Block lists, and the number of key blocks that the file is about.
struct GivenMap {
  rt::GivenLists lists;
  int64_t keyBlocks;
};

/// Reads an array of u8 or bool [sets, query blocks, key blocks] in which 1 means named and 0 not.
rt::Result<GivenMap> readGiven(const std::string &path);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_INPUTS_H
