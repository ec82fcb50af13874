// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A search's evaluations on disk.

#ifndef WEFT_LIB_SEARCH_STATE_H
#define WEFT_LIB_SEARCH_STATE_H

#include "lib/Search/Search.h"

namespace weft::search {

/// What a state belongs to.
struct Configuration {
  Options options;
  /// What computes the fitness.
  std::string fitness;
};

std::string stateToJSON(const Configuration &configuration, const Evaluations &evaluations);
/// An error names what the state says of another configuration, or the place that is not a state.
rt::Result<Evaluations> parseState(std::string_view json, const Configuration &configuration);

} // namespace weft::search

#endif // WEFT_LIB_SEARCH_STATE_H
