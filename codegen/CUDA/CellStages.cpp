// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Merging of tokens that are all of one pool, in windows of two: cell by cell.
//
// A token that stays is its own donor, and all that it stands for are in its cell. So what snaps a cell counts those that
// stay, and a sum over the warps that did says where the merged keys and the rows of a cell go: they stand in the order of
// cells. Whoever has the rows of a cell in registers has all that its merged keys are made of, and asks for them together.
// Both sides, queries and keys, share every launch.

#include "codegen/CUDA/CellGrid.h"
#include "codegen/CUDA/MergedKeys.h"
#include "codegen/CUDA/ReuseStages.h"
#include "codegen/CUDA/BlockOfKeys.h"
#include "codegen/CUDA/SnapPairs.h"
#include "runtime/CUDA/Segment.h"
#include "runtime/CUDA/StageShapes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using rt::cuda::RowGroupShape;

//===----------------------------------------------------------------------===//
// Snapping
//===----------------------------------------------------------------------===//

namespace {

/// Of queries and again of keys: rows with the strides of batch, head and token; donors by pair and token; tokens that stay
/// by pair and warp; these warps; the grid. Then the bound on distances.
enum SnapArgument : unsigned {
  kSource, kBatchStride, kHeadStride, kTokenStride, kDonors, kCounts, kWarps, kSnapGrid, kBound = kSnapGrid + 8
};

} // namespace

void weft::cuda::formSnapCells(func::FuncOp kernel, BlockAttentionOp op) {
  std::string side = ("plllppi" + CellGrid::kLetters).str();
  StageKernel k(kernel, "snap_cells", side + side + "d", RowGroupShape::kThreads);
  Emitter &e = k.e;
  k.chooseSide(e.equal(k.z, 1), 0, kBound);
  RowGroup rows(k, op);
  CellGrid grid(k, kSnapGrid);
  k.shareRegisters(SnapPairs::mostCTAs(rows));
  CellGrid::Cell cell = grid.cellAt(e.add(e.mul(k.x, rows.shape.groups()), rows.group));
  Value donors = e.advance(k.argument(kDonors), e.mul(e.extend(k.y), e.extend(grid.tokens)), k.i32());
  SnapPairs snap(k, rows, grid, windowAxes(op), rows.chunkAddress(kSource, kBatchStride, k.y), k.argument(kTokenStride),
                 k.argument(kBound));
  Value own = snap.storeDonors(cell, donors);
  Value all = e.sumWarp(e.select(rows.isLeader, own, e.i32(0))), warp = e.add(e.mul(k.x, k.threads / 32), k.warp);
  e.when(e.bitAnd(e.equal(k.lane, 0), e.below(warp, k.argument(kWarps))), [&] {
    e.storeAt(all, k.argument(kCounts), e.add(e.mul(k.y, k.argument(kWarps)), warp));
  });
  k.finish();
}

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

namespace {

/// Of queries and again of keys: tokens that stay by pair and warp; these warps; those before by pair and warp, and all.
/// Then what the attention reads of merged key blocks: by pair and block its first key, and the class of its columns;
/// a list of them by pair; and where these lists begin and how long they are.
enum PlanArgument : unsigned { kPlanCounts, kPlanWarps, kStarts, kTable, kEntries, kRanges, kNumSideArguments = 3 };

class PlanCells {
  using Shape = rt::cuda::MergeShape;

public:
  PlanCells(func::FuncOp kernel, BlockAttentionOp op, int64_t columns)
      : k(kernel, "plan_cells", "pippipppp", Shape::kPlanThreads), e(k.e), keyBlocks(countKeyBlocks(op)),
        columns(columns) {}

  void emit() {
    Value isKeys = e.equal(k.x, 1);
    k.chooseSide(isKeys, 0, kNumSideArguments);
    warps = k.argument(kPlanWarps), first = e.mul(k.y, warps), firstStart = e.mul(k.y, e.add(warps, 1));
    Value each = e.divide(e.add(warps, k.threads - 1), k.threads);
    Value begin = e.minimum(e.mul(k.thread, each), warps), end = e.minimum(e.add(begin, each), warps);
    Value own = e.loop(begin, end, e.i32(1), e.i32(0),
                       [&](Value warp, ValueRange sum) { return Values{e.add(sum[0], countOf(warp))}; })[0];
    Value before = k.sumBefore(own);
    e.loop(begin, end, e.i32(1), before, [&](Value warp, ValueRange sum) {
      e.storeAt(sum[0], k.argument(kStarts), e.add(firstStart, warp));
      return Values{e.add(sum[0], countOf(warp))};
    });
    Value all = e.shared(e.i32(0));
    e.when(e.equal(k.thread, k.threads - 1), [&] {
      e.storeAt(e.add(before, own), k.argument(kStarts), e.add(firstStart, warps));
      e.store(e.add(before, own), all, 4);
    });
    k.meet();
    e.when(isKeys, [&] { describeBlocks(e.load(k.i32(), all, 4)); });
    k.finish();
  }

private:
  Value countOf(Value warp) { return e.loadAt(k.i32(), k.argument(kPlanCounts), e.add(first, warp)); }

