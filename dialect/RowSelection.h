// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rows that their importance selects.

#ifndef WEFT_DIALECT_ROWSELECTION_H
#define WEFT_DIALECT_ROWSELECTION_H

#include "dialect/WeftDialect.h"

#include <optional>

namespace weft {

/// The ops behind rows that their importance selects.
struct RowSelection {
  SelectRowsOp select;
  /// Null if the importance has another source.
  ImportanceOp importance;

  /// Nothing if `rows` has another source.
  static std::optional<RowSelection> from(mlir::Value rows);
};

/// What the weight of an age must be, for messages; empty if it is that.
std::string checkAgeWeight(double weight);

} // namespace weft

#endif // WEFT_DIALECT_ROWSELECTION_H
