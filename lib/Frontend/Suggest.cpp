// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Edit distance, and lists of names in messages.

#include "lib/Frontend/Suggest.h"

#include <fmt/format.h>

#include <algorithm>

namespace weft {

/// Edit distance; exchanging two neighbours counts as one edit.
static size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> distance(a.size() + 1,
                                            std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      size_t &best = distance[i][j];
      if (i == 0 || j == 0) {
        best = i + j;
        continue;
      }
      best = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1,
                       distance[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = std::min(best, distance[i - 2][j - 2] + 1);
    }
  }
  return distance[a.size()][b.size()];
}

std::string didYouMean(std::string_view name,
                       const std::vector<std::string_view> &candidates) {
  constexpr size_t longestName = 64;
  if (name.size() > longestName)
    return "";
  size_t nearest = std::max<size_t>(1, name.size() / 3) + 1;
  std::string_view best;
  for (std::string_view candidate : candidates) {
    if (candidate.size() > longestName || candidate == name)
      continue;
    size_t distance = editDistance(name, candidate);
    if (distance < nearest && distance < candidate.size()) {
      nearest = distance;
      best = candidate;
    }
  }
  return best.empty() ? "" : fmt::format("; did you mean '{}'?", best);
}

std::string quotedList(const std::vector<std::string_view> &names,
                       std::string_view conjunction) {
  std::string result;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i != 0)
      result += i + 1 == names.size() ? fmt::format(" {} ", conjunction) : ", ";
    result += fmt::format("'{}'", names[i]);
  }
  return result;
}

} // namespace weft
