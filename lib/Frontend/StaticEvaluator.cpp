// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Evaluation of static expressions and tile sizes.

#include "lib/Frontend/StaticEvaluator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace weft {

int32_t extent(const GridShape &grid, Axis axis) {
  switch (axis) {
  case Axis::T:
    return grid.t;
  case Axis::H:
    return grid.h;
  case Axis::W:
    return grid.w;
  case Axis::Index:
  case Axis::TextIndex:
    return grid.tokens();
  case Axis::Text:
    return grid.text;
  }
  return 0;
}

TokenCoordinateValues coordinatesAt(const GridShape &grid, int32_t index) {
  constexpr int32_t far = 1 << 20;
  int64_t video = grid.t * grid.h * grid.w;
  int64_t place = index - (grid.textFirst ? grid.text : 0);
  if (place < 0 || place >= video)
    return {far, far, far, index, 1,
            static_cast<int32_t>(grid.textFirst ? index : index - video)};
  return {static_cast<int32_t>(place / (grid.h * grid.w)),
          static_cast<int32_t>(place / grid.w % grid.h),
          static_cast<int32_t>(place % grid.w),
          index,
          0,
          far};
}

MaybeStatic StaticEvaluator::evaluateFor(const TokenCoordinateValues &query,
                                         const Expr &expr,
                                         const Frame &frame) {
  queryToken = query;
  MaybeStatic value = evaluate(expr, frame);
  queryToken.reset();
  return value;
}

MaybeStatic StaticEvaluator::evaluate(const Expr &expr, const Frame &frame) {
  if (auto *literal = std::get_if<LiteralExpr>(&expr.node))
    return literal->value;
  if (auto *operation = std::get_if<OperatorExpr>(&expr.node))
    return evaluateOperator(*operation, frame);
  if (auto *reference = std::get_if<ReferenceExpr>(&expr.node))
    return evaluateReference(*reference, frame);
  if (auto *grid = std::get_if<GridExtentExpr>(&expr.node); grid && keyGrid)
    return extent(*keyGrid, grid->axis);
  if (auto *coordinate = std::get_if<CoordinateExpr>(&expr.node);
      coordinate && coordinate->owner == CoordinateExpr::Owner::Query &&
      queryToken)
    return (*queryToken)[static_cast<size_t>(coordinate->axis)];
  // Which candidate counts is not known, but each may have errors.
  if (auto *recognition = std::get_if<RecognitionExpr>(&expr.node))
    for (const Candidate &candidate : recognition->candidates)
      evaluate(*candidate.pattern, frame);
  return std::nullopt;
}

MaybeStatic StaticEvaluator::evaluateOperator(const OperatorExpr &expr,
                                              const Frame &frame) {
  MaybeStatic left = evaluate(*expr.operands[0], frame);
  MaybeStatic right =
      expr.operands.size() == 2 ? evaluate(*expr.operands[1], frame) : 0;
  if (isDivision(expr.op) && right && *right <= 0) {
    reportDivisor(*expr.operands[1], *right, frame);
    return std::nullopt;
  }
  if (!left || !right)
    return std::nullopt;
  return apply(expr.op, *left, *right);
}

Frame StaticEvaluator::enter(const ReferenceExpr &call, const Frame &caller) {
  Frame frame{{}, &call, &caller};
  for (const Expr *argument : call.bound)
    frame.parameters.push_back(evaluate(*argument, caller));
  return frame;
}

MaybeStatic StaticEvaluator::evaluateReference(const ReferenceExpr &reference,
                                               const Frame &frame) {
  if (reference.parameter)
    return frame.parameters[reference.parameter->index];
  return evaluate(*reference.definition->body, enter(reference, frame));
}

void StaticEvaluator::reportDivisor(const Expr &divisor, int32_t value,
                                    const Frame &frame) {
  if (!reported.insert(&divisor).second)
    return;
  Diagnostic &error = diagnostics.error(
      divisor.range,
      fmt::format("expected a positive divisor, but got {}", value));
  for (const Frame *inner = &frame; inner && inner->call; inner = inner->caller)
    error.note(inner->call->name.range,
               fmt::format("in this use of '{}'", inner->call->name.text));
}

std::array<int32_t, 3> nearestTile(const std::array<int32_t, 3> &sizes) {
  std::array<int32_t, 3> best = {1, 1, 1};
  auto product = [](const std::array<int32_t, 3> &tile) {
    return int64_t(tile[0]) * tile[1] * tile[2];
  };
  auto limit = [](int32_t size, int64_t room) {
    return static_cast<int32_t>(std::min<int64_t>(size, room));
  };
  for (int32_t w = limit(sizes[2], maxTileTokens); w >= 1; --w) {
    for (int32_t h = limit(sizes[1], maxTileTokens / w); h >= 1; --h) {
      std::array<int32_t, 3> tile = {
          limit(sizes[0], maxTileTokens / (int64_t(w) * h)), h, w};
      if (product(tile) > product(best))
        best = tile;
    }
  }
  return best;
}

std::optional<Tile> StaticEvaluator::tileOf(const OrderClause &order,
                                            const Frame &frame) {
  std::array<int32_t, 3> sizes = {1, 1, 1};
  bool joinsFrames = !order.sizes->front() ||
                     evaluate(*order.sizes->front(), frame) == MaybeStatic(0);
  int64_t product = 1;
  for (size_t i = joinsFrames; i < sizes.size(); ++i) {
    const Expr &expr = *(*order.sizes)[i];
    MaybeStatic size = evaluate(expr, frame);
    if (size && *size <= 0)
      diagnostics.error(
          expr.range,
          fmt::format("expected a positive tile size, but got {}", *size));
    if (!size || *size <= 0)
      return std::nullopt;
    sizes[i] = *size;
    product = std::min(product, maxTileTokens + 1) * sizes[i];
  }
  if (product > maxTileTokens) {
    auto describe = [&](const std::array<int32_t, 3> &tile) {
      return fmt::format("{}", fmt::join(tile.begin() + joinsFrames, tile.end(), "x"));
    };
    diagnostics.error(
        order.range,
        fmt::format("expected a tile of at most {} tokens, but got {}; the "
                    "nearest legal tile is {}",
                    maxTileTokens, describe(sizes),
                    describe(nearestTile(sizes))));
    return std::nullopt;
  }
  if (joinsFrames)
    sizes[0] = 0;
  return Tile{sizes};
}

MaybeStatic StaticEvaluator::firstOf(const OrderClause &order,
                                     const Frame &frame) {
  MaybeStatic first = order.first ? evaluate(*order.first, frame) : 0;
  if (first && *first < 0)
    diagnostics.error(order.first->range,
                      fmt::format("expected 'first' to be at least 0, but got {}",
                                  *first));
  return first && *first >= 0 ? first : std::nullopt;
}

} // namespace weft
