// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arguments: what a caller passes, checked against what is expected.

#ifndef WEFT_LIB_INTERPRETER_ARGUMENTS_H
#define WEFT_LIB_INTERPRETER_ARGUMENTS_H

#include "lib/Interpreter/Value.h"

namespace weft::interp {

/// An argument that is expected, and the value of a parameter that the caller does not name.
struct ArgumentSpec {
  mlir::Type type;
  mlir::Attribute fallback;
};

/// The caller's values for `signature`, each kind in its order; an error at `op` if they do not fit. The result refers
/// to `args`.
mlir::FailureOr<llvm::SmallVector<RuntimeValue>>
bindArguments(mlir::Operation *op, llvm::ArrayRef<ArgumentSpec> signature, const InterpreterArgs &args);

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_ARGUMENTS_H
