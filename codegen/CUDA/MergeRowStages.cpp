// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Merging of queries: of those that are alike, one is computed.
//
// Queries with one donor lie in one cell. So a thread looks there for the first of them that is of its token's pool; then
// groups of lanes copy the rows of a CTA's tokens that are first.

#include "codegen/CUDA/CellGrid.h"
#include "codegen/CUDA/ReuseStages.h"
#include "codegen/CUDA/RowGroup.h"
#include "dialect/BlockPartition.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

namespace {

/// Indices with the strides of batch, head and row, their counts with those of batch and head, the capacity; a number
/// by pair and token, which becomes 1.
enum MarkArgument : unsigned {
  kIndices,
  kIndexBatchStride,
  kIndexHeadStride,
  kIndexStride,
  kCounts,
  kCountBatchStride,
  kCountHeadStride,
  kCapacity,
  kMarks
};

class MarkStage {
public:
  MarkStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "mark_rows", "plllpllip", rt::cuda::RowShape::kThreads), e(k.e),
        heads(op.getQuery().getType().getDimSize(1)), tokens(op.getQueryGrid().getTokens()) {}

  void emit() {
    Value indices = placeOf(kIndices, kIndexBatchStride);
    Value count = e.load(k.i32(), placeOf(kCounts, kCountBatchStride), 4);
    count = e.minimum(e.greater(count, e.i32(0)), k.argument(kCapacity));
    Value marks = e.advance(k.argument(kMarks), e.mul(e.extend(k.y), tokens), k.i32());
    Value first = e.add(e.mul(k.x, k.threads), k.thread);
    e.loop(first, count, e.i32(rt::cuda::RowShape::kParts * k.threads), [&](Value place) {
      Value at = e.advance(indices, e.mul(e.extend(place), k.argument(kIndexStride)), k.i32());
      Value token = e.load(k.i32(), at, 4);
      e.when(e.below(token, e.i32(tokens)), [&] { e.storeAt(e.i32(1), marks, token); });
    });
    k.finish();
  }

private:
  Value placeOf(unsigned array, unsigned strides) {
    Value batch = e.divide(k.y, heads), head = e.sub(k.y, e.mul(batch, heads));
    Value elements = e.add(e.mul(e.extend(batch), k.argument(strides)), e.mul(e.extend(head), k.argument(strides + 1)));
    return e.advance(k.argument(array), elements, k.i32());
  }

  StageKernel k;
  Emitter &e;
  int64_t heads, tokens;
};

/// Queries with the strides of batch, head and token; rows that are written; donors by pair and token; marks of listed
/// rows; the block of each token; the pool of each block by set, and these sets; whether a list has a partial entry by
/// set and pool, and these sets; by pair and token the rows to compute, -1 in the place of others, and whose result a
/// token takes, -1 if nobody's; the grid.
enum MergeArgument : unsigned {
  kQuery,
  kBatchStride,
  kHeadStride,
  kTokenStride,
  kRows,
  kDonors,
  kListed,
  kBlockOf,
  kPoolOf,
  kPoolSets,
  kIsPartial,
  kListSets,
  kChosen,
  kLeaders,
  kGrid
};

class MergeRowsStage {
public:
  MergeRowsStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "merge_rows", ("plllpppppipipp" + CellGrid::kLetters).str(), rt::cuda::RowGroupShape::kThreads),
        e(k.e), rows(k, op), grid(k, kGrid), isListed(op.getRows() != nullptr),
        blocks(partitionTokens(op.getQueryGrid(), op.getQueryOrder(), op.getQueryBlockSize()).numBlocks()),
        first(e.mul(e.extend(k.y), e.extend(grid.tokens))) {}

  void emit() {
    Value firstToken = e.mul(k.x, k.threads), token = e.add(firstToken, k.thread);
    Value donor = e.valueWhen(e.below(token, grid.tokens), [&] { return findRow(token); }, e.i32(-1));
    e.store(donor, e.shared(e.shiftLeft(k.thread, 2)), 4);
    k.meet();
    e.loop(rows.group, e.i32(k.threads), e.i32(rows.shape.groups()), [&](Value place) {
      Value from = e.load(k.i32(), e.shared(e.shiftLeft(place, 2)), 4);
      e.when(e.less(e.i32(-1), from), [&] { copyRow(from, e.add(firstToken, place)); });
    });
    k.finish();
  }

