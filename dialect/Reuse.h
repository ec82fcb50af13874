// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Score reuse: the tensors behind weft.snap.

#ifndef WEFT_DIALECT_REUSE_H
#define WEFT_DIALECT_REUSE_H

#include "dialect/WeftDialect.h"

#include <string>

namespace weft {

/// What was snapped, or `tokens` itself.
mlir::Value originalTokens(mlir::Value tokens);

/// What a threshold must be, for messages; empty if it is that.
std::string checkThreshold(double threshold);

} // namespace weft

#endif // WEFT_DIALECT_REUSE_H