  /// Class 0 has all columns, class n the first n.
  void describeBlocks(Value keys) {
    Value blocks = e.divide(e.add(keys, columns - 1), columns), firstBlock = e.mul(k.y, keyBlocks);
    e.loop(k.thread, blocks, e.i32(k.threads), [&](Value block) {
      Value begin = e.mul(block, columns), left = e.sub(keys, begin), number = e.add(firstBlock, block);
      Value columnClass = e.select(e.less(left, e.i32(columns)), left, e.i32(0));
      e.store4({begin, e.i32(0), e.i32(0), e.shiftLeft(columnClass, rt::cuda::kSegmentBits)},
               e.advance(k.argument(kTable), e.mul(e.extend(number), 16)));
      e.storeAt(e.shiftLeft(number, 2), k.argument(kEntries), number);
    });
    e.when(e.equal(k.thread, 0), [&] {
      e.storeAt(firstBlock, k.argument(kRanges), e.mul(k.y, 2));
      e.storeAt(blocks, k.argument(kRanges), e.add(e.mul(k.y, 2), 1));
    });
  }

  StageKernel k;
  Emitter &e;
  int64_t keyBlocks, columns;
  Value warps, first, firstStart;
};

} // namespace

void weft::cuda::formPlanCells(func::FuncOp kernel, BlockAttentionOp op, int64_t columns) {
  PlanCells(kernel, op, columns).emit();
}

//===----------------------------------------------------------------------===//
// Filling
//===----------------------------------------------------------------------===//

namespace {

/// Of queries and again of keys: donors by pair and token; by pair and warp the tokens before; these warps; the grid. Then
/// keys and values with the strides of batch, head and token; merged keys, values, biases and tokens; the lists by pair;
/// the attention's items, how many they are, and the token of each of their rows; tiles that a pair may have; CTAs that its
/// keys take.
enum FillArgument : unsigned {
  kFillDonors, kFillStarts, kFillWarps, kFillGrid, kKey = kFillGrid + 8, kKeyBatchStride, kKeyHeadStride,
  kKeyTokenStride, kValue, kValueBatchStride, kValueHeadStride, kValueTokenStride, kNewKey, kNewValue, kNewBias,
  kNewTokens, kFillRanges, kItems, kNumItems, kRowTokens, kPairTiles, kKeyCTAs
};

/// What a CTA does with keys, by z. Those behind them have what is behind the last key, and the attention's items; and behind
/// these some of z = 0 place rows, a cell for each thread.
enum Work : int64_t { kMergeValues, kCopyKeys };

class FillCells {
public:
  FillCells(func::FuncOp kernel, BlockAttentionOp op, int64_t tileRows, int64_t columns)
      : k(kernel, "fill_cells", letters(), RowGroupShape::kThreads), e(k.e), tileRows(tileRows), columns(columns),
        axes(windowAxes(op)), beyondKeys(k.e.sub(k.x, k.argument(kKey + kKeyCTAs))), rows(chooseSide(), op), grid(k, kFillGrid),
        merged(k, rows, op, columns, grid.tokens, {0, kNewKey, kNewValue, kNewBias, kNewTokens, 0}),
        warps(k.argument(kFillWarps)) {}

  void emit() {
    choose(
        e.less(beyondKeys, e.i32(0)), [&] { mergeKeys(); },
        [&] { choose(e.equal(beyondKeys, 0), [&] { finishPair(); }, [&] { when(kMergeValues, [&] { placeRows(); }); }); });
    k.finish();
  }

private:
  static std::string letters() {
    std::string side = ("ppi" + CellGrid::kLetters).str();
    return side + side + "plllplllppppppppii";
  }
  /// CTAs of rows and items read the queries' donors, others the keys'.
  StageKernel &chooseSide() {
    Value clears = e.bitAnd(e.equal(beyondKeys, 0), e.equal(k.z, kMergeValues));
    k.chooseSide(e.bitOr(e.less(beyondKeys, e.i32(0)), clears), 0, kKey);
    return k;
  }
  void when(Work work, llvm::function_ref<void()> body) { e.when(e.equal(k.z, work), body); }

  void choose(Value condition, llvm::function_ref<void()> first, llvm::function_ref<void()> second) {
    Block *ifTrue = e.createBlock(), *ifFalse = e.createBlock(), *done = e.createBlock();
    e.branchIf(condition, ifTrue, ifFalse);
    e.enter(ifTrue);
    first();
    e.branch(done);
    e.enter(ifFalse);
    second();
    e.branch(done);
    e.enter(done);
  }

