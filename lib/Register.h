// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The single list of dialects, passes and pipelines that every tool registers.

#ifndef WEFT_LIB_REGISTER_H
#define WEFT_LIB_REGISTER_H

namespace mlir {
class DialectRegistry;
}

namespace weft {

/// Adds the weft dialect and the upstream dialects that its programs, plans and kernels use.
void registerAllDialects(mlir::DialectRegistry &registry);

/// Registers Weft's passes and pipelines, and the upstream passes that are useful beside them.
void registerAllPasses();

} // namespace weft

#endif // WEFT_LIB_REGISTER_H
