// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "codegen/CUDA/ItemPieces.h"

#include "test/unit/EmitterFixture.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <cmath>
#include <limits>
#include <map>
#include <random>

using namespace weft;
using namespace weft::test;
using cuda::Values;
using mlir::Value;
using rt::cuda::PieceShape;

namespace {

constexpr double kFactor = 0.25;

class ItemPiecesTest : public EmitterTest {
protected:
  struct Piece {
    int32_t block, pair, offset, count, share, isTaken;
  };
  struct Plan {
    int32_t whole, parts, tickets;
    std::vector<Piece> pieces;
  };

  /// What `ctas` CTAs make of items with lists of these lengths, one list behind the other.
  Plan plan(const std::vector<int32_t> &counts, unsigned ctas, bool cuts = true) {
    std::vector<int32_t> items;
    int32_t offset = 0;
    for (size_t i = 0; i < counts.size(); offset += counts[i++])
      items.insert(items.end(), {static_cast<int32_t>(100 + i), static_cast<int32_t>(i % 3), offset, counts[i]});
    constexpr int64_t kMostTickets = 256;
    CUdeviceptr tickets = allocate(kMostTickets * sizeof(Piece)), summary = allocate(12);
    EmittedKernel kernel{"ppppp", 32, 0, [&](cuda::StageKernel &k) {
      cuda::Emitter &e = k.e;
      cuda::ItemTable table{k.argument(0), k.argument(1), k.argument(2)};
      cuda::PiecePlan plan = planPieces(e, table, k.lane);
      e.when(e.bitAnd(e.equal(k.thread, 0), e.equal(k.x, 0)), [&] {
        for (auto [i, value] : llvm::enumerate(Values{plan.whole, plan.parts, plan.tickets}))
          e.store(value, e.advance(k.argument(4), e.i64(4 * i)), 4);
        e.loop(e.i32(0), plan.tickets, e.i32(1), [&](Value ticket) {
          cuda::ItemPiece piece = pieceOf(e, table, plan, ticket);
          Value to = e.advance(k.argument(3), e.mul(e.extend(ticket), sizeof(Piece)));
          Value isTaken = e.extend(piece.isTaken, 32);
          for (auto [i, value] :
               llvm::enumerate(Values{piece.block, piece.pair, piece.offset, piece.count, piece.share, isTaken}))
            e.store(value, e.advance(to, e.i64(4 * i)), 4);
        });
      });
    }};
    items.resize(std::max<size_t>(items.size(), 4));
    runEmitted(kernel, {upload(items), upload(std::vector<int32_t>{static_cast<int32_t>(counts.size())}),
                        cuts ? allocate(16) : 0, tickets, summary},
               ctas);
    if (HasFatalFailure())
      return {};
    std::vector<int32_t> numbers = download<int32_t>(summary, 3);
    return {numbers[0], numbers[1], numbers[2], download<Piece>(tickets, numbers[2])};
  }

  /// Every entry of every list is in one piece.
  static void expectPartition(const Plan &plan, const std::vector<int32_t> &counts) {
    std::map<int32_t, std::vector<std::pair<int32_t, int32_t>>> ranges;
    for (const Piece &piece : plan.pieces)
      if (!piece.isTaken)
        ranges[piece.block].push_back({piece.offset, piece.count});
    ASSERT_EQ(ranges.size(), counts.size());
    int32_t offset = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      for (auto [begin, count] : ranges[100 + i]) {
        EXPECT_EQ(begin, offset) << i;
        EXPECT_TRUE(count > 0 || counts[i] == 0) << i;
        offset += count;
      }
    }
    int32_t all = 0;
    for (int32_t count : counts)
      all += count;
    EXPECT_EQ(offset, all);
  }
};

TEST_F(ItemPiecesTest, WhatAWholeTurnLeavesIsCut) {
  std::vector<int32_t> counts(9, 40);
  Plan cut = plan(counts, 4);
  EXPECT_EQ(cut.whole, 8);
  EXPECT_EQ(cut.parts, 4); // one turn of the four, and eight are too many
  EXPECT_EQ(cut.tickets, 12);
  expectPartition(cut, counts);
  for (const Piece &piece : cut.pieces)
    EXPECT_EQ(piece.share, piece.block == 108 ? (piece.offset - 320) / 10 : -1) << "of the first item that is cut";
}

TEST_F(ItemPiecesTest, FewItemsAreCutForAllCTAs) {
  Plan cut = plan({200}, 6);
  EXPECT_EQ(cut.whole, 0);
  EXPECT_EQ(cut.parts, 6);
  expectPartition(cut, {200});
}

