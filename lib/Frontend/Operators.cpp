// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The table of operators and their arithmetic.

#include "lib/Frontend/Operators.h"

#include <algorithm>
#include <cassert>

namespace weft {

static constexpr OperatorInfo operatorTable[] = {
    {Operator::Or, TokenKind::OrKeyword, Form::Infix, Precedence::Or,
     OperandKind::Bool, Kind::Bool},
    {Operator::And, TokenKind::AndKeyword, Form::Infix, Precedence::And,
     OperandKind::Bool, Kind::Bool},
    {Operator::Not, TokenKind::NotKeyword, Form::Prefix, Precedence::Not,
     OperandKind::Bool, Kind::Bool},
    {Operator::Equal, TokenKind::Equal, Form::Infix, Precedence::Comparison,
     OperandKind::Same, Kind::Bool},
    {Operator::NotEqual, TokenKind::NotEqual, Form::Infix,
     Precedence::Comparison, OperandKind::Same, Kind::Bool},
    {Operator::Less, TokenKind::Less, Form::Infix, Precedence::Comparison,
     OperandKind::Int, Kind::Bool},
    {Operator::LessEqual, TokenKind::LessEqual, Form::Infix,
     Precedence::Comparison, OperandKind::Int, Kind::Bool},
    {Operator::Greater, TokenKind::Greater, Form::Infix, Precedence::Comparison,
     OperandKind::Int, Kind::Bool},
    {Operator::GreaterEqual, TokenKind::GreaterEqual, Form::Infix,
     Precedence::Comparison, OperandKind::Int, Kind::Bool},
    {Operator::Add, TokenKind::Plus, Form::Infix, Precedence::Additive,
     OperandKind::Int, Kind::Int},
    {Operator::Subtract, TokenKind::Minus, Form::Infix, Precedence::Additive,
     OperandKind::Int, Kind::Int},
    {Operator::Multiply, TokenKind::Star, Form::Infix,
     Precedence::Multiplicative, OperandKind::Int, Kind::Int},
    {Operator::Divide, TokenKind::Slash, Form::Infix,
     Precedence::Multiplicative, OperandKind::Int, Kind::Int},
    {Operator::Mod, TokenKind::ModKeyword, Form::Infix,
     Precedence::Multiplicative, OperandKind::Int, Kind::Int},
    {Operator::Negate, TokenKind::Minus, Form::Prefix, Precedence::Unary,
     OperandKind::Int, Kind::Int},
    {Operator::Abs, TokenKind::AbsKeyword, Form::Call, Precedence::Unary,
     OperandKind::Int, Kind::Int},
    {Operator::Min, TokenKind::MinKeyword, Form::Call, Precedence::Unary,
     OperandKind::Int, Kind::Int},
    {Operator::Max, TokenKind::MaxKeyword, Form::Call, Precedence::Unary,
     OperandKind::Int, Kind::Int},
};

std::string_view spelling(Kind kind) {
  return spelling(kind == Kind::Int    ? TokenKind::IntKeyword
                  : kind == Kind::Bool ? TokenKind::BoolKeyword
                                       : TokenKind::FloatKeyword);
}

const OperatorInfo &info(Operator op) {
  const OperatorInfo &row = operatorTable[static_cast<size_t>(op)];
  assert(row.op == op && "the table stands in the order of the enumeration");
  return row;
}

const OperatorInfo *findOperator(TokenKind token, Form form) {
  for (const OperatorInfo &row : operatorTable)
    if (row.token == token && row.form == form)
      return &row;
  return nullptr;
}

bool isDivision(Operator op) {
  return op == Operator::Divide || op == Operator::Mod;
}

/// Two's complement arithmetic that wraps.
template <typename Function>
static int32_t wrap(int32_t a, int32_t b, Function function) {
  return static_cast<int32_t>(
      function(static_cast<uint32_t>(a), static_cast<uint32_t>(b)));
}

static int32_t floorMod(int32_t a, int32_t b) {
  assert(b > 0 && "divisors are positive");
  int32_t remainder = a % b;
  return remainder < 0 ? remainder + b : remainder;
}

static int32_t floorDivide(int32_t a, int32_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

int32_t apply(Operator op, int32_t a, int32_t b) {
  switch (op) {
  case Operator::Or:
    return a | b;
  case Operator::And:
    return a & b;
  case Operator::Not:
    return a ^ 1;
  case Operator::Equal:
    return a == b;
  case Operator::NotEqual:
    return a != b;
  case Operator::Less:
    return a < b;
  case Operator::LessEqual:
    return a <= b;
  case Operator::Greater:
    return a > b;
  case Operator::GreaterEqual:
    return a >= b;
  case Operator::Add:
    return wrap(a, b, [](uint32_t x, uint32_t y) { return x + y; });
  case Operator::Subtract:
    return wrap(a, b, [](uint32_t x, uint32_t y) { return x - y; });
  case Operator::Multiply:
    return wrap(a, b, [](uint32_t x, uint32_t y) { return x * y; });
  case Operator::Divide:
    return floorDivide(a, b);
  case Operator::Mod:
    return floorMod(a, b);
  case Operator::Negate:
    return apply(Operator::Subtract, 0, a);
  case Operator::Abs:
    return std::max(a, apply(Operator::Negate, a));
  case Operator::Min:
    return std::min(a, b);
  case Operator::Max:
    return std::max(a, b);
  }
  return 0;
}

} // namespace weft
