// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The table of scalar ops. Integers wrap; the caller cuts results to their width.

#include "lib/Interpreter/ScalarOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/StringMap.h"

#include <algorithm>

using namespace mlir;
using namespace weft::interp;

using Function = ScalarOp::Function;
using Integer = int64_t;

static Integer add(Integer a, Integer b, Integer) { return static_cast<uint64_t>(a) + static_cast<uint64_t>(b); }
static Integer subtract(Integer a, Integer b, Integer) { return static_cast<uint64_t>(a) - static_cast<uint64_t>(b); }
static Integer multiply(Integer a, Integer b, Integer) { return static_cast<uint64_t>(a) * static_cast<uint64_t>(b); }
static Integer divide(Integer a, Integer b, Integer) { return a / b; }
static Integer remainder(Integer a, Integer b, Integer) { return a % b; }
static bool isInexactAndPositive(Integer a, Integer b) { return a % b != 0 && (a < 0) == (b < 0); }
static bool isInexactAndNegative(Integer a, Integer b) { return a % b != 0 && (a < 0) != (b < 0); }
static Integer divideUp(Integer a, Integer b, Integer) { return a / b + isInexactAndPositive(a, b); }
static Integer divideDown(Integer a, Integer b, Integer) { return a / b - isInexactAndNegative(a, b); }
static Integer maximum(Integer a, Integer b, Integer) { return std::max(a, b); }
static Integer minimum(Integer a, Integer b, Integer) { return std::min(a, b); }
static Integer bitAnd(Integer a, Integer b, Integer) { return a & b; }
static Integer bitOr(Integer a, Integer b, Integer) { return a | b; }
static Integer bitXor(Integer a, Integer b, Integer) { return a ^ b; }
static Integer select(Integer condition, Integer a, Integer b) { return condition ? a : b; }
static Integer keep(Integer a, Integer, Integer) { return a; }
static Integer extendBitByZero(Integer a, Integer, Integer) { return a & 1; }
static Integer extendWordByZero(Integer a, Integer, Integer) { return static_cast<uint32_t>(a); }
static Integer shift(uint64_t a, Integer bits) { return static_cast<uint64_t>(bits) < 64 ? a >> bits : 0; }
static Integer shiftWordRight(Integer a, Integer bits, Integer) { return shift(static_cast<uint32_t>(a), bits); }
static Integer shiftIndexRight(Integer a, Integer bits, Integer) { return shift(a, bits); }

/// Sign-extended integers compare in 64 bits as they do in their own width, signed and unsigned.
static Function getComparison(arith::CmpIPredicate predicate) {
  using Unsigned = uint64_t;
  switch (predicate) {
  case arith::CmpIPredicate::eq:
    return [](Integer a, Integer b, Integer) -> Integer { return a == b; };
  case arith::CmpIPredicate::ne:
    return [](Integer a, Integer b, Integer) -> Integer { return a != b; };
  case arith::CmpIPredicate::slt:
    return [](Integer a, Integer b, Integer) -> Integer { return a < b; };
  case arith::CmpIPredicate::sle:
    return [](Integer a, Integer b, Integer) -> Integer { return a <= b; };
  case arith::CmpIPredicate::sgt:
    return [](Integer a, Integer b, Integer) -> Integer { return a > b; };
  case arith::CmpIPredicate::sge:
    return [](Integer a, Integer b, Integer) -> Integer { return a >= b; };
  case arith::CmpIPredicate::ult:
    return [](Integer a, Integer b, Integer) -> Integer { return Unsigned(a) < Unsigned(b); };
  case arith::CmpIPredicate::ule:
    return [](Integer a, Integer b, Integer) -> Integer { return Unsigned(a) <= Unsigned(b); };
  case arith::CmpIPredicate::ugt:
    return [](Integer a, Integer b, Integer) -> Integer { return Unsigned(a) > Unsigned(b); };
  case arith::CmpIPredicate::uge:
    return [](Integer a, Integer b, Integer) -> Integer { return Unsigned(a) >= Unsigned(b); };
  }
  llvm_unreachable("all comparisons are above");
}

static Function getFunction(Operation *op) {
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return getComparison(compare.getPredicate());
  if (auto extend = dyn_cast<arith::ExtUIOp>(op))
    return extend.getIn().getType().isInteger(1) ? extendBitByZero : extendWordByZero;
  if (auto shift = dyn_cast<arith::ShRUIOp>(op); shift && !shift.getType().isInteger(1))
    return shift.getType().isIndex() ? shiftIndexRight : shiftWordRight;
  static const llvm::StringMap<Function> functions = {
      {"arith.addi", add},
      {"arith.andi", bitAnd},
      {"arith.ceildivsi", divideUp},
      {"arith.divsi", divide},
      {"arith.extsi", keep},
      {"arith.floordivsi", divideDown},
      {"arith.index_cast", keep},
      {"arith.maxsi", maximum},
      {"arith.minsi", minimum},
      {"arith.muli", multiply},
      {"arith.ori", bitOr},
      {"arith.remsi", remainder},
      {"arith.select", select},
      {"arith.subi", subtract},
      {"arith.trunci", keep},
      {"arith.xori", bitXor},
  };
  return functions.lookup(op->getName().getStringRef());
}

FailureOr<ScalarOp> weft::interp::getScalarOp(Operation *op) {
  Function function = getFunction(op);
  if (!function || !op->getResult(0).getType().isIntOrIndex())
    return op->emitOpError("expected an op that the interpreter knows");
  Type type = op->getResult(0).getType();
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  bool divides = isa<arith::CeilDivSIOp, arith::DivSIOp, arith::FloorDivSIOp, arith::RemSIOp>(op);
  return ScalarOp{function, width, divides};
}
