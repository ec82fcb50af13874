// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Masks: sets of pairs as closures, never as matrices.

#include "lib/Interpreter/Ops.h"

#include "dialect/Recognition.h"

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
  SmallVector<ChooseOp> chosen = findChoices(body);
  if (chosen.size() > 1)
    return chosen.back().emitOpError("expected at most one choice in a predicate, but got ") << chosen.size();
  // A choice is one number for each head: the predicate of every candidate is prepared once.
  const rt::Choices *choices = chosen.empty() ? nullptr : scope.get<const rt::Choices *>(chosen.front().getChoice());
  std::vector<Predicate> predicates;
  for (int64_t candidate = 0; candidate < (choices ? chosen.front().numCandidates() : 1); ++candidate) {
    FailureOr<Predicate> predicate = Predicate::prepare(body, [&](Value value) -> FailureOr<int64_t> {
      return value.getDefiningOp<ChooseOp>() ? candidate : scope.getInteger(value);
    });
    if (failed(predicate))
      return failure();
    predicates.push_back(std::move(*predicate));
  }
  auto contains = [predicates, choices, given, queries = listCoordinates(queryGrid),
                   keys = listCoordinates(keyGrid)](const Pair &pair) {
    const Predicate &predicate = predicates[choices ? choices->of(pair.batch * pair.heads + pair.head) : 0];
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
