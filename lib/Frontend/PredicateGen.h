// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PredicateGen: emits expressions of one predicate as arith operations, with
// every definition expanded in place.

#ifndef WEFT_LIB_FRONTEND_PREDICATEGEN_H
#define WEFT_LIB_FRONTEND_PREDICATEGEN_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/StaticEvaluator.h"

#include "mlir/IR/Builders.h"

#include <vector>

namespace weft {

/// Makes the location of a source range.
class Locator {
public:
  Locator(mlir::MLIRContext *context, const SourceFile &source);
  mlir::Location operator()(SourceRange range) const;

private:
  mlir::StringAttr fileName;
  const SourceFile &source;
};

/// A value known now, or one computed at run time.
struct Emitted {
  MaybeStatic constant;
  mlir::Value value;
};

/// The parameters of one expansion, by index.
using EmittedParameters = std::vector<Emitted>;

/// Emits expressions at the builder's insertion point, which is in the block of
/// a weft.predicate.
class PredicateGen {
public:
  PredicateGen(mlir::OpBuilder &builder, const Locator &locate,
               mlir::Block &block, const GridShape &queryGrid,
               const GridShape &keyGrid)
      : builder(builder), locate(locate), block(block), queryGrid(queryGrid),
        keyGrid(keyGrid) {}

  /// The value of `expr`, an i32 or i1.
  mlir::Value emitValue(const Expr &expr, const EmittedParameters &parameters);

private:
  Emitted emit(const Expr &expr, const EmittedParameters &parameters);
  mlir::Value emitTextIndex(bool ofKey, mlir::Location loc);
  Emitted emitOperator(const OperatorExpr &expr, SourceRange range,
                       const EmittedParameters &parameters);
  Emitted emitReference(const ReferenceExpr &reference,
                        const EmittedParameters &parameters);
  mlir::Value materialize(const Emitted &emitted, Kind kind,
                          mlir::Location loc);
  mlir::Value constant(int32_t value, mlir::Location loc);
  mlir::Value emitMod(mlir::Value value, int32_t divisor, mlir::Location loc);
  mlir::Value emitRuntime(Operator op, mlir::Value left, mlir::Value right,
                          mlir::Location loc);

  mlir::OpBuilder &builder;
  const Locator &locate;
  mlir::Block &block;
  GridShape queryGrid, keyGrid;
};

} // namespace weft

#endif // WEFT_LIB_FRONTEND_PREDICATEGEN_H
