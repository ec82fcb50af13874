// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What runs on the device before the attention: selections against those of CPU kernels, lists that are kept, and rows. On
// a GPU, or on the executor that WEFT_CUDA_DRIVER names.

#include "runtime/CUDA/StageShapes.h"
#include "test/unit/GPUProblem.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <thread>

using namespace weft;
using namespace weft::test;

namespace {

struct Problem : GPUProblem {
  explicit Problem(const std::string &attention, const Shape &shape = {.type = ElementType::BF16},
                   const std::vector<double> &floats = {})
      : GPUProblem(attention, shape, bitsOf(floats)) {}

  void listRows(std::vector<int32_t> indices, int32_t count) {
    int64_t capacity = indices.size();
    operands().rows = TestRows{{1, 1}, capacity, std::move(indices), {count}};
  }

  rt::GivenLists predictOnHost() {
    auto lists = kernel->predict(args());
    EXPECT_TRUE(lists) << lists.message();
    return *lists;
  }
};

void expectEqual(const rt::GivenLists &actual, const rt::GivenLists &expected) {
  ASSERT_EQ(actual.lists, expected.lists);
  EXPECT_EQ(actual.offsets, expected.offsets);
  EXPECT_EQ(actual.keyBlocks, expected.keyBlocks);
}

using GPUStagesTest = GPUTest;

TEST_F(GPUStagesTest, IntegersSelectWhatTheCPUSelects) {
  // Means of 64 integers and their products are exact: ties are ties on both.
  for (const char *mask :
       {"{ mask topk(block_mean, keep: 0.3) }", "{ mask topk(block_mean, keep: 0.4, pool: 32, min: 3) or k.index < 10 }",
        "{ mask threshold(block_mean, score: 0.0) }", "{ mask threshold(block_mean, score: 0.01, min: 2, pool: 16) }",
        "{ mask topp(block_mean, mass: 0.4) and q.h >= 0 }"})
    for (ElementType type : {ElementType::BF16, ElementType::F32}) {
      Problem problem(mask, {{4, 8, 16, 64, false}, 2, 64, 64, 2, type});
      problem.fillIntegers(7);
      SCOPED_TRACE(mask);
      expectEqual(problem.predict(), problem.predictOnHost());
    }
}

/// More key blocks than a warp keeps in registers, and a row that just fits.
TEST_F(GPUStagesTest, LongRows) {
  for (int64_t keyTokens : {32 * 1024, 32 * 1030})
    for (const char *mask : {"{ mask topk(block_mean, keep: 0.3) }", "{ mask topp(block_mean, mass: 0.4) }"}) {
      Shape shape{{1, 4, 16, 0, false}, 1, 32, 32, 1, ElementType::BF16};
      shape.keyGrid = GridShape{1, keyTokens / 32, 32, 0, false};
      Problem problem(mask, shape);
      problem.fillIntegers(7);
      SCOPED_TRACE(mask);
      expectEqual(problem.predict(), problem.predictOnHost());
    }
}

/// More lists than a CTA sorts at once, and more lengths than it has threads: no row may be lost.
TEST_F(GPUStagesTest, ManyShortLists) {
  Problem problem("{ order tiles(h: 1, w: 1) mask topk(block_mean, keep: 0.0, min: 2) }",
                     {{1, 1, 1100, 0, false}, 4, 32, 32, 1, ElementType::BF16});
  problem.fillNormal(17);
  EXPECT_EQ(problem.compare(), "");
}

/// Tiles of scores, of which the last has one pool, and steps of channels, of which the last is short.
TEST_F(GPUStagesTest, TilesOfScores) {
  for (int64_t headDim : {32, 40, 72, 200}) {
    Shape shape{{1, rt::cuda::ScoreShape::kTile + 1, 32, 0, false}, 2, headDim, 32, 2, ElementType::BF16};
    Problem problem("{ mask topk(block_mean, keep: 0.1) }", shape);
    problem.fillIntegers(7);
    SCOPED_TRACE(headDim);
    expectEqual(problem.predict(), problem.predictOnHost());
  }
}

TEST_F(GPUStagesTest, EqualScoresSelectTheLowerBlock) {
  Problem problem("{ mask topk(block_mean, keep: 0.5) }");
  problem.fill([] { return 1.0; });
  rt::GivenLists lists = problem.predict();
  EXPECT_EQ(std::vector(lists.keyBlocks.begin(), lists.keyBlocks.begin() + 6), (std::vector<int32_t>{0, 1, 2, 0, 1, 2}));
}

TEST_F(GPUStagesTest, NaNAndInfinityAreSelectedFirst) {
  for (double special : {kNaN, kInfinity})
    for (const char *mask : {"{ mask topk(block_mean, keep: 0.2) }", "{ mask topp(block_mean, mass: 0.2) }",
                             "{ mask threshold(block_mean, score: 1000.0) }"}) {
      Problem problem(mask);
      problem.fill([] { return 1.0; });
      problem.operands().key.set(0, 0, 300, 3, special); // block 4 of head 0
      SCOPED_TRACE(mask);
      expectEqual(problem.predict(), problem.predictOnHost());
      EXPECT_EQ(problem.run(), "");
      EXPECT_TRUE(std::isnan(problem.operands().out.at(0, 0, 0, 0)));
    }
}

/// A score of -inf is below all others, and infinity times 0 is NaN: as on the CPU, though tensor cores have no infinity
/// of f32.
TEST_F(GPUStagesTest, InfinitiesOfBothSigns) {
  for (const char *mask : {"{ mask topk(block_mean, keep: 0.7) }", "{ mask topp(block_mean, mass: 0.99) }",
                           "{ mask topk(block_mean, keep: 0.4, pool: 32) }"}) {
    Problem problem(mask, {.type = ElementType::F32});
    problem.fillIntegers(7);
    problem.operands().key.set(0, 0, 300, 3, -kInfinity);
    problem.operands().key.set(0, 1, 40, 0, kInfinity);
    problem.operands().query.set(0, 1, 70, 5, -kInfinity);
    SCOPED_TRACE(mask);
    expectEqual(problem.predict(), problem.predictOnHost());
  }
}

TEST_F(GPUStagesTest, AmountsAtTheirEnds) {
  for (const char *mask : {"(dynamic x: float) { mask topk(block_mean, keep: x, min: MIN) }",
                           "(dynamic x: float) { mask topp(block_mean, mass: x, min: MIN) }"})
    for (int64_t min : {0, 2, 100}) {
      std::string source = mask;
      source.replace(source.find("MIN"), 3, std::to_string(min));
      for (double amount : {0.0, 1.0}) {
        Problem problem(source, {.type = ElementType::BF16}, {amount});
        problem.fillIntegers(3);
        expectEqual(problem.predict(), problem.predictOnHost());
      }
    }
}

TEST_F(GPUStagesTest, ListsServeSeveralLaunches) {
  Shape shape{.batch = 2, .type = ElementType::BF16};
  Problem problem("{ mask topk(block_mean, keep: 0.3) or k.index < 10 }", shape),
      other("{ mask topk(block_mean, keep: 0.3) }", shape);
  problem.fillIntegers(1);
  DeviceOperands call;
  ASSERT_TRUE(call.upload(problem.operands()));
  auto kept = problem.onDevice->predict(call.args, nullptr);
  ASSERT_TRUE(kept) << kept.message();
  ASSERT_TRUE(problem.onDevice->launch(call.args, nullptr));
  ASSERT_TRUE(call.download(problem.operands()));
  std::vector<std::byte> predicted = problem.operands().out.storage;
  ASSERT_TRUE(problem.onDevice->launch(call.args, nullptr, kept->get()));
  ASSERT_TRUE(call.download(problem.operands()));
  EXPECT_EQ(problem.operands().out.storage, predicted);

  rt::Status status = other.onDevice->launch(call.args, nullptr, kept->get());
  EXPECT_EQ(status.message(), "lists: expected lists that this kernel predicted, for a batch of this size and layout");
  Problem dense("{}");
  EXPECT_EQ(dense.onDevice->predict(call.args, nullptr).message(),
            "kernel 'a': expected a mask with topk, topp or threshold");
  EXPECT_EQ(problem.onDevice->resolveLists(call.args).message(),
            "lists: expected given lists, since the device predicts them at every launch");
}

TEST_F(GPUStagesTest, ManyThreadsShareAStream) {
  Problem problem("{ mask topk(block_mean, keep: 0.3) rows given }", {.batch = 2, .type = ElementType::BF16});
  std::vector<int32_t> indices(384);
  std::iota(indices.begin(), indices.end(), 0);
  problem.listRows(indices, 384);
  constexpr int kCalls = 4;
  std::vector<Operands> alone, together;
  for (int i = 0; i < kCalls; ++i) {
    problem.fillIntegers(i);
    together.push_back(problem.operands());
    EXPECT_EQ(problem.run(), "");
    alone.push_back(problem.operands());
  }
  std::vector<DeviceOperands> calls(kCalls);
  for (int i = 0; i < kCalls; ++i)
    ASSERT_TRUE(calls[i].upload(together[i]));
  std::vector<std::thread> threads;
  for (const DeviceOperands &call : calls)
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(problem.onDevice->launch(call.args, nullptr));
    });
  for (std::thread &thread : threads)
    thread.join();
  for (int i = 0; i < kCalls; ++i) {
    ASSERT_TRUE(calls[i].download(together[i]));
    EXPECT_TRUE(together[i].out.storage == alone[i].out.storage) << i;
  }
}

