// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// StaticEvaluator: computes what can be computed before tokens and dynamic
// parameters are known.

#ifndef WEFT_LIB_FRONTEND_STATICEVALUATOR_H
#define WEFT_LIB_FRONTEND_STATICEVALUATOR_H

#include "lib/Frontend/AST.h"
#include "lib/Frontend/Diagnostic.h"

#include <iterator>
#include <optional>
#include <set>
#include <vector>

namespace weft {

/// The extents of a sequence: a t x h x w box of video tokens and a run of text
/// tokens.
struct GridShape {
  int64_t t = 1;
  int64_t h = 1;
  int64_t w = 1;
  int64_t text = 0;
  bool textFirst = false;

  int64_t tokens() const { return t * h * w + text; }
  bool operator==(const GridShape &) const = default;
};

/// The value of `grid.axis`.
int32_t extent(const GridShape &grid, Axis axis);

/// A value if it is known; booleans are 0 and 1.
using MaybeStatic = std::optional<int32_t>;

/// The coordinates of a token by Axis.
using TokenCoordinateValues = std::array<int32_t, std::size(allAxes)>;

/// Those of the token at `index` of a sequence.
TokenCoordinateValues coordinatesAt(const GridShape &grid, int32_t index);

/// The parameters of one expansion, by index, and the call that asked for it;
/// no call for an attention.
struct Frame {
  std::vector<MaybeStatic> parameters;
  const ReferenceExpr *call = nullptr;
  const Frame *caller = nullptr;
};

/// What stands in `order tiles(...)`.
struct Tile {
  /// Extents t, h and w; t is 0 if it is 0 or not written.
  std::array<int32_t, 3> sizes;
};

/// Evaluates expressions and reports divisors that are known not to be
/// positive, each once.
class StaticEvaluator {
public:
  /// Without a grid the extents are unknown.
  StaticEvaluator(Diagnostics &diagnostics, std::optional<GridShape> keyGrid)
      : diagnostics(diagnostics), keyGrid(keyGrid) {}

  /// The value of `expr` with its parameters taken from `frame`.
  MaybeStatic evaluate(const Expr &expr, const Frame &frame);
  /// The same for a query token, whose coordinates are known.
  MaybeStatic evaluateFor(const TokenCoordinateValues &query, const Expr &expr,
                          const Frame &frame);
  /// A frame for expanding `call`, its arguments evaluated in `caller`.
  Frame enter(const ReferenceExpr &call, const Frame &caller);
  /// The tile of `order tiles(...)`; reports sizes and products that are out of
  /// range.
  std::optional<Tile> tileOf(const OrderClause &order, const Frame &frame);
  /// The frames that an order cuts apart, 0 if it does not say; reports those
  /// that are negative.
  MaybeStatic firstOf(const OrderClause &order, const Frame &frame);

private:
  MaybeStatic evaluateOperator(const OperatorExpr &expr, const Frame &frame);
  MaybeStatic evaluateReference(const ReferenceExpr &reference,
                                const Frame &frame);
  void reportDivisor(const Expr &divisor, int32_t value, const Frame &frame);

  Diagnostics &diagnostics;
  std::optional<GridShape> keyGrid;
  std::optional<TokenCoordinateValues> queryToken;
  std::set<const Expr *> reported;
};

/// Tiles hold at most this many tokens.
inline constexpr int64_t maxTileTokens = 256;

/// The sizes, none greater than those given, that hold most tokens within
/// maxTileTokens.
std::array<int32_t, 3> nearestTile(const std::array<int32_t, 3> &sizes);

} // namespace weft

#endif // WEFT_LIB_FRONTEND_STATICEVALUATOR_H
