// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Scalar ops of predicates: arithmetic on i1, i32 and index.

#ifndef WEFT_LIB_INTERPRETER_SCALAROPS_H
#define WEFT_LIB_INTERPRETER_SCALAROPS_H

#include "mlir/IR/Operation.h"

namespace weft::interp {

/// The integer of `width` bits that `value` wraps to, sign-extended: i1 is 0 or -1.
inline int64_t wrap(int64_t value, unsigned width) {
  return static_cast<int64_t>(static_cast<uint64_t>(value) << (64 - width)) >> (64 - width);
}

/// The meaning of one op on up to three sign-extended integers.
struct ScalarOp {
  using Function = int64_t (*)(int64_t, int64_t, int64_t);

  Function function = nullptr;
  unsigned width = 64;
  /// The second operand must not be 0.
  bool divides = false;

  int64_t apply(int64_t a, int64_t b, int64_t c) const { return wrap(function(a, b, c), width); }
};

/// The meaning of `op`; an error at `op` if it is no scalar op of predicates.
mlir::FailureOr<ScalarOp> getScalarOp(mlir::Operation *op);

} // namespace weft::interp

#endif // WEFT_LIB_INTERPRETER_SCALAROPS_H
