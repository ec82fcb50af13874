// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// StaticValues: one attention with values for its static parameters and grids,
// ready to be turned into a kernel.

#ifndef WEFT_LIB_FRONTEND_STATICVALUES_H
#define WEFT_LIB_FRONTEND_STATICVALUES_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"
#include "lib/Frontend/StaticEvaluator.h"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// The value of a parameter in a compile request; booleans are 0 and 1. An int
/// may stand for a float.
struct StaticValue {
  Kind kind = Kind::Int;
  int32_t value = 0;
  /// That of a float.
  double real = 0;

  /// Reads "12", "-3", "0.25", "true" or "false".
  static std::optional<StaticValue> parse(std::string_view text);
};

/// What a compile request says about an attention.
struct StaticRequest {
  /// Name of the attention; may be empty if the file has exactly one.
  std::string attention;
  /// Values by parameter name; for a dynamic parameter the value replaces its
  /// default.
  std::map<std::string, StaticValue> values;
  GridShape queryGrid;
  GridShape keyGrid;
};

/// An attention that the request has made concrete. Refers to the program.
struct StaticValues {
  const Attention *attention = nullptr;
  GridShape queryGrid;
  GridShape keyGrid;
  /// By index: the value of a static parameter, the default, if any, of a
  /// dynamic one.
  std::vector<MaybeStatic> parameters;
  /// The same for floats.
  std::vector<std::optional<double>> floats;
  /// Tokens of a window of `reuse`.
  int32_t window = 2;
  /// What is written in `order tiles(...)`.
  std::optional<Tile> tile;
  /// The frames that the order cuts apart.
  int32_t first = 0;

  /// The frame for evaluating the attention's clauses: dynamic parameters are
  /// unknown.
  Frame frame() const;
  /// The value of a literal or of a static parameter; nothing for a dynamic one.
  std::optional<double> floatValue(const Expr &expr) const;
  /// The axes among t, h and w along which the windows of `reuse` lie in a grid:
  /// those that are written, or all that a window fits into.
  std::vector<Axis> reuseAxes(const GridShape &grid) const;
  /// Checks `request` against a program without errors; nothing if an error was
  /// reported.
  static std::optional<StaticValues> evaluate(const Program &program,
                                              const StaticRequest &request,
                                              Diagnostics &diagnostics);
};

} // namespace weft

#endif // WEFT_LIB_FRONTEND_STATICVALUES_H
