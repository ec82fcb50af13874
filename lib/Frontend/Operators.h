// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Operators: the one table of operators, their tokens, precedence and kinds,
// and what they compute.

#ifndef WEFT_LIB_FRONTEND_OPERATORS_H
#define WEFT_LIB_FRONTEND_OPERATORS_H

#include "lib/Frontend/Lexer.h"

#include <cstdint>
#include <string_view>

namespace weft {

/// The kinds of expressions.
enum class Kind { Int, Bool, Float };

/// "int", "bool" or "float".
std::string_view spelling(Kind kind);

enum class Operator {
  Or,
  And,
  Not,
  Equal,
  NotEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual,
  Add,
  Subtract,
  Multiply,
  Divide,
  Mod,
  Negate,
  Abs,
  Min,
  Max,
};

/// How an operator is written.
enum class Form { Infix, Prefix, Call };

/// How tightly an operator binds, loosest first.
enum class Precedence {
  Or,
  And,
  Not,
  Comparison,
  Additive,
  Multiplicative,
  Unary
};

/// What an operator takes; Same: two operands of one kind, whichever it is.
enum class OperandKind { Int, Bool, Same };

/// One row of the table of operators.
struct OperatorInfo {
  Operator op;
  TokenKind token;
  Form form;
  Precedence precedence;
  OperandKind operands;
  Kind result;

  std::string_view spelling() const { return weft::spelling(token); }
  unsigned arity() const {
    return form == Form::Prefix || op == Operator::Abs ? 1 : 2;
  }
};

/// The row of an operator.
const OperatorInfo &info(Operator op);
/// The operator that `token` spells in this form, or null.
const OperatorInfo *findOperator(TokenKind token, Form form);
/// True for the operators whose second operand is a divisor.
bool isDivision(Operator op);

/// The value of an operator on integers (booleans are 0 and 1): wraps, rounds
/// towards minus infinity. A divisor must be positive; `b` is ignored by unary
/// operators.
int32_t apply(Operator op, int32_t a, int32_t b = 0);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_OPERATORS_H