private:
  /// The part of the pair in an array by pair and token.
  Value of(unsigned array) { return e.advance(k.argument(array), first, k.i32()); }

  Value poolOf(Value token) {
    Value block = e.loadAt(k.i32(), k.argument(kBlockOf), token);
    Value set = e.remainder(k.y, k.argument(kPoolSets));
    return e.loadAt(k.i32(), k.argument(kPoolOf), e.add(e.mul(set, blocks), block));
  }

  Value isCounted(Value token) { return isListed ? e.notEqual(e.loadAt(k.i32(), of(kListed), token), 0) : e.i1(true); }

  /// Finds whose result a token takes. If its own, returns the token whose values it has, else -1.
  Value findRow(Value token) {
    Value counts = isCounted(token), donor = e.loadAt(k.i32(), of(kDonors), token), pool = poolOf(token);
    Value list = e.add(e.mul(e.remainder(k.y, k.argument(kListSets)), blocks), pool);
    Value merges = e.equal(e.loadAt(k.i32(), k.argument(kIsPartial), list), 0);
    Value leader =
        e.valueWhen(e.bitAnd(counts, merges), [&] { return findLeader(token, donor, pool); }, token);
    leader = e.select(counts, leader, e.i32(-1));
    Value leads = e.equal(leader, token);
    e.storeAt(e.select(leads, token, e.i32(-1)), of(kChosen), token);
    e.storeAt(leader, of(kLeaders), token);
    return e.select(leads, donor, e.i32(-1));
  }

  /// The first token of the cell that takes the place of `token`.
  Value findLeader(Value token, Value donor, Value pool) {
    CellGrid::Cell cell = grid.cellOf(token);
    return e.loop(e.i32(0), grid.size, e.i32(1), e.i32(-1), [&](Value position, ValueRange found) {
      Value other = grid.placeAt(cell, position).token;
      Value mayBe = e.bitAnd(e.less(found[0], e.i32(0)), e.less(e.i32(-1), other));
      Value hasDonor = e.valueWhen(
          mayBe, [&] { return e.equal(e.loadAt(k.i32(), of(kDonors), other), donor); }, e.i1(false));
      Value isAlike = e.valueWhen(
          hasDonor, [&] { return e.bitAnd(e.equal(poolOf(other), pool), isCounted(other)); }, e.i1(false));
      return Values{e.select(isAlike, other, found[0])};
    })[0];
  }

  void copyRow(Value from, Value to) {
    Value source = rows.chunkAddress(kQuery, kBatchStride, k.y), target = rows.chunkAddress(kRows, k.y, grid.tokens);
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass)
      e.when(rows.hasChunk(pass), [&] {
        rows.store(rows.load(rows.chunkAt(source, from, k.argument(kTokenStride), pass)),
                   rows.chunkAt(target, to, rows.contiguousStride(), pass));
      });
  }

  StageKernel k;
  Emitter &e;
  RowGroup rows;
  CellGrid grid;
  bool isListed;
  int64_t blocks;
  Value first;
};

/// Output and log-sum-exp, null if it is not wanted, with the strides of batch, head and token; whose result each token
/// takes; tokens.
enum SpreadArgument : unsigned {
  kOut,
  kOutBatchStride,
  kOutHeadStride,
  kOutTokenStride,
  kLse,
  kLseBatchStride,
  kLseHeadStride,
  kLseTokenStride,
  kSources,
  kTokens
};

class SpreadStage {
  using Shape = rt::cuda::SpreadShape;

public:
  SpreadStage(func::FuncOp kernel, BlockAttentionOp op)
      : k(kernel, "spread", "plllplllpi", rt::cuda::RowGroupShape::kThreads), e(k.e), rows(k, op) {}

  /// A group's rows are asked for together.
  void emit() {
    Value first = e.add(e.mul(k.x, Shape::kEach * rows.shape.groups()), rows.group);
    Value sources = e.advance(k.argument(kSources), e.mul(e.extend(k.y), e.extend(k.argument(kTokens))), k.i32());
    SmallVector<Copy, Shape::kEach> copies;
    for (int64_t i = 0; i < Shape::kEach; ++i) {
      Value token = e.add(first, i * rows.shape.groups()), exists = e.below(token, k.argument(kTokens));
      copies.push_back({token, e.valueWhen(exists, [&] { return e.loadAt(k.i32(), sources, token); }, e.i32(-1)), {}});
    }
    for (Copy &copy : copies)
      copy.takes = e.bitAnd(e.less(e.i32(-1), copy.source), e.notEqual(e.sub(copy.source, copy.token), 0));
    for (int64_t pass = 0; pass < rows.shape.passes(); ++pass)
      copyChunks(copies, pass);
    Value wantsLse = e.bitAnd(e.isGiven(k.argument(kLse)), rows.isLeader);
    for (const Copy &copy : copies)
      e.when(e.bitAnd(copy.takes, wantsLse),
             [&] { e.store(e.load(k.f32(), lseOf(copy.source), 4), lseOf(copy.token), 4); });
    k.finish();
  }

private:
  struct Copy {
    Value token, source, takes;
  };

  void copyChunks(ArrayRef<Copy> copies, int64_t pass) {
    Value out = rows.chunkAddress(kOut, kOutBatchStride, k.y), stride = k.argument(kOutTokenStride);
    Value none = LLVM::ZeroOp::create(e.b, VectorType::get(rows.elements, rows.element));
    Values chunks;
    for (const Copy &copy : copies)
      chunks.push_back(e.valueWhen(e.bitAnd(copy.takes, rows.hasChunk(pass)),
                                   [&] { return rows.load(rows.chunkAt(out, copy.source, stride, pass)); }, none));
    for (auto [copy, chunk] : llvm::zip_equal(copies, chunks))
      e.when(e.bitAnd(copy.takes, rows.hasChunk(pass)),
             [&] { rows.store(chunk, rows.chunkAt(out, copy.token, stride, pass)); });
  }

  Value lseOf(Value token) {
    Value batch = e.divide(k.y, rows.heads), head = e.sub(k.y, e.mul(batch, rows.heads));
    Value outer =
        e.add(e.mul(e.extend(batch), k.argument(kLseBatchStride)), e.mul(e.extend(head), k.argument(kLseHeadStride)));
    Value elements = e.add(outer, e.mul(e.extend(token), k.argument(kLseTokenStride)));
    return e.advance(k.argument(kLse), elements, k.f32());
  }

  StageKernel k;
  Emitter &e;
  RowGroup rows;
};

} // namespace

void weft::cuda::formMarkRows(func::FuncOp kernel, BlockAttentionOp op) { MarkStage(kernel, op).emit(); }

void weft::cuda::formMergeRows(func::FuncOp kernel, BlockAttentionOp op) { MergeRowsStage(kernel, op).emit(); }

void weft::cuda::formSpread(func::FuncOp kernel, BlockAttentionOp op) { SpreadStage(kernel, op).emit(); }
