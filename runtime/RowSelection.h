// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which query tokens are computed again, by what is kept of earlier calls: the log-sum-exp, drift and age of each token.
//
// The importance of token i of batch element b is
//
//     (mean over heads of lse[b, h, i]) * drift[b, i] + weight * exp(age[b, i])
//
// (Astraea, arXiv 2506.05096, equation 4), in double precision and without heads whose
// log-sum-exp is -inf. One selection serves all heads: a token is computed or not.

#ifndef WEFT_RUNTIME_ROWSELECTION_H
#define WEFT_RUNTIME_ROWSELECTION_H

#include "runtime/Rows.h"
#include "runtime/Tensor.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::rt {

/// Ages stop here: exp(80) = 5.5e34 is finite in f32.
inline constexpr int32_t kMaxAge = 80;

/// exp(age) for every age that there is.
const std::array<double, kMaxAge + 1> &ageExponentials();

/// A number that the program says, or number `parameter` of the dynamic parameters.
struct Amount {
  double value = 0;
  int64_t parameter = -1;

  double resolve(const std::vector<int64_t> &parameters) const;
};

/// How a kernel selects the rows of a call.
struct RowSelection {
  /// Rows of a batch element at least.
  int64_t min = 0;
  /// The share of the tokens, from 0 to 1, and the weight of the exponential of an age.
  Amount keep, ageWeight;
  /// Tokens that are selected in any case, ascending.
  std::vector<int32_t> always;

  /// Rows of a batch element of `tokens` tokens that importance selects, those of `always` aside.
  int64_t count(double share, int64_t tokens) const;
  /// What dynamic parameter number `parameter` must be, for messages; empty if `value` is that.
  std::string expectedAmount(int64_t parameter, double value) const;
};

/// Rows with their memory, one set for each batch element.
struct OwnedRowLists {
  int64_t batch = 0, capacity = 0;
  /// [batch, 1, capacity], each set ascending, and [batch, 1].
  std::vector<int32_t> indices, counts;

  /// Refers to this.
  RowLists view() const;
};

/// Checks the age of every token: i32 [batch, tokens], from 0 to kMaxAge.
Status checkAges(const Tensor &age, int64_t batch, int64_t tokens);

/// The tokens to compute: f32 `lse` [batch, heads, tokens], f32 `drift` and i32 `age` [batch, tokens], with any strides.
/// NaN is the greatest importance, and of equal ones that with the lower index is the greater.
OwnedRowLists selectRows(const RowSelection &selection, double keep, double ageWeight, const Tensor &lse,
                         const Tensor &drift, const Tensor &age, int threads);

/// Sets the ages of rows to 0 and adds 1 to all others, up to kMaxAge. The rows are for all heads.
void advanceAges(const RowLists &rows, const Tensor &age);

} // namespace weft::rt

#endif // WEFT_RUNTIME_ROWSELECTION_H
