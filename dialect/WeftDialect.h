// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The weft dialect's C++ classes: the one header that clients include.

#ifndef WEFT_DIALECT_WEFTDIALECT_H
#define WEFT_DIALECT_WEFTDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <array>

#include "dialect/WeftDialect.h.inc"
#include "dialect/WeftEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/WeftAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialect/WeftTypes.h.inc"

#define GET_OP_CLASSES
#include "dialect/WeftOps.h.inc"

namespace weft {

/// Positions of a predicate region's arguments.
enum CoordinateArg : unsigned {
  kHead,
  kQueryT,
  kQueryH,
  kQueryW,
  kQueryIndex,
  kQueryText,
  kKeyT,
  kKeyH,
  kKeyW,
  kKeyIndex,
  kKeyText,
  kGiven,
};

/// The types of a predicate region's arguments.
llvm::SmallVector<mlir::Type> getCoordinateTypes(mlir::MLIRContext *context, bool given);

/// Channels that a tile of `shape` has room for in `layout`.
int64_t channelsOf(llvm::ArrayRef<int64_t> shape, Layout layout);

/// Appends a block with a predicate region's arguments to `region`.
mlir::Block &addCoordinateBlock(mlir::Region &region, bool given, mlir::Location loc);

} // namespace weft

#endif // WEFT_DIALECT_WEFTDIALECT_H
