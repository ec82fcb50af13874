// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What passes count, left on the module where tools and tests see it.

#ifndef WEFT_PASSES_PASSCOUNTS_H
#define WEFT_PASSES_PASSCOUNTS_H

#include "mlir/IR/BuiltinOps.h"

#include <initializer_list>
#include <utility>

namespace weft {

/// Sets entry `pass` of the module's dictionary `weft.statistics` to these counts.
///
/// MLIR's own pass statistics are compiled out of release builds of LLVM, as distributions ship them.
void recordCounts(mlir::ModuleOp module, llvm::StringRef pass,
                  std::initializer_list<std::pair<llvm::StringRef, int64_t>> counts);

} // namespace weft

#endif // WEFT_PASSES_PASSCOUNTS_H