  /// A token of the cell, -1 if there is none; whose row it takes; and, if it is its own, where its merged key goes.
  struct Place {
    Value token, donor, stays, slot;
  };

  using Places = SmallVector<Place, 8>;

  Places findPlaces(Value number) {
    CellGrid::Cell cell = grid.cellAt(number);
    Places places;
    Value donors = e.advance(k.argument(kFillDonors), e.mul(e.extend(k.y), e.extend(grid.tokens)), k.i32());
    for (int64_t t = 0; t < (axes[0] ? 2 : 1); ++t)
      for (int64_t h = 0; h < (axes[1] ? 2 : 1); ++h)
        for (int64_t w = 0; w < (axes[2] ? 2 : 1); ++w)
          places.push_back({grid.placeAt(cell, {e.i32(t), e.i32(h), e.i32(w)}).token, {}, {}, {}});
    // In the place of a token that does not exist the first of all is read.
    for (Place &place : places)
      place.donor = e.loadAt(k.i32(), donors, tokenOr0(place));
    for (Place &place : places) {
      Value exists = e.less(e.i32(-1), place.token);
      place.donor = e.select(exists, place.donor, e.i32(-2));
      place.stays = e.bitAnd(exists, e.equal(place.donor, place.token));
    }
    return places;
  }

  Value tokenOr0(const Place &place) { return e.select(e.less(e.i32(-1), place.token), place.token, e.i32(0)); }

  /// Numbers the places that stay, and returns how many do.
  static Value countStaying(Emitter &e, Places &places) {
    Value own = e.i32(0);
    for (Place &place : places) {
      place.slot = own;
      own = e.add(own, e.extend(place.stays, 32));
    }
    return own;
  }

  /// The first slot of the cells of a warp that snapped. The other side may have more cells, and so more warps.
  Value firstOfWarp(Value warp) { return startOf(k.y, e.minimum(warp, warps)); }

  //===--- Keys ---===//

  /// A group of lanes has a cell.
  void mergeKeys() {
    Places places = findPlaces(e.add(e.mul(k.x, rows.shape.groups()), rows.group));
    Value first = firstOfWarp(e.add(e.mul(k.x, k.threads / 32), k.warp)), own = countStaying(e, places);
    Value upToThis = k.scanWarp(e.select(rows.isLeader, own, e.i32(0)));
    for (Place &place : places)
      place.slot = e.add(e.add(first, e.sub(upToThis, own)), place.slot);
    when(kMergeValues, [&] { mergeValues(places); });
    when(kCopyKeys, [&] { copyKeys(places); });
  }

  Values loadValues(ArrayRef<Place> places, int64_t pass) {
    Value value = rows.chunkAddress(kValue, kValueBatchStride, k.y);
    auto load = [&] {
      Values chunks;
      for (const Place &place : places)
        chunks.push_back(rows.load(rows.chunkAt(value, tokenOr0(place), k.argument(kValueTokenStride), pass)));
      return chunks;
    };
    return e.valuesWhen(rows.hasChunk(pass), load, Values(places.size(), none()));
  }

  Value none() { return LLVM::ZeroOp::create(e.b, VectorType::get(rows.elements, rows.element)); }

  /// What the place with number `own` stands for, itself among them, comes behind it.
  Value countMembers(ArrayRef<Place> places, size_t own) {
    Value count = e.i32(1);
    for (size_t other = own + 1; other < places.size(); ++other)
      count = e.add(count, e.extend(e.equal(places[other].donor, places[own].token), 32));
    return count;
  }

  Value meanOf(ArrayRef<Place> places, size_t own, ArrayRef<Value> chunks) {
    Values sums;
    for (int64_t i = 0; i < rows.elements; ++i)
      sums.push_back(e.toF32(rows.at(chunks[own], i)));
    for (size_t other = own + 1; other < places.size(); ++other) {
      Value isMember = e.equal(places[other].donor, places[own].token);
      Value chunk = e.select(isMember, chunks[other], none());
      for (int64_t i = 0; i < rows.elements; ++i)
        sums[i] = e.addF(sums[i], e.toF32(rows.at(chunk, i)));
    }
    Value share = e.divideF(e.f32(1), e.countToF32(countMembers(places, own)));
    Value mean = LLVM::PoisonOp::create(e.b, VectorType::get(rows.elements, rows.element));
    for (auto [i, sum] : llvm::enumerate(sums)) {
      Value number = e.mulF(sum, share);
      if (!rows.element.isF32())
        number = arith::TruncFOp::create(e.b, rows.element, number);
      mean = LLVM::InsertElementOp::create(e.b, mean, number, e.i32(i));
    }
    return mean;
  }

