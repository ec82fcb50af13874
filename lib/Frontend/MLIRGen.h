// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// MLIRGen: turns a checked program and a compile request into a module of the
// weft dialect.

#ifndef WEFT_LIB_FRONTEND_MLIRGEN_H
#define WEFT_LIB_FRONTEND_MLIRGEN_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"
#include "lib/Frontend/StaticValues.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>

namespace weft {

/// Element types of queries, keys and values.
enum class ElementType { F32, BF16, F16 };

/// A compile request: the attention, its static values and grids, and the
/// tensors' types.
struct GenerateOptions : StaticRequest {
  int64_t heads = 1;
  int64_t headDim = 64;
  ElementType elementType = ElementType::F32;
  /// Queries and keys are cut into blocks of at most this many tokens.
  int64_t block = 128;
  /// Factor on the scores; 1 / sqrt(headDim) unless set.
  std::optional<double> scale;
};

/// Generates one kernel function, named after the attention: its arguments are
/// q, k, v, then with `bias given` the bias, with `rows` the results that rows
/// are written into, then drift and age if rows are selected, the block lists if
/// the mask uses `given`, the rows if they are given, and the dynamic
/// parameters: i32, i1 and f64. Its results are out, lse and, if rows are
/// selected, the ages after the call. Loads the dialects it needs; every op has
/// a location in the source.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
generateModule(mlir::MLIRContext &context, const Program &program,
               const GenerateOptions &options, Diagnostics &diagnostics);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_MLIRGEN_H
