// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Suggestions for misspelt names.

#ifndef WEFT_LIB_FRONTEND_SUGGEST_H
#define WEFT_LIB_FRONTEND_SUGGEST_H

#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// "; did you mean 'x'?" for the candidate nearest to `name`, or nothing when
/// none is near.
std::string didYouMean(std::string_view name,
                       const std::vector<std::string_view> &candidates);

/// "'a', 'b' or 'c'"
std::string quotedList(const std::vector<std::string_view> &names,
                       std::string_view conjunction = "or");

} // namespace weft

#endif // WEFT_LIB_FRONTEND_SUGGEST_H
