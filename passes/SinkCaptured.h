// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Makes a predicate region depend on nothing above it but parameters.

#ifndef WEFT_PASSES_SINKCAPTURED_H
#define WEFT_PASSES_SINKCAPTURED_H

#include "mlir/IR/Region.h"

namespace weft {

/// Copies the pure ops above `body` that define what it uses, and what these use, to its begin; erases those that
/// nobody uses any more.
void sinkCaptured(mlir::Region &body);

} // namespace weft

#endif // WEFT_PASSES_SINKCAPTURED_H
