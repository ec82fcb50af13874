// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Registration of the dialect's ops, types and attributes.

#include "dialect/WeftDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace weft;

#include "dialect/WeftDialect.cpp.inc"
#include "dialect/WeftEnums.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "dialect/WeftTypes.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialect/WeftAttrs.cpp.inc"

namespace {
/// Keeps the constants of a predicate in its region, so that the region stays whole.
struct FoldIntoRegions : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  bool shouldMaterializeInto(Region *) const final { return true; }
};
} // namespace

Operation *WeftDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  auto boolean = dyn_cast<BoolAttr>(value);
  if (!boolean || !isa<MaskType>(type))
    return nullptr;
  return ConstantMaskOp::create(builder, loc, type, boolean);
}

/// A kernel is a function whose dynamic parameters, its i1, i32 and f64 arguments, fit into a call.
LogicalResult WeftDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() != kKernelAttrName)
    return success();
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (!function)
    return op->emitOpError("expected ") << kKernelAttrName << " on a function only";
  auto isParameter = [](Type type) { return type.isInteger(1) || type.isInteger(32) || type.isF64(); };
  if (int64_t count = llvm::count_if(function.getArgumentTypes(), isParameter); count > kMaxParameters)
    return op->emitOpError("expected at most ") << kMaxParameters << " dynamic parameters, but got " << count;
  return success();
}

void WeftDialect::initialize() {
  addInterfaces<FoldIntoRegions>();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialect/WeftAttrs.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialect/WeftTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialect/WeftOps.cpp.inc"
      >();
}

SmallVector<Type> weft::getCoordinateTypes(MLIRContext *context, bool given) {
  Type i32 = IntegerType::get(context, 32), i1 = IntegerType::get(context, 1);
  SmallVector<Type> types = {i32, i32, i32, i32, i32, i1, i32, i32, i32, i32, i1};
  if (given)
    types.push_back(i1);
  return types;
}

Block &weft::addCoordinateBlock(Region &region, bool given, Location loc) {
  Block &block = region.emplaceBlock();
  for (Type type : getCoordinateTypes(loc.getContext(), given))
    block.addArgument(type, loc);
  return block;
}
