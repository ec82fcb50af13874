// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Gathers token rows into tiles, transposing and pairing on the way.

#include "codegen/CPU/TileEmitter.h"

using namespace mlir;
using namespace weft;

namespace {

class TileLoader {
public:
  TileLoader(LoadTileOp op, TileTarget target)
      : op(op), e(op, target), tileType(op.getTile().getType()), d(op.getD()), lanes(target.lanes),
        raw(tileType.getElementType().isBF16()) {
    if (tileType.getRank() == 3)
      panel = tileType.getDimSize(2) / (isPaired(op.getLayout()) ? 2 : 1);
  }

  void emit() {
    padded = e.alignUp(op.getCount(), 32);
    switch (op.getLayout()) {
    case Layout::Rows:
      return emitRows();
    case Layout::KeyPanels:
      return emitKeys(/*unit=*/1);
    case Layout::KeyPairs:
      return emitKeys(/*unit=*/2);
    case Layout::ValuePanels:
      return emitValues();
    case Layout::ValuePairs:
      return emitValuePairs();
    }
  }

private:
  /// The head dim is a multiple of it.
  static constexpr int64_t kEight = 8;

  static bool isPaired(Layout layout) { return layout == Layout::KeyPairs || layout == Layout::ValuePairs; }

  /// The row of token `i`; of the last token for an `i` beyond, so that the access is legal.
  Value rowOf(Value i) {
    Value last = e.add(op.getCount(), -1);
    Value clamped = arith::MinSIOp::create(e.b, i, last);
    Value token = e.loadScalar(op.getTable(), {e.index(0), e.add(op.getFirst(), clamped)});
    Value position = arith::IndexCastOp::create(e.b, e.b.getIndexType(), token);
    return e.rowAt(op.getSource(), e.mul(position, op.getStride()), d);
  }

  Type sourceType() { return cast<MemRefType>(op.getSource().getType()).getElementType(); }

  /// `width` elements from column c, converted to the tile's type.
  Value loadConverted(Value row, Value c, int64_t width) {
    Value value = e.load(e.vector(width, sourceType()), row, {c});
    if (raw || sourceType().isF32())
      return value;
    return arith::ExtFOp::create(e.b, e.vector(width, e.b.getF32Type()), value);
  }

  /// The value if row i exists, else zeros.
  Value orZero(Value i, Value value) {
    Value valid = e.less(i, op.getCount());
    return arith::SelectOp::create(e.b, valid, value, e.splat(0.0, cast<VectorType>(value.getType())));
  }

  /// Calls `body(c, width)` for vectors that cover d: whole ones in a loop, then at most one of the rest.
  void forColumns(int64_t width, llvm::function_ref<void(Value, int64_t)> body) {
    int64_t whole = d / width * width;
    if (whole)
      e.loop(e.index(0), e.index(whole), width, [&](Value c) { body(c, width); });
    if (whole != d)
      body(e.index(whole), d - whole);
  }

  void emitRows() {
    e.loop(e.index(0), padded, 1, [&](Value i) {
      Value row = rowOf(i);
      forColumns(lanes, [&](Value c, int64_t width) {
        e.store(orZero(i, loadConverted(row, c, width)), op.getTile(), {i, c});
      });
      if (int64_t rest = tileType.getDimSize(1) - d)
        e.store(e.splat(0.0, e.vector(rest, tileType.getElementType())), op.getTile(), {i, e.index(d)});
    });
  }

  /// Where channel c of a value is, for c a multiple of a vector's width.
  std::pair<Value, Value> panelOf(Value c) {
    return {arith::DivUIOp::create(e.b, c, e.index(panel)), arith::RemUIOp::create(e.b, c, e.index(panel))};
  }

  /// Zeros in row `row` of every panel from channel d.
  void clearRest(Value row, int64_t unit) {
    for (int64_t c = d; c < channelsOf(tileType.getShape(), op.getLayout()); c += kEight)
      e.store(e.splat(0.0, e.vector(kEight * unit, tileType.getElementType())), op.getTile(),
              {e.index(c / panel), row, e.index(c % panel * unit)});
  }