TEST_F(GPUStagesTest, WorkingMemoryStaysWithItsStream) {
  rt::cuda::ScratchPool pool(*device());
  auto stream = [](uintptr_t number) { return reinterpret_cast<rt::cuda::Stream>(number); };
  auto first = pool.get(stream(1), 1000, false), other = pool.get(stream(2), 1000, false);
  ASSERT_TRUE(first && other);
  EXPECT_NE(*first, *other);
  EXPECT_EQ(*pool.get(stream(1), 500, false), *first);
  EXPECT_EQ(*pool.get(stream(1), 1000, true), *first) << "a graph takes what the last launch used";
  EXPECT_EQ(pool.get(stream(1), 1000, true).message(),
            "launch: expected 1000 bytes of working memory from an earlier launch on the stream, since it is being "
            "captured");
  auto next = pool.get(stream(1), 1000, false);
  ASSERT_TRUE(next);
  EXPECT_NE(*next, *first);
}

TEST_F(GPUStagesTest, RowsThatDoNotExistArePassedOver) {
  Problem problem("{ mask abs(q.t - k.t) <= 1 rows given }");
  problem.fill([] { return 1.0; });
  problem.listRows({5, -3, 384, 70, 1 << 30, 200}, 100); // a count beyond the capacity
  EXPECT_EQ(problem.run(), "");
  for (int64_t token = 0; token < 384; ++token) {
    bool isListed = token == 5 || token == 70 || token == 200;
    ASSERT_EQ(problem.operands().out.at(0, 1, token), isListed ? 1 : Case::kHeld) << token;
  }
  problem.listRows({5, 6, 7}, -1);
  problem.test.allocateResults([] { return TensorLayout::BHSD; });
  EXPECT_EQ(problem.run(), "");
  EXPECT_EQ(problem.operands().out.at(0, 0, 5), Case::kHeld);
}

