// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of kernels: what they do with NaN, infinity, rows and biases, and their working memory.

#include "runtime/Workspace.h"
#include "test/unit/KernelFixture.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <cmath>
#include <cstring>

using namespace weft;
using namespace weft::test;

namespace {

/// A bias of any size is an f32: keys may be favoured or left out beyond what a score can do.
TEST(KernelTest, LargeBiases) {
  constexpr float largest = std::numeric_limits<float>::max();
  std::vector<float> bias(kTokens, -largest);
  auto runWith = [&](Operands &operands) {
    operands.args.bias = rt::Tensor::contiguous(bias.data(), rt::DType::F32, {1, 1, kTokens});
    run(withBias(), operands);
  };
  Operands equal;
  runWith(equal);
  double mean = 0;
  for (int64_t token = 0; token < kTokens; ++token)
    mean += equal.at(equal.value, 1, token, 3) / double(kTokens);
  EXPECT_NEAR(equal.at(equal.out, 1, 5, 3), mean, 1e-6) << "scores do not count beside such a bias";
  EXPECT_EQ(equal.lse[5], -largest);
  bias[17] = largest;
  Operands one;
  runWith(one);
  EXPECT_EQ(one.at(one.out, 0, 40, 3), one.at(one.value, 0, 17, 3));
  std::fill(bias.begin(), bias.end(), -kInfinity);
  Operands none;
  runWith(none);
  EXPECT_EQ(none.at(none.out, 0, 40, 3), 0);
  EXPECT_EQ(none.lse[40], -kInfinity);
  bias[61] = kInfinity;
  Operands infinite;
  runWith(infinite);
  EXPECT_TRUE(std::isnan(infinite.at(infinite.out, 0, 40, 3)));
  EXPECT_TRUE(std::isnan(infinite.lse[40]));
}

TEST(KernelTest, OnlyListedRowsAreWritten) {
  Operands whole, some;
  run(*compile(" { mask abs(q.t - k.t) <= 1 or q.text }"), whole);
  TestRows none({{}}), rows({{59, 3, 61, 20, 21}, {}});
  some.args.rows = &none.lists;
  run(withRows(), some);
  EXPECT_TRUE(some.isUntouched());
  some.args.rows = &rows.lists;
  run(withRows(), some);
  for (int64_t head = 0; head < kHeads; ++head)
    for (int64_t token = 0; token < kTokens; ++token) {
      const auto &listed = rows.indices;
      bool isListed = head == 0 && std::find(listed.begin(), listed.begin() + 5, token) != listed.begin() + 5;
      EXPECT_EQ(some.lse[head * kTokens + token], isListed ? whole.lse[head * kTokens + token] : kUntouched);
      for (int64_t c = 0; c < kDim; ++c)
        EXPECT_EQ(some.at(some.out, head, token, c), isListed ? whole.at(whole.out, head, token, c) : kUntouched);
    }
}

TEST(KernelTest, RowsWithoutKeys) {
  Operands operands;
  run(frames(), operands);
  for (int64_t head = 0; head < kHeads; ++head)
    for (int64_t token = 0; token < kTokens; ++token) {
      bool isEmpty = token < 20;
      EXPECT_EQ(operands.lse[head * kTokens + token] == -kInfinity, isEmpty) << token;
      for (int64_t c = 0; c < kDim; ++c)
        EXPECT_EQ(operands.at(operands.out, head, token, c) == 0, isEmpty) << token;
    }
}

TEST(KernelTest, NoPairsAtAll) {
  Operands operands;
  std::fill(operands.key.begin(), operands.key.end(), kNaN);
  run(*compile(" { mask false }"), operands);
  EXPECT_EQ(operands.out, std::vector<float>(operands.out.size(), 0));
  EXPECT_EQ(operands.lse, std::vector<float>(operands.lse.size(), -kInfinity));
}

/// The rows (and, with `channel`, the places in them) whose result is NaN, of head 1.
struct NanPlaces {
  std::vector<bool> rows, lse;
  explicit NanPlaces(Operands &operands, int64_t channel) {
    for (int64_t token = 0; token < kTokens; ++token) {
      rows.push_back(std::isnan(operands.at(operands.out, 1, token, channel)));
      lse.push_back(std::isnan(operands.lse[kTokens + token]));
    }
  }
};

std::vector<bool> tokensFrom(int64_t begin, int64_t end) {
  std::vector<bool> tokens(kTokens);
  std::fill(tokens.begin() + begin, tokens.begin() + end, true);
  return tokens;
}

TEST(KernelTest, NanInQueryReachesItsRow) {
  Operands operands;
  operands.at(operands.query, 1, 30, 5) = kNaN;
  operands.at(operands.query, 1, 3, 5) = kNaN; // a row without keys
  run(frames(), operands);
  NanPlaces places(operands, 0);
  EXPECT_EQ(places.rows, tokensFrom(30, 31));
  EXPECT_EQ(places.lse, tokensFrom(30, 31));
}

TEST(KernelTest, NanInKeyReachesRowsThatKeepIt) {
  Operands operands;
  operands.at(operands.key, 1, 25, 7) = kNaN;
  run(frames(), operands);
  NanPlaces places(operands, 0);
  EXPECT_EQ(places.rows, tokensFrom(20, 40));
  EXPECT_EQ(places.lse, tokensFrom(20, 40));
}

TEST(KernelTest, NanAndInfinityInValueStayInTheirChannel) {
  for (float poison : {kNaN, kInfinity, -kInfinity}) {
    Operands operands;
    operands.at(operands.value, 1, 25, 7) = poison;
    run(frames(), operands);
    for (int64_t token = 0; token < kTokens; ++token)
      for (int64_t c = 0; c < kDim; ++c) {
        float value = operands.at(operands.out, 1, token, c);
        bool isPoisoned = token >= 20 && token < 40 && c == 7;
        EXPECT_EQ(!std::isfinite(value), isPoisoned) << token << " " << c;
        if (isPoisoned && std::isinf(poison)) {
          EXPECT_EQ(value, poison);
        }
      }
    EXPECT_EQ(NanPlaces(operands, 7).lse, tokensFrom(0, 0));
  }
}

TEST(KernelTest, InfiniteScores) {
  Operands operands;
  for (int64_t token = 0; token < kTokens; ++token)
    for (int64_t c = 0; c < kDim; ++c)
      operands.at(operands.query, 1, token, c) = 1;
  operands.at(operands.key, 1, 21, 0) = kInfinity;
  for (int64_t token = 40; token < 60; ++token)
    operands.at(operands.key, 1, token, 0) = -kInfinity;
  run(frames(), operands);
  NanPlaces places(operands, 0);
  EXPECT_EQ(places.rows, tokensFrom(20, 40));
  EXPECT_EQ(places.lse, tokensFrom(20, 40));
  for (int64_t token = 40; token < 60; ++token) { // all scores -inf: as without keys
    EXPECT_EQ(operands.lse[kTokens + token], -kInfinity);
    EXPECT_EQ(operands.at(operands.out, 1, token, 3), 0);
  }
}

TEST(KernelTest, OneScoreOfMinusInfinityHasNoWeight) {
  Operands operands, without;
  for (Operands *each : {&operands, &without})
    for (int64_t token = 0; token < kTokens; ++token)
      each->at(each->query, 1, token, 0) = 1;
  operands.at(operands.key, 1, 21, 0) = -kInfinity;
  without.at(without.key, 1, 21, 0) = -1e6;
  run(frames(), operands);
  run(frames(), without);
  EXPECT_EQ(operands.out, without.out);
  EXPECT_EQ(operands.lse, without.lse);
}

/// Blocks of 32, 28 and 2 keys: the scores of those that fill up a block's last columns are 0, but no maximum.
TEST(KernelTest, LowScoresInShortBlocks) {
  Operands operands;
  std::fill(operands.query.begin(), operands.query.end(), 16.0f);
  std::fill(operands.key.begin(), operands.key.end(), -16.0f);
  std::fill(operands.value.begin(), operands.value.end(), 3.0f);
  run(dense(), operands);
  double score = -16.0 * 16 * kDim / std::sqrt(double(kDim));
  for (float lse : operands.lse)
    EXPECT_NEAR(lse, score + std::log(double(kTokens)), 1e-3);
  for (float out : operands.out)
    EXPECT_NEAR(out, 3.0f, 1e-5f);
}

/// The first of 128 key blocks holds the maxima. Were its weights corrected by a factor next to 1 for every later
/// block, their share would be off by some 1e-5.
TEST(KernelTest, MaximaThatStayCorrectNothing) {
  CompileRequest request;
  request.source = "attention a {}";
  request.options.queryGrid = request.options.keyGrid = {16, 16, 16, 0, false};
  request.options.headDim = 32, request.options.block = 32;
  KernelResult kernel = compileKernel(request);
  ASSERT_TRUE(kernel) << kernel.message();
  constexpr int64_t tokens = 4096, channels = 32, high = 32;
  std::vector<float> query(tokens * channels), key(query), value(query), out(query);
  for (int64_t i = 0; i < tokens; ++i) {
    query[i * channels] = 31 + 31.0f * i / tokens;
    key[i * channels] = i < high ? 1 : 1 - 1 / 64.0f;
    value[i * channels] = i < high;
  }
  auto view = [&](std::vector<float> &data) {
    return rt::Tensor::contiguous(data.data(), rt::DType::F32, {1, 1, tokens, channels});
  };
  rt::RunArgs args;
  args.query = view(query), args.key = view(key), args.value = view(value), args.out = view(out);
  ASSERT_TRUE((*kernel)->run(args));
  for (int64_t i = 0; i < tokens; ++i) {
    double weight = std::exp(-query[i * channels] / 64 / std::sqrt(double(channels)));
    double expected = high / (high + (tokens - high) * weight);
    ASSERT_NEAR(out[i * channels] / expected, 1, 3e-6) << "row " << i;
  }
}

TEST(KernelTest, ExcludedKeysDoNotMatter) {
  Operands clean, poisoned;
  for (int64_t token = 0; token < 20; ++token) // frame 0 is in empty blocks only
    poisoned.at(poisoned.key, 1, token, 0) = kNaN, poisoned.at(poisoned.value, 1, token, 3) = kNaN;
  run(frames(), clean);
  run(frames(), poisoned);
  EXPECT_EQ(clean.out, poisoned.out);
  EXPECT_EQ(clean.lse, poisoned.lse);
}

TEST(KernelTest, NanInExcludedKeyOfPartialBlock) {
  auto kernel = compile(" { mask k.index mod 2 == 0 }");
  Operands clean, poisoned;
  for (int64_t token = 1; token < kTokens; token += 2)
    poisoned.at(poisoned.key, 0, token, 9) = token % 3 ? kNaN : kInfinity;
  run(*kernel, clean);
  run(*kernel, poisoned);
  EXPECT_EQ(clean.out, poisoned.out);
  EXPECT_EQ(clean.lse, poisoned.lse);
}

TEST(KernelTest, LseIsOptional) {
  Operands with, without;
  without.args.lse.reset();
  run(dense(), with);
  run(dense(), without);
  EXPECT_EQ(with.out, without.out);
  EXPECT_EQ(without.lse, std::vector<float>(without.lse.size(), kUntouched));
}

TEST(KernelTest, WorkspaceIsReused) {
  Operands clean, poisoned(2);
  run(dense(), clean);
  for (std::vector<float> *data : {&poisoned.query, &poisoned.key, &poisoned.value})
    std::fill(data->begin(), data->end(), kNaN);
  rt::Workspace::trim();
  run(dense(), poisoned); // leaves NaN in the working memory
  size_t pooled = rt::Workspace::pooledBytes();
  EXPECT_GE(static_cast<int64_t>(pooled), dense().workspaceBytes(2, 1));
  for (int i = 0; i < 3; ++i) {
    Operands again;
    run(dense(), again);
    EXPECT_EQ(again.out, clean.out);
    EXPECT_EQ(again.lse, clean.lse);
  }
  EXPECT_EQ(rt::Workspace::pooledBytes(), pooled);
}

/// The memory that docs/architecture.md allows a call: packed keys and values of the heads in flight, and a query
/// block's tile for each thread.
int64_t allowedBytes(const rt::KernelImage &image, int64_t heads, int64_t threads, int64_t block) {
  auto alignUp = [](int64_t number) { return (number + 31) / 32 * 32; };
  int64_t size = image.dtype == rt::DType::BF16 ? 4 : rt::sizeOf(image.dtype), width = alignUp(image.headDim);
  int64_t packed = 2 * image.key.count() * alignUp(block) * width * size;
  int64_t queryAndOutput = 2 * block * width * 4, statistics = 3 * block * 4;
  // In f32 weights take the scores' place; two groups of rows are in flight with AMX.
  int64_t scoresAndWeights = image.dtype == rt::DType::BF16 ? 2 * 32 * block * (4 + 2) : 32 * block * 4;
  return heads * packed + threads * (queryAndOutput + scoresAndWeights + statistics);
}

TEST(KernelTest, WorkspaceIsTilesAndPackedKeysAndValues) {
  for (ElementType type : {ElementType::F32, ElementType::BF16})
    for (int64_t headDim : {32, 72, 128}) {
      CompileRequest request;
      request.source = "attention a {}";
      request.options.queryGrid = request.options.keyGrid = {5, 16, 16, 3, false};
      request.options.heads = 3, request.options.headDim = headDim, request.options.elementType = type;
      KernelResult compiled = compileKernel(request);
      ASSERT_TRUE(compiled) << compiled.message();
      const rt::Kernel &kernel = **compiled;
      for (int threads : {1, 2, 5})
        EXPECT_LE(kernel.workspaceBytes(/*batch=*/2, threads), allowedBytes(kernel.image(), 6, threads, 128));

      std::vector<int64_t> shape = {1, 3, kernel.image().query.tokens, headDim};
      std::vector<float> data(4 * 3 * kernel.image().query.tokens * headDim);
      auto part = [&](int64_t number) {
        return rt::Tensor::contiguous(data.data() + number * (data.size() / 4), kernel.image().dtype, shape);
      };
      rt::RunArgs args;
      args.query = part(0), args.key = part(1), args.value = part(2), args.out = part(3), args.threads = 2;
      rt::Workspace::trim();
      ASSERT_TRUE(kernel.run(args));
      constexpr int64_t page = 4096;
      EXPECT_LT(static_cast<int64_t>(rt::Workspace::pooledBytes()), kernel.workspaceBytes(1, 2) + page);
    }
}

/// Many heads of many tokens take turns.
TEST(KernelTest, WorkspaceDoesNotGrowWithHeads) {
  CompileRequest request;
  request.source = "attention a {}";
  request.options.queryGrid = request.options.keyGrid = {33, 45, 80, 0, false};
  request.options.heads = 40, request.options.headDim = 64;
  KernelResult kernel = compileKernel(request);
  ASSERT_TRUE(kernel) << kernel.message();
  constexpr int64_t budget = int64_t(256) << 20;
  EXPECT_LE((*kernel)->workspaceBytes(2, 16), budget + allowedBytes((*kernel)->image(), 0, 16, 128));
  EXPECT_GT((*kernel)->workspaceBytes(2, 16), budget / 2);
}

TEST(KernelTest, OnlyThreadsWithWorkHaveScratch) {
  int64_t items = kHeads * dense().image().query.count();
  EXPECT_LT(dense().workspaceBytes(1, items - 1), dense().workspaceBytes(1, items));
  EXPECT_EQ(dense().workspaceBytes(1, items), dense().workspaceBytes(1, 1024));
}

TEST(KernelTest, NestsInParallelLoops) {
  Operands expected;
  run(dense(), expected);
  constexpr int kCalls = 64;
  std::vector<char> equal(kCalls);
  tbb::parallel_for(0, kCalls, [&](int i) {
    Operands operands;
    operands.args.threads = 1 + i % 3;
    equal[i] = bool(dense().run(operands.args)) && operands.out == expected.out && operands.lse == expected.lse;
  });
  EXPECT_EQ(equal, std::vector<char>(kCalls, true));
}

} // namespace
