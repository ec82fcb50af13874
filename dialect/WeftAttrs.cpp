// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Parsing, printing and verification of the dialect's attributes.

#include "dialect/WeftDialect.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace weft;

/// Parses TxHxW.
static ParseResult parseBox(AsmParser &parser, int64_t &t, int64_t &h, int64_t &w) {
  SmallVector<int64_t> sizes;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseDimensionList(sizes, /*allowDynamic=*/false, /*withTrailingX=*/false))
    return failure();
  if (sizes.size() != 3)
    return parser.emitError(loc, "expected three sizes TxHxW, but got ") << sizes.size();
  t = sizes[0], h = sizes[1], w = sizes[2];
  return success();
}

/// Parses TxHxW or HxW, of which t is 0.
static ParseResult parseTile(AsmParser &parser, int64_t &t, int64_t &h, int64_t &w) {
  SmallVector<int64_t> sizes;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseDimensionList(sizes, /*allowDynamic=*/false, /*withTrailingX=*/false))
    return failure();
  if (sizes.size() != 2 && sizes.size() != 3)
    return parser.emitError(loc, "expected sizes TxHxW or HxW, but got ") << sizes.size();
  if (llvm::is_contained(sizes, 0)) // order_c1: a written box is never the open one
    return parser.emitError(loc, "expected tile sizes of at least 1");
  t = sizes.size() == 3 ? sizes[0] : 0, h = sizes[sizes.size() - 2], w = sizes.back();
  return success();
}

Attribute GridAttr::parse(AsmParser &parser, Type) {
  int64_t t, h, w, text = 0;
  bool textFirst = false;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parseBox(parser, t, h, w))
    return {};
  if (succeeded(parser.parseOptionalComma())) {
    if (parser.parseKeyword("text") || parser.parseEqual() || parser.parseInteger(text))
      return {};
    textFirst = succeeded(parser.parseOptionalKeyword("before"));
  }
  if (parser.parseGreater())
    return {};
  // Without text there is nothing to stand before the video tokens.
  return parser.getChecked<GridAttr>(loc, parser.getContext(), t, h, w, text, textFirst && text != 0);
}

void GridAttr::print(AsmPrinter &printer) const {
  printer << "<" << getT() << "x" << getH() << "x" << getW();
  if (getText() != 0)
    printer << ", text = " << getText() << (getTextFirst() ? " before" : "");
  printer << ">";
}

LogicalResult GridAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t t, int64_t h,
                               int64_t w, int64_t text, bool) {
  if (t < 1 || h < 1 || w < 1) // grid_c1
    return emitError() << "expected a grid of at least 1x1x1 tokens, but got " << t << "x" << h
                       << "x" << w;
  if (text < 0) // grid_c2
    return emitError() << "expected at least 0 text tokens, but got " << text;
  constexpr int64_t limit = WeftDialect::kTextCoordinate;
  if (t >= limit || h >= limit || w >= limit || text >= limit || t * h >= limit ||
      t * h * w + text >= limit) // grid_c3
    return emitError() << "expected fewer than " << limit << " tokens, but got " << t << "x" << h
                       << "x" << w << " and " << text << " of text";
  return success();
}

/// Parses what may follow a box or a map: the frames apart.
static ParseResult parseFirst(AsmParser &parser, int64_t &first) {
  if (failed(parser.parseOptionalComma()))
    return success();
  return failure(parser.parseKeyword("first") || parser.parseEqual() || parser.parseInteger(first));
}

/// Parses the rest of a sorted order.
static Attribute parseSorted(AsmParser &parser, SMLoc loc) {
  AffineMap by;
  int64_t none = 0, first = 0;
  if (parser.parseEqual() || parser.parseAffineMap(by) || parseFirst(parser, first) || parser.parseGreater())
    return {};
  return parser.getChecked<OrderAttr>(loc, parser.getContext(), /*tiled=*/false, none, none, none, first, by);
}

Attribute OrderAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef kind;
  if (parser.parseLess() || parser.parseKeyword(&kind))
    return {};
  if (kind == "by")
    return parseSorted(parser, loc);
  if (kind != "raster" && kind != "tiles") {
    parser.emitError(loc, "expected raster, tiles or by, but got ") << kind;
    return {};
  }
  bool tiled = kind == "tiles";
  int64_t t = 0, h = 0, w = 0;
  int64_t first = 0;
  if (tiled && succeeded(parser.parseOptionalEqual())) {
    if (parseTile(parser, t, h, w))
      return {};
    if (parseFirst(parser, first))
      return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<OrderAttr>(loc, parser.getContext(), tiled, t, h, w, first, AffineMap());
}

OrderAttr OrderAttr::getSorted(AffineMap by, int64_t first) {
  return get(by.getContext(), /*tiled=*/false, /*t=*/0, /*h=*/0, /*w=*/0, first, by);
}

