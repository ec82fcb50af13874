// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Items by the lengths of their lists: a counting sort in one CTA, whose counts are in shared memory.

#include "codegen/CUDA/Stages.h"
#include "runtime/CUDA/StageShapes.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;
using Shape = rt::cuda::SortShape;

namespace {

/// What both stages write and are told: the items, their number, and rows.
enum Argument : unsigned { kItems, kNumItems, kRows, kNumArguments };
/// Of `sort`: where each row's list is.
enum ListArgument : unsigned { kRanges = kNumArguments };
/// Of `sort_chosen`: choices by pair; by candidate, set and query block where each list is; the sets; the first pair's
/// number.
enum ChosenArgument : unsigned { kChoices = kNumArguments, kSourceRanges, kSets, kFirstPair };

class SortStage {
public:
  SortStage(func::FuncOp kernel, BlockAttentionOp op, bool isChosen)
      : k(kernel, isChosen ? "sort_chosen" : "sort", isChosen ? "ppippii" : "ppip", Shape::kThreads), e(k.e),
        isChosen(isChosen),
        queryBlocks(partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks()),
        keyBlocks(partitionTokens(op.getKeyGrid(), op.getKeyOrder(), op.getBlock()).numBlocks()),
        counts(e.shared(e.i32(Shape::kScanBytes))) {}

  void emit() {
    k.takeRegisters();
    e.loop(k.thread, e.i32(keyBlocks + 1), e.i32(k.threads),
           [&](Value length) { e.storeAt(e.i32(0), counts, length); });
    k.meet();
    Value isMore = e.less(e.i32(kRowsAtOnce * k.threads), k.argument(kRows));
    // If there are no more, all stay in registers.
    e.when(e.bitXor(isMore, e.i1(true)), [&] {
      SmallVector<Row> rows = rowsFrom(e.i32(0));
      for (const Row &row : rows)
        e.takeNumber(counts, row.length, k.lane);
      sortCounted([&] { llvm::for_each(rows, [&](const Row &row) { placeItem(row); }); });
    });
    e.when(isMore, [&] {
      forRows([&](const Row &row) { e.takeNumber(counts, row.length, k.lane); });
      sortCounted([&] { forRows([&](const Row &row) { placeItem(row); }); });
    });
    e.when(e.equal(k.thread, 0), [&] { e.store(k.argument(kRows), k.argument(kNumItems), 4); });
    k.finish();
  }

private:
  /// A row's pair and query block, and its list; a length of -1 where there is no row.
  struct Row {
    Value exists, pair, block, begin, length;
  };

  /// What they load is waited for once.
  static constexpr int64_t kRowsAtOnce = 4;

  SmallVector<Row> rowsFrom(Value first) {
    SmallVector<Row> rows;
    for (int64_t i = 0; i < kRowsAtOnce; ++i)
      rows.push_back(rowAt(e.add(e.add(first, i * k.threads), k.thread)));
    return rows;
  }

  void forRows(llvm::function_ref<void(const Row &)> body) {
    e.loop(e.i32(0), k.argument(kRows), e.i32(kRowsAtOnce * k.threads),
           [&](Value first) { llvm::for_each(rowsFrom(first), body); });
  }

  /// Once all lengths are counted, `place` places all items.
  void sortCounted(llvm::function_ref<void()> place) {
    k.meet();
    scanCounts();
    k.meet();
    place();
  }

  Row rowAt(Value number) {
    Row row;
    row.exists = e.below(number, k.argument(kRows));
    number = e.select(row.exists, number, e.i32(0));
    row.pair = e.divide(number, queryBlocks), row.block = e.sub(number, e.mul(row.pair, queryBlocks));
    Value range = rangeOf(number, row);
    row.begin = e.load(k.i32(), range, 4);
    row.length = e.select(row.exists, e.load(k.i32(), e.advance(range, e.i64(4)), 4), e.i32(-1));
    return row;
  }

  Value rangeOf(Value number, const Row &row) {
    if (!isChosen)
      return rangeAt(k.argument(kRanges), number);
    Value choice = e.loadAt(k.i32(), k.argument(kChoices), row.pair);
    Value set = e.remainder(e.add(row.pair, k.argument(kFirstPair)), k.argument(kSets));
    Value list = e.add(e.mul(choice, k.argument(kSets)), set);
    return rangeAt(k.argument(kSourceRanges), e.add(e.mul(list, queryBlocks), row.block));
  }

  Value rangeAt(Value ranges, Value number) { return e.advance(ranges, e.mul(e.extend(number), 8)); }

  /// Replaces the number of lists of each length by that of longer ones. A thread has some neighbouring lengths.
  void scanCounts() {
    int64_t each = (keyBlocks + k.threads) / k.threads;
    Values lengths, numbers;
    for (int64_t i = 0; i < each; ++i) {
      lengths.push_back(e.sub(e.i32(keyBlocks - i), e.mul(k.thread, each)));
      numbers.push_back(e.valueWhen(
          e.less(e.i32(-1), lengths[i]), [&] { return e.loadAt(k.i32(), counts, lengths[i]); }, e.i32(0)));
    }
    Value longer = k.sumBefore(e.reduce(numbers, [&](Value a, Value b) { return e.add(a, b); }));
    for (auto [length, number] : llvm::zip_equal(lengths, numbers)) {
      e.when(e.less(e.i32(-1), length), [&] { e.storeAt(longer, counts, length); });
      longer = e.add(longer, number);
    }
  }

  void placeItem(const Row &row) {
    Value place = e.takeNumber(counts, row.length, k.lane);
    e.when(row.exists, [&] {
      e.store4({row.block, row.pair, row.begin, row.length},
               e.advance(k.argument(kItems), e.mul(e.extend(place), 16)));
    });
  }

  StageKernel k;
  Emitter &e;
  bool isChosen;
  int64_t queryBlocks, keyBlocks;
  /// By length.
  Value counts;
};

} // namespace

void weft::cuda::formSort(func::FuncOp kernel, BlockAttentionOp op) { SortStage(kernel, op, false).emit(); }

void weft::cuda::formSortChosen(func::FuncOp kernel, BlockAttentionOp op) { SortStage(kernel, op, true).emit(); }
