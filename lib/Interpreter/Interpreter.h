// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The interpreter: evaluates programs, plans and the tile steps of kernels in double precision. It is the definition of
// the language.

#ifndef WEFT_LIB_INTERPRETER_INTERPRETER_H
#define WEFT_LIB_INTERPRETER_INTERPRETER_H

#include "dialect/BlockPartition.h"
#include "runtime/BlockLists.h"
#include "runtime/Recognition.h"
#include "runtime/RowSelection.h"
#include "runtime/Rows.h"
#include "runtime/Tensor.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/DenseMap.h"

namespace weft {

/// What a function is called with; each vector fills the function's arguments of that type in their order.
struct InterpreterArgs {
  /// In any float type and with any strides. [batch, heads, tokens, head dim]: q, k and v, and out where rows are
  /// written into it. [batch, heads, tokens]: lse, and a bias, whose batch and heads may be 1. [batch, tokens]: drift, and
  /// ages in i32.
  std::vector<rt::Tensor> tensors;
  /// Dynamic parameters, the bits of an f64 for a float. Parameters beyond the end take their defaults.
  std::vector<int64_t> parameters;
  std::vector<rt::GivenLists> given;
  std::vector<rt::RowLists> rowLists;
  /// Taken instead of what each op selects, as a kernel takes given lists; null for the op's own selection.
  const rt::GivenLists *selected = nullptr;
  /// The same for rows.
  const rt::RowLists *selectedRows = nullptr;
  /// Taken instead of what an op chooses; null for its own choice. A module on the tile level needs them if it was made
  /// of a program that recognizes heads.
  const rt::Choices *choices = nullptr;
  /// Positions on axis 2 of the results to evaluate; all if empty.
  std::vector<int64_t> rows;
};

/// A contiguous row-major tensor.
struct DoubleTensor {
  std::vector<int64_t> shape;
  std::vector<double> data;

  /// Element [indices...], with all indices or with leading ones and zeros for the rest.
  double at(llvm::ArrayRef<int64_t> indices) const;
};

/// A function's results. With sampled rows axis 2 holds these, in the order in which they were asked for.
struct InterpreterResult {
  DoubleTensor out;
  /// Empty if the function returns one tensor only.
  DoubleTensor lse;
  /// [batch, tokens] after the call; empty unless the function returns three tensors.
  DoubleTensor age;
  /// The block lists that ops selected, in their order.
  std::vector<rt::GivenLists> predicted;
  /// The rows that ops selected, in their order.
  std::vector<rt::OwnedRowLists> selectedRows;
  /// What ops chose for each batch element and head, in their order; their recalls also where choices were passed.
  std::vector<rt::Choices> recognized;
};

/// Evaluates `func`, a function of one block on the program or plan level.
mlir::FailureOr<InterpreterResult> interpret(mlir::func::FuncOp func, const InterpreterArgs &args);

/// Evaluates a module on the tile level, as weft-form-online-softmax leaves it, the way the runtime runs a kernel: its
/// pack and attend functions for every batch, head and block. The tensors are q, k and v.
mlir::FailureOr<InterpreterResult> interpretKernel(mlir::ModuleOp module, const InterpreterArgs &args);

/// The integers that a region uses from above it. Constants need not be there.
using CapturedIntegers = llvm::DenseMap<mlir::Value, int64_t>;

/// Whether the predicate region `body` yields true for one pair. To ask for many pairs, prepare a Predicate once.
mlir::FailureOr<bool> interpretPredicate(mlir::Region &body, int64_t head, const TokenCoordinates &query,
                                         const TokenCoordinates &key, bool given = false,
                                         const CapturedIntegers &captured = CapturedIntegers());

} // namespace weft

#endif // WEFT_LIB_INTERPRETER_INTERPRETER_H
