// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognition of heads: the tokens of probes, and the choice that a predicate depends on.

#ifndef WEFT_DIALECT_RECOGNITION_H
#define WEFT_DIALECT_RECOGNITION_H

#include "dialect/WeftDialect.h"

#include <vector>

namespace weft {

/// The sequence positions of a probe's tokens, ascending: see weft.recall.
std::vector<int32_t> probeTokens(GridAttr grid, Probe probe);

/// The choices that a predicate region uses from above it, each once.
llvm::SmallVector<ChooseOp> findChoices(mlir::Region &body);

} // namespace weft

#endif // WEFT_DIALECT_RECOGNITION_H
