// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Masks: sets of pairs as closures, never as matrices.

#include "lib/Interpreter/Ops.h"

using namespace mlir;
using namespace weft;
using namespace weft::interp;

static std::vector<TokenCoordinates> listCoordinates(GridAttr grid) {
  std::vector<TokenCoordinates> tokens;
  for (int32_t token = 0; token < grid.getTokens(); ++token)
    tokens.push_back(getCoordinates(grid, token));
  return tokens;
}

FailureOr<Mask> interp::makePredicateMask(Region &body, GridAttr queryGrid, GridAttr keyGrid,
                                          const rt::GivenLists *given, const Scope &scope) {
  FailureOr<Predicate> predicate =
      Predicate::prepare(body, [&](Value value) -> FailureOr<int64_t> { return scope.getInteger(value); });
  if (failed(predicate))
    return failure();
  auto contains = [predicate = *predicate, given, queries = listCoordinates(queryGrid),
                   keys = listCoordinates(keyGrid)](const Pair &pair) {
    return predicate.holds(pair.head, queries[pair.query], keys[pair.key], given && holds(*given, pair));
  };
  return Mask{contains, given ? std::vector{given} : std::vector<const rt::GivenLists *>()};
}

LogicalResult interp::evaluate(PredicateOp op, Scope &scope) {
  const rt::GivenLists *given = op.getGiven() ? scope.get<const rt::GivenLists *>(op.getGiven()) : nullptr;
  MaskType type = op.getType();
  FailureOr<Mask> mask = makePredicateMask(op.getBody(), type.getQuery(), type.getKey(), given, scope);
  if (failed(mask))
    return failure();
  scope.bind(op, *mask);
  return success();
}

LogicalResult interp::evaluate(ConstantMaskOp op, Scope &scope) {
  scope.bind(op, Mask{[value = op.getValue()](const Pair &) { return value; }, {}});
  return success();
}

LogicalResult interp::evaluate(GivenOp op, Scope &scope) {
  auto *lists = scope.get<const rt::GivenLists *>(op.getBlocks());
  scope.bind(op, Mask{[lists](const Pair &pair) { return holds(*lists, pair); }, {lists}});
  return success();
}

static std::vector<const rt::GivenLists *> joinGiven(const Mask &lhs, const Mask &rhs) {
  std::vector<const rt::GivenLists *> given = lhs.given;
  given.insert(given.end(), rhs.given.begin(), rhs.given.end());
  return given;
}

LogicalResult interp::evaluate(MaskAndOp op, Scope &scope) {
  Mask lhs = scope.get<Mask>(op.getLhs()), rhs = scope.get<Mask>(op.getRhs());
  auto contains = [lhs, rhs](const Pair &pair) { return lhs.contains(pair) && rhs.contains(pair); };
  scope.bind(op, Mask{contains, joinGiven(lhs, rhs)});
  return success();
}

LogicalResult interp::evaluate(MaskOrOp op, Scope &scope) {
  Mask lhs = scope.get<Mask>(op.getLhs()), rhs = scope.get<Mask>(op.getRhs());
  auto contains = [lhs, rhs](const Pair &pair) { return lhs.contains(pair) || rhs.contains(pair); };
  scope.bind(op, Mask{contains, joinGiven(lhs, rhs)});
  return success();
}

LogicalResult interp::evaluate(MaskNotOp op, Scope &scope) {
  Mask operand = scope.get<Mask>(op.getOperand());
  scope.bind(op, Mask{[operand](const Pair &pair) { return !operand.contains(pair); }, operand.given});
  return success();
}