  void emitValues() {
    e.loop(e.index(0), padded, 1, [&](Value i) {
      Value row = rowOf(i);
      forColumns(lanes, [&](Value c, int64_t width) {
        auto [number, column] = panelOf(c);
        e.store(orZero(i, loadConverted(row, c, width)), op.getTile(), {number, i, column});
      });
      clearRest(i, /*unit=*/1);
    });
  }

  void emitValuePairs() {
    e.loop(e.index(0), padded, 2, [&](Value i) {
      Value next = e.add(i, 1), even = rowOf(i), odd = rowOf(next);
      Value pair = arith::ShRUIOp::create(e.b, i, e.index(1));
      forColumns(16, [&](Value c, int64_t width) {
        Value mixed = vector::InterleaveOp::create(e.b, orZero(i, loadConverted(even, c, width)),
                                                   orZero(next, loadConverted(odd, c, width)));
        auto [number, column] = panelOf(c);
        e.store(mixed, op.getTile(), {number, pair, e.mul(column, e.index(2))});
      });
      clearRest(pair, /*unit=*/2);
    });
  }

  /// Transposes squares of `lanes` rows by `lanes` units of `unit` elements, a unit being 32 bits wide.
  void emitKeys(int64_t unit) {
    e.loop(e.index(0), padded, lanes, [&](Value i) {
      SmallVector<Value> rows, positions;
      for (int64_t r = 0; r < lanes; ++r) {
        positions.push_back(e.add(i, r));
        rows.push_back(rowOf(positions.back()));
      }
      auto [number, column] = panelOf(i);
      Value place = e.mul(column, e.index(unit)), panelNumber = number;
      forColumns(lanes * unit, [&](Value c, int64_t width) {
        SmallVector<Value> square;
        for (int64_t r = 0; r < lanes; ++r)
          square.push_back(toUnits(orZero(positions[r], loadConverted(rows[r], c, width)), width / unit));
        transpose(square);
        Value first = unit == 1 ? c : Value(arith::ShRUIOp::create(e.b, c, e.index(1)));
        for (int64_t u = 0; u < width / unit; ++u)
          e.store(fromUnits(square[u], unit), op.getTile(), {panelNumber, e.add(first, u), place});
      });
      for (int64_t row = d / unit; row < tileType.getDimSize(1); ++row)
        e.store(e.splat(0.0, e.vector(lanes * unit, tileType.getElementType())), op.getTile(),
                {panelNumber, e.index(row), place});
    });
  }

  /// As `lanes` 32-bit units, the missing ones undefined.
  Value toUnits(Value value, int64_t units) {
    Value bits = vector::BitCastOp::create(e.b, e.vector(units, e.b.getI32Type()), value);
    if (units == lanes)
      return bits;
    SmallVector<int64_t> widen;
    for (int64_t i = 0; i < lanes; ++i)
      widen.push_back(i < units ? i : 0);
    return vector::ShuffleOp::create(e.b, bits, bits, widen);
  }

  Value fromUnits(Value bits, int64_t unit) {
    return vector::BitCastOp::create(e.b, e.vector(lanes * unit, tileType.getElementType()), bits);
  }

  /// Exchanges the off-diagonal halves of ever smaller squares.
  void transpose(MutableArrayRef<Value> rows) {
    for (int64_t half = lanes / 2; half >= 1; half /= 2) {
      SmallVector<int64_t> low, high;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        bool upper = lane & half;
        low.push_back(upper ? lanes + lane - half : lane);
        high.push_back(upper ? lanes + lane : lane + half);
      }
      for (int64_t r = 0; r < lanes; ++r) {
        if (r & half)
          continue;
        Value a = rows[r], c = rows[r + half];
        rows[r] = vector::ShuffleOp::create(e.b, a, c, low);
        rows[r + half] = vector::ShuffleOp::create(e.b, a, c, high);
      }
    }
  }

  LoadTileOp op;
  TileEmitter e;
  MemRefType tileType;
  int64_t d, lanes;
  /// Columns of a panel.
  int64_t panel = 0;
  bool raw;
  Value padded;
};

} // namespace

void weft::lowerLoadTile(LoadTileOp op, TileTarget target) {
  TileLoader(op, target).emit();
  op.erase();
}