void OrderAttr::print(AsmPrinter &printer) const {
  printer << "<" << (getTiled() ? "tiles" : isSorted() ? "by = " : "raster");
  if (isSorted())
    getBy().print(printer.getStream());
  if (getTiled() && !isOpen()) {
    printer << " = ";
    if (!joinsFrames())
      printer << getT() << "x";
    printer << getH() << "x" << getW();
  }
  if (getFirst() != 0)
    printer << ", first = " << getFirst();
  printer << ">";
}

/// order_c3
static LogicalResult verifyKeys(function_ref<InFlightDiagnostic()> emitError, AffineMap by) {
  if (by.getNumDims() != 3 || by.getNumSymbols() != 0 || by.getNumResults() == 0)
    return emitError() << "expected a map of (t, h, w) to at least one number, but got " << AffineMapAttr::get(by);
  bool divides = true;
  by.walkExprs([&](AffineExpr expr) {
    auto divisor = [](AffineExpr whole) {
      return dyn_cast<AffineConstantExpr>(cast<AffineBinaryOpExpr>(whole).getRHS());
    };
    AffineExprKind kind = expr.getKind();
    if (kind == AffineExprKind::Mod || kind == AffineExprKind::FloorDiv || kind == AffineExprKind::CeilDiv)
      divides &= divisor(expr) && divisor(expr).getValue() > 0;
  });
  if (!divides)
    return emitError() << "expected positive constants as divisors, but got " << AffineMapAttr::get(by);
  return success();
}

LogicalResult OrderAttr::verify(function_ref<InFlightDiagnostic()> emitError, bool tiled, int64_t t,
                                int64_t h, int64_t w, int64_t first, AffineMap by) {
  if (first < 0) // order_c2
    return emitError() << "expected at least 0 first frames, but got " << first;
  if (by)
    return verifyKeys(emitError, by);
  bool open = t == 0 && h == 0 && w == 0 && first == 0;
  if (open)
    return success();
  if (!tiled)
    return emitError() << "expected no tile sizes in the raster order";
  // Without t, rows run on into the next frame.
  bool inRange = t >= 0 && h >= 1 && w >= 1 && t <= kMaxTileVolume && h <= kMaxTileVolume &&
                 w <= kMaxTileVolume && std::max<int64_t>(t, 1) * h * w <= kMaxTileVolume;
  if (!inRange) // order_c1
    return emitError() << "expected tile sizes of at least 1 with a product of at most "
                       << kMaxTileVolume << ", but got " << (t ? std::to_string(t) + "x" : "") << h << "x" << w;
  return success();
}

/// One row of one list set ascends strictly and does not repeat a key block.
static bool ascends(ArrayRef<int32_t> row) {
  for (size_t i = 1; i < row.size(); ++i)
    if (row[i] >> 1 <= row[i - 1] >> 1)
      return false;
  return row.empty() || row.front() >= 0;
}

LogicalResult BlockListsAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                     DenseIntElementsAttr offsets, DenseIntElementsAttr entries) {
  auto offsetsType = offsets.getType();
  auto entriesType = entries.getType();
  if (offsetsType.getRank() != 2 || entriesType.getRank() != 1 ||
      !offsetsType.getElementType().isInteger(32) || !entriesType.getElementType().isInteger(32) ||
      offsetsType.getDimSize(1) < 1) // block_lists_c1
    return emitError() << "expected offsets of rank 2 and entries of rank 1 in i32, but got "
                       << offsetsType << " and " << entriesType;
  SmallVector<int32_t> bounds(offsets.getValues<int32_t>());
  SmallVector<int32_t> values(entries.getValues<int32_t>());
  int32_t previous = 0;
  for (int32_t bound : bounds) { // block_lists_c2
    if (bound < previous)
      return emitError() << "expected offsets that never fall, but got " << bound << " after "
                         << previous;
    previous = bound;
  }
  for (int64_t row = offsetsType.getDimSize(1); row < offsetsType.getNumElements(); row += offsetsType.getDimSize(1))
    if (bounds[row] != bounds[row - 1])
      return emitError() << "expected a list set to begin where the last one ends, at " << bounds[row - 1]
                         << ", but got " << bounds[row];
  if (bounds.empty() ? !values.empty() : bounds.front() != 0 || bounds.back() != (int32_t)values.size())
    return emitError() << "expected offsets from 0 to the number of entries " << values.size();
  for (size_t i = 1; i < bounds.size(); ++i) // block_lists_c3
    if (!ascends(ArrayRef(values).slice(bounds[i - 1], bounds[i] - bounds[i - 1])))
      return emitError() << "expected ascending key blocks in row " << i - 1;
  return success();
}
