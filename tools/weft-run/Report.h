// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What weft-run prints.

#ifndef WEFT_TOOLS_WEFT_RUN_REPORT_H
#define WEFT_TOOLS_WEFT_RUN_REPORT_H

#include "runtime/Recognition.h"
#include "runtime/Reuse.h"

#include <optional>
#include <string>
#include <vector>

namespace weft {

/// Figures of one run; those not asked for stay empty.
struct Report {
  std::string name, backend, dtype, target, grid;
  /// The GPU's name, if one ran the kernel.
  std::string device;
  int64_t heads = 0, headDim = 0, block = 0;
  /// Parameters as the command line sets them: "name=value".
  std::vector<std::string> values;
  std::optional<int> threads;
  int64_t queryBlocks = 0, keyBlocks = 0;
  /// Rows that are computed, of all sets.
  std::optional<int64_t> rowCount;
  /// The candidate of each batch element and head, if the mask recognizes heads.
  std::optional<rt::Choices> choices;
  std::optional<double> density, rowShare, compileMilliseconds, firstMilliseconds, milliseconds;
  std::vector<double> times, denseTimes;
  std::optional<rt::ReuseSaving> reuse;
  std::optional<double> interpreterError, lseError, denseError, denseMilliseconds, speedup;
};

/// Aligned lines for a person.
std::string toText(const Report &report);
/// One JSON object; figures not asked for are null, those that are not finite strings.
std::string toJSON(const Report &report);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_REPORT_H