  void mergeValues(ArrayRef<Place> places) {
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass) {
      Values chunks = loadValues(places, pass);
      for (auto [number, place] : llvm::enumerate(places))
        e.when(e.bitAnd(place.stays, rows.hasChunk(pass)),
               [&] { merged.storeValue(place.slot, meanOf(places, number, chunks), pass); });
    }
  }

  void copyKeys(ArrayRef<Place> places) {
    Value key = rows.chunkAddress(kKey, kKeyBatchStride, k.y);
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass) {
      Values chunks;
      for (const Place &place : places)
        chunks.push_back(e.valueWhen(
            e.bitAnd(place.stays, rows.hasChunk(pass)),
            [&] { return rows.load(rows.chunkAt(key, place.token, k.argument(kKeyTokenStride), pass)); }, none()));
      for (auto [place, chunk] : llvm::zip_equal(places, chunks))
        e.when(e.bitAnd(place.stays, rows.hasChunk(pass)), [&] { merged.storeKey(place.slot, chunk, pass); });
    }
    for (auto [number, place] : llvm::enumerate(places))
      e.when(e.bitAnd(place.stays, rows.isLeader), [&] {
        Value logarithm = e.mulF(e.log2(e.countToF32(countMembers(places, number))), e.f32(M_LN2));
        merged.describe(place.slot, place.token, logarithm);
      });
  }

  Value startOf(Value pair, Value warp) {
    return e.loadAt(k.i32(), k.argument(kFillStarts), e.add(e.mul(pair, e.add(warps, 1)), warp));
  }

  void finishPair() {
    when(kMergeValues, [&] { clear(); });
    when(kCopyKeys, [&] { listItems(); });
  }

  void clear() {
    Value size = startOf(k.y, warps);
    merged.clear(size, e.mul(e.divide(e.add(size, columns - 1), columns), columns));
  }

  //===--- Rows ---===//

  Value firstTile() { return e.mul(k.y, k.argument(kPairTiles)); }
  Value placeOfRow(Value row) { return e.add(e.mul(firstTile(), tileRows), row); }
  Value tilesOf(Value pair) { return e.divide(e.add(startOf(pair, warps), tileRows - 1), tileRows); }

  /// A thread has a cell: the cells of a warp that snapped are neighbouring lanes'.
  void placeRows() {
    Value number = e.add(e.mul(e.add(beyondKeys, -1), k.threads), k.thread);
    int64_t cellsOfWarp = 32 / rows.shape.lanes();
    Places places = findPlaces(number);
    Value first = firstOfWarp(e.divide(number, cellsOfWarp)), own = countStaying(e, places);
    Value before = e.sub(k.scanWarp(own), own), firstLane = e.bitAnd(k.lane, -cellsOfWarp);
    Value beforeWarp = e.broadcastLane(before, firstLane);
    for (const Place &place : places)
      e.when(place.stays, [&] {
        Value row = e.add(e.add(first, e.sub(before, beforeWarp)), place.slot);
        e.storeAt(place.token, k.argument(kRowTokens), placeOfRow(row));
      });
  }

  /// The items of a pair stand behind those of the pairs before.
  void listItems() {
    Value own = e.loop(k.lane, k.y, e.i32(32), e.i32(0),
                       [&](Value pair, ValueRange sum) { return Values{e.add(sum[0], tilesOf(pair))}; })[0];
    Value before = e.sumWarp(own), tiles = tilesOf(k.y), count = startOf(k.y, warps);
    Value list = e.mul(k.y, 2), begin = e.loadAt(k.i32(), k.argument(kFillRanges), list);
    Value length = e.loadAt(k.i32(), k.argument(kFillRanges), e.add(list, 1));
    e.loop(k.thread, tiles, e.i32(k.threads), [&](Value tile) {
      e.store4({e.add(firstTile(), tile), k.y, begin, length},
               e.advance(k.argument(kItems), e.mul(e.extend(e.add(before, tile)), 16)));
    });
    e.loop(e.add(count, k.thread), e.mul(tiles, tileRows), e.i32(k.threads),
           [&](Value row) { e.storeAt(e.i32(-1), k.argument(kRowTokens), placeOfRow(row)); });
    Value isLast = e.equal(e.sub(k.gridY(), k.y), 1);
    e.when(e.bitAnd(isLast, e.equal(k.thread, 0)),
           [&] { e.store(e.add(before, tiles), k.argument(kNumItems), 4); });
  }

  StageKernel k;
  Emitter &e;
  int64_t tileRows, columns;
  std::array<bool, 3> axes;
  /// How many CTAs this one is behind those of keys; below 0 in these.
  Value beyondKeys;
  RowGroup rows;
  CellGrid grid;
  MergedKeys merged;
  Value warps;
};

} // namespace

void weft::cuda::formFillCells(func::FuncOp kernel, BlockAttentionOp op, int64_t tileRows, int64_t columns) {
  FillCells(kernel, op, tileRows, columns).emit();
}