TEST_F(ItemPiecesTest, NothingIsCutWhereItDoesNotPay) {
  EXPECT_EQ(plan(std::vector<int32_t>(8, 40), 4).parts, 1) << "whole turns";
  EXPECT_EQ(plan(std::vector<int32_t>(7, 40), 4).parts, 1) << "three of four are busy";
  EXPECT_EQ(plan(std::vector<int32_t>(5, 3), 4).parts, 1) << "short lists";
  EXPECT_EQ(plan(std::vector<int32_t>(9, 40), 4, /*cuts=*/false).parts, 1) << "no memory";
  Plan none = plan({}, 4);
  EXPECT_EQ(none.tickets, 0);
}

TEST_F(ItemPiecesTest, ShorterListsOfTheLastTurnStayWhole) {
  std::vector<int32_t> counts = {90, 90, 90, 90, 90, 90, 90, 90, 80, 2, 0};
  Plan cut = plan(counts, 8);
  EXPECT_EQ(cut.whole, 8);
  EXPECT_EQ(cut.parts, 5);
  expectPartition(cut, counts);
  for (const Piece &piece : cut.pieces)
    EXPECT_EQ(piece.share < 0, piece.block != 108);
}

/// A CTA for each piece of one item, whose rows are made up: their sum is what one softmax over all columns leaves.
TEST_F(ItemPiecesTest, PiecesAddUp) {
  constexpr int64_t kHeadDim = 24, kRegisters = kHeadDim / 2, kParts = 5, kTiles = 2;
  constexpr int64_t kValues = kRegisters + 4, kThreads = 32 * kTiles;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  PieceShape shape{kTiles, kHeadDim};
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-4, 4);
  // By piece, thread and value: the accumulator, two maxima and two sums.
  std::vector<float> partial(kParts * kThreads * kValues);
  for (float &value : partial)
    value = uniform(random);
  auto at = [&](int64_t part, int64_t thread) { return &partial[(part * kThreads + thread) * kValues]; };
  for (int64_t part = 0; part < kParts; ++part)
    for (int64_t thread = 0; thread < kThreads; ++thread)
      for (int64_t r = 0; r < 2; ++r) {
        float *rows = at(part, thread);
        rows[kRegisters + 2 + r] = std::abs(rows[kRegisters + 2 + r]);
        // Some pieces have no key of a row, and for one row of some threads none has.
        if ((part + thread) % 3 == 0 || (thread % 8 == 1 && r == 1)) {
          rows[kRegisters + r] = kNone, rows[kRegisters + 2 + r] = 0;
          for (int64_t i = 0; i < kRegisters; ++i)
            if (i / 2 % 2 == r)
              rows[i] = 0;
        }
      }
  CUdeviceptr out = allocate(kThreads * kValues * 4);
  CUdeviceptr pieces = upload(std::vector<uint8_t>(shape.bytes(kParts), 0));
  CUdeviceptr from = upload(partial);
  EmittedKernel kernel{"ppp", kThreads, kTiles * 4 * cuda::PieceStore::kNoteWords, [&](cuda::StageKernel &k) {
    cuda::Emitter &e = k.e;
    Value place = e.mul(e.add(e.mul(k.x, kThreads), k.thread), kValues), to = e.mul(k.thread, kValues);
    Values own;
    for (int64_t i = 0; i < kValues; ++i)
      own.push_back(e.loadAt(k.f32(), k.argument(0), e.add(place, i)));
    cuda::PieceStore store(e, k.argument(1), shape, k.warp, k.lane, e.i32(0));
    store.clear();
    store.leave(k.x, e.i32(kParts), cuda::PartialRows::from(own));
    store.addUpLast(e.i32(kParts), kFactor, [&](Value item, const cuda::PartialRows &rows) {
      for (auto [i, value] : llvm::enumerate(rows.flat()))
        e.storeAt(value, k.argument(2), e.add(e.add(to, static_cast<int64_t>(i)), e.mul(item, kThreads * kValues)));
    });
  }};
  std::vector<float> first;
  for (int launch = 0; launch < 2; ++launch) { // the counters are zeros again
    ASSERT_NO_FATAL_FAILURE(runEmitted(kernel, {from, pieces, out}, kParts));
    std::vector<float> sum = download<float>(out, kThreads * kValues);
    for (int64_t thread = 0; thread < kThreads; ++thread)
      for (int64_t i = 0; i < kValues; ++i) {
        int64_t r = i < kRegisters ? i / 2 % 2 : i % 2;
        double maximum = kNone, expected = 0;
        for (int64_t part = 0; part < kParts; ++part)
          maximum = std::max<double>(maximum, at(part, thread)[kRegisters + r]);
        for (int64_t part = 0; part < kParts && std::isfinite(maximum); ++part)
          expected += at(part, thread)[i] * std::exp2((at(part, thread)[kRegisters + r] - maximum) * kFactor);
        if (i / 2 == kRegisters / 2) // the maxima
          EXPECT_EQ(sum[thread * kValues + i], static_cast<float>(maximum));
        else
          EXPECT_NEAR(sum[thread * kValues + i], expected, 1e-5) << thread << " " << i;
      }
    if (launch)
      EXPECT_EQ(sum, first) << "in whatever order they come";
    first = sum;
  }
}

} // namespace