TEST_F(GPUStagesTest, NoRoomForRowsComputesNothing) {
  Problem problem("{ rows given }");
  problem.fill([] { return 1.0; });
  problem.listRows({}, 0);
  EXPECT_EQ(problem.run(), "");
  EXPECT_EQ(problem.operands().out.at(0, 0, 0), Case::kHeld);
}

TEST_F(GPUStagesTest, AllRowsAreTheWholeAttention) {
  for (const char *mask : {"", "mask abs(q.w - k.w) <= 3 or q.t == 0 ", "mask topk(block_mean, keep: 0.4) "}) {
    Shape shape{{3, 7, 11, 9, false}, 2, 64, 64, 2, ElementType::BF16};
    Problem all(fmt::format("{{ {} }}", mask), shape), listed(fmt::format("{{ {} rows given }}", mask), shape);
    all.fillIntegers(5), listed.fillIntegers(5);
    std::vector<int32_t> indices;
    for (int32_t i = 0; i < 240; ++i)
      indices.push_back(i * 37 % 240);
    listed.listRows(indices, 240);
    EXPECT_EQ(all.run(), "");
    EXPECT_EQ(listed.run(), "");
    SCOPED_TRACE(mask);
    all.operands().out.forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) {
      ASSERT_EQ(listed.operands().out.at(b, h, s, c), all.operands().out.at(b, h, s, c))
          << b << " " << h << " " << s << " " << c;
    });
    all.operands().lse.forEach([&](int64_t b, int64_t h, int64_t s, int64_t) {
      ASSERT_EQ(listed.operands().lse.at(b, h, s), all.operands().lse.at(b, h, s)) << b << " " << h << " " << s;
    });
    for (TestTensor *tensor : {&listed.operands().out, &listed.operands().lse})
      EXPECT_TRUE(tensor->isUntouchedAround());
  }
}

TEST_F(GPUStagesTest, RowListsAreChecked) {
  Problem problem("{ rows given }");
  problem.listRows({1}, 1);
  DeviceOperands call;
  ASSERT_TRUE(call.upload(problem.operands()));
  rt::RowLists rows = *call.args.rows;
  rows.counts.dtype = rt::DType::F32;
  call.args.rows = &rows;
  EXPECT_EQ(problem.onDevice->launch(call.args, nullptr).message(), "rows: expected counts of dtype i32, but got f32");
  call.args.rows = nullptr;
  EXPECT_EQ(problem.onDevice->launch(call.args, nullptr).message(),
            "rows: expected row lists, since the attention takes them, but got none");
}

} // namespace
