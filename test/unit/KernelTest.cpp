// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of kernels: what they refuse, and what they do with NaN, infinity and empty rows.

#include "lib/Compiler/Compiler.h"
#include "runtime/Workspace.h"

#include "llvm/Support/ErrorHandling.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <oneapi/tbb/parallel_for.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <future>
#include <limits>
#include <optional>

using namespace weft;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kHeads = 2, kTokens = 62, kDim = 32;
/// A value that no kernel computes.
constexpr float kUntouched = -12345;

std::shared_ptr<const rt::Kernel> compile(const std::string &attention) {
  CompileRequest request;
  request.source = "attention a" + attention;
  request.options.queryGrid = request.options.keyGrid = {3, 4, 5, 2, false};
  request.options.heads = kHeads, request.options.headDim = kDim, request.options.block = 32;
  KernelResult kernel = compileKernel(request);
  if (!kernel)
    llvm::report_fatal_error(kernel.message().c_str());
  return *kernel;
}

/// Operands of one call, f32 and contiguous.
struct Operands {
  int64_t batch;
  std::vector<float> query, key, value, out, lse;
  rt::RunArgs args;

  explicit Operands(int64_t batch = 1) : batch(batch) {
    int64_t count = batch * kHeads * kTokens * kDim;
    uint32_t state = 1;
    auto random = [&](auto &) {
      std::vector<float> values(count);
      for (float &value : values)
        value = static_cast<int32_t>(state = state * 1664525 + 1013904223) / 2147483648.0f;
      return values;
    };
    query = random(query), key = random(key), value = random(value);
    out.assign(count, kUntouched), lse.assign(count / kDim, kUntouched);
    args.query = view(query), args.key = view(key), args.value = view(value), args.out = view(out);
    args.lse = rt::Tensor::contiguous(lse.data(), rt::DType::F32, {batch, kHeads, kTokens});
  }
  Operands(const Operands &) = delete;

  rt::Tensor view(std::vector<float> &data) const {
    return rt::Tensor::contiguous(data.data(), rt::DType::F32, {batch, kHeads, kTokens, kDim});
  }
  float &at(std::vector<float> &data, int64_t head, int64_t token, int64_t channel) {
    return data[(head * kTokens + token) * kDim + channel];
  }
  bool isUntouched() const {
    auto untouched = [](float value) { return value == kUntouched; };
    return std::all_of(out.begin(), out.end(), untouched) && std::all_of(lse.begin(), lse.end(), untouched);
  }
};

const rt::Kernel &dense() {
  static auto kernel = compile(" {}");
  return *kernel;
}
const rt::Kernel &withGiven() {
  static auto kernel = compile(" { mask given }");
  return *kernel;
}
/// One block per frame; a frame sees itself, but frame 0 sees nothing. Text sees text.
const rt::Kernel &frames() {
  static auto kernel = compile(" { order tiles(t: 1, h: 4, w: 5) mask q.t == k.t and q.t > 0 }");
  return *kernel;
}
const rt::Kernel &withParameters() {
  static auto kernel = compile("(dynamic first: int, dynamic on: bool = true) { mask abs(q.t - k.t) <= first and on }");
  return *kernel;
}

/// What `run` says after `change`; nothing may have been written.
template <typename Change> std::string errorOf(const rt::Kernel &kernel, const Change &change) {
  Operands operands;
  change(operands.args);
  rt::Status status = kernel.run(operands.args);
  EXPECT_TRUE(operands.isUntouched()) << status.message();
  return status.message();
}

void run(const rt::Kernel &kernel, Operands &operands) {
  rt::Status status = kernel.run(operands.args);
  ASSERT_TRUE(status) << status.message();
}

TEST(KernelTest, TensorsAreChecked) {
  struct Operand {
    const char *name;
    rt::Tensor &(*get)(rt::RunArgs &);
  };
  const Operand operands[] = {{"query", [](rt::RunArgs &args) -> rt::Tensor & { return args.query; }},
                              {"key", [](rt::RunArgs &args) -> rt::Tensor & { return args.key; }},
                              {"value", [](rt::RunArgs &args) -> rt::Tensor & { return args.value; }},
                              {"out", [](rt::RunArgs &args) -> rt::Tensor & { return args.out; }}};
  for (const Operand &operand : operands) {
    std::string name = operand.name;
    auto error = [&](auto change) { return errorOf(dense(), [&](rt::RunArgs &args) { change(operand.get(args)); }); };
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.data = nullptr; }),
              name + ": expected memory, but got a null pointer");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.dtype = rt::DType::BF16; }),
              name + ": expected dtype f32, but got bf16");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.shape.pop_back(), tensor.strides.pop_back(); }),
              name + ": expected rank 4 with as many strides, but got shape [1, 2, 62] and strides [3968, 1984, 32]");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.strides.pop_back(); }),
              name +
                  ": expected rank 4 with as many strides, but got shape [1, 2, 62, 32] and strides [3968, 1984, 32]");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.shape[2] = 61; }),
              name + ": expected shape [1, 2, 62, 32], but got [1, 2, 61, 32]");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.shape[1] = 1; }),
              name + ": expected shape [1, 2, 62, 32], but got [1, 1, 62, 32]");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.shape[3] = 64; }),
              name + ": expected shape [1, 2, 62, 32], but got [1, 2, 62, 64]");
    EXPECT_EQ(error([](rt::Tensor &tensor) { tensor.strides[3] = 2; }),
              name + ": expected a contiguous last axis (stride 1), but got strides [3968, 1984, 32, 2]");
    void *address = nullptr;
    std::string misaligned = error([&](rt::Tensor &tensor) {
      tensor.data = address = static_cast<std::byte *>(tensor.data) + 2;
    });
    EXPECT_EQ(misaligned, fmt::format("{}: expected an address aligned to 4 bytes, but got {}", name, address));
  }
}

TEST(KernelTest, BatchIsChecked) {
  auto batch = [](int64_t batch) {
    return [batch](rt::RunArgs &args) {
      for (rt::Tensor *tensor : {&args.query, &args.key, &args.value, &args.out, &*args.lse})
        tensor->shape[0] = batch;
    };
  };
  EXPECT_EQ(errorOf(dense(), batch(0)),
            "query: expected [batch, 2, 62, 32] with batch at least 1, but got [0, 2, 62, 32]");
  EXPECT_EQ(errorOf(dense(), batch(-1)),
            "query: expected [batch, 2, 62, 32] with batch at least 1, but got [-1, 2, 62, 32]");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.query = {}; }),
            "query: expected [batch, 2, 62, 32] with batch at least 1, but got []");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.query.shape[0] = 2; }),
            "key: expected shape [2, 2, 62, 32], but got [1, 2, 62, 32]");
}

TEST(KernelTest, ResultsMustNotOverlap) {
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.query.data = args.out.data; }),
            "out: expected memory apart from query");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.key.data = args.out.data; }),
            "out: expected memory apart from key");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.value.data = static_cast<float *>(args.out.data) + 3967; }),
            "out: expected memory apart from value");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->data = args.out.data; }),
            "lse: expected memory apart from out");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.query.data = args.lse->data; }),
            "lse: expected memory apart from query");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.out.strides[1] = 0; }),
            "out: expected strides that keep elements apart, but got [3968, 0, 32, 1] for shape [1, 2, 62, 32]");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.out.strides[2] = 31; }),
            "out: expected strides that keep elements apart, but got [3968, 1984, 31, 1] for shape [1, 2, 62, 32]");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->strides[2] = 0; }),
            "lse: expected strides that keep elements apart, but got [124, 62, 0] for shape [1, 2, 62]");
}

TEST(KernelTest, LseIsChecked) {
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->data = nullptr; }),
            "lse: expected memory, but got a null pointer");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->dtype = rt::DType::F64; }),
            "lse: expected dtype f32, but got f64");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->shape[2] = 60; }),
            "lse: expected shape [1, 2, 62], but got [1, 2, 60]");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->shape.push_back(1), args.lse->strides.push_back(1); }),
            "lse: expected rank 3 with as many strides, but got shape [1, 2, 62, 1] and strides [124, 62, 1, 1]");
}

/// Query block 0 names key blocks 0 and 1, block 1 names 2. Blocks: two of video, one of text.
rt::GivenLists makeLists() {
  rt::GivenLists lists;
  lists.queryBlocks = 3;
  lists.offsets = {0, 2, 3, 3};
  lists.keyBlocks = {0, 1, 2};
  return lists;
}

TEST(KernelTest, GivenListsAreChecked) {
  ASSERT_EQ(withGiven().image().query.count(), 3);
  rt::GivenLists lists = makeLists();
  auto error = [&](auto change) {
    lists = makeLists();
    change();
    return errorOf(withGiven(), [&](rt::RunArgs &args) { args.given = &lists; });
  };
  EXPECT_EQ(errorOf(withGiven(), [](rt::RunArgs &) {}),
            "given: expected block lists, since the mask uses them, but got none");
  EXPECT_EQ(errorOf(dense(), [&](rt::RunArgs &args) { args.given = &lists; }),
            "given: expected no block lists, since the mask does not use them");
  EXPECT_EQ(error([&] { lists.lists = 3; }), "given lists: expected 1 or 2 sets, but got 3");
  EXPECT_EQ(error([&] { lists.queryBlocks = 2; }), "given lists: expected 3 query blocks, but got 2");
  EXPECT_EQ(error([&] { lists.offsets.pop_back(); }), "given lists: expected 4 offsets, but got 3");
  EXPECT_EQ(error([&] { lists.keyBlocks = {1, 0, 2}; }),
            "given lists: expected ascending key blocks in row 0, but got 0 after 1");
  EXPECT_EQ(error([&] { lists.keyBlocks = {0, 1, 3}; }),
            "given lists: expected key blocks from 0 to 2 in row 1, but got 3");
  EXPECT_EQ(error([&] { lists.offsets[1] = 4; }), "given lists: expected offset 1 between 0 and 3, but got 4");
}

const rt::Kernel &withBias() {
  static auto kernel = compile(" { bias given }");
  return *kernel;
}
const rt::Kernel &withRows() {
  static auto kernel = compile(" { mask abs(q.t - k.t) <= 1 or q.text rows given }");
  return *kernel;
}

TEST(KernelTest, BiasIsChecked) {
  std::vector<float> bias(3 * kHeads * kTokens);
  auto error = [&](std::vector<int64_t> shape, auto change) {
    return errorOf(withBias(), [&](rt::RunArgs &args) {
      args.bias = rt::Tensor::contiguous(bias.data(), rt::DType::F32, shape);
      change(args);
    });
  };
  auto nothing = [](rt::RunArgs &) {};
  EXPECT_EQ(errorOf(withBias(), nothing), "bias: expected a tensor, since the attention uses it, but got none");
  EXPECT_EQ(errorOf(dense(), [&](rt::RunArgs &args) {
              args.bias = rt::Tensor::contiguous(bias.data(), rt::DType::F32, {1, kHeads, kTokens});
            }),
            "bias: expected none, since the attention does not use it");
  EXPECT_EQ(error({1, 1, 61}, nothing), "bias: expected shape [1, 1, 62], but got [1, 1, 61]");
  EXPECT_EQ(error({1, 3, kTokens}, nothing), "bias: expected shape [1, 2, 62], but got [1, 3, 62]");
  EXPECT_EQ(error({3, 1, kTokens}, nothing), "bias: expected shape [1, 1, 62], but got [3, 1, 62]");
  EXPECT_EQ(error({1, kTokens}, nothing),
            "bias: expected rank 3 with as many strides, but got shape [1, 62] and strides [62, 1]");
  EXPECT_EQ(error({1, 1, kTokens}, [](rt::RunArgs &args) { args.bias->dtype = rt::DType::F16; }),
            "bias: expected dtype f32, but got f16");
  EXPECT_EQ(error({1, 1, kTokens}, [](rt::RunArgs &args) { args.bias->data = nullptr; }),
            "bias: expected memory, but got a null pointer");
  EXPECT_EQ(error({1, 1, kTokens}, [](rt::RunArgs &args) { args.bias->data = args.out.data; }),
            "out: expected memory apart from bias");
  EXPECT_EQ(error({1, 1, kTokens}, [](rt::RunArgs &args) { args.bias->data = args.lse->data; }),
            "lse: expected memory apart from bias");
}

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
  std::fill(bias.begin(), bias.end(), -infinity);
  Operands none;
  runWith(none);
  EXPECT_EQ(none.at(none.out, 0, 40, 3), 0);
  EXPECT_EQ(none.lse[40], -infinity);
  bias[61] = infinity;
  Operands infinite;
  runWith(infinite);
  EXPECT_TRUE(std::isnan(infinite.at(infinite.out, 0, 40, 3)));
  EXPECT_TRUE(std::isnan(infinite.lse[40]));
}

/// Rows of all batches and heads, or of each head of one batch.
struct TestRows {
  std::vector<int32_t> indices, counts;
  rt::RowLists lists;

  explicit TestRows(const std::vector<std::vector<int32_t>> &sets) {
    for (const auto &set : sets) {
      counts.push_back(set.size());
      indices.insert(indices.end(), set.begin(), set.end());
      indices.resize(counts.size() * kTokens, -1);
    }
    auto heads = static_cast<int64_t>(sets.size());
    lists.indices = rt::Tensor::contiguous(indices.data(), rt::DType::I32, {1, heads, kTokens});
    lists.counts = rt::Tensor::contiguous(counts.data(), rt::DType::I32, {1, heads});
  }
  TestRows(const TestRows &) = delete;
};

TEST(KernelTest, RowsAreChecked) {
  TestRows rows({{4, 2, 61}});
  auto error = [](TestRows &rows, auto change) {
    return errorOf(withRows(), [&](rt::RunArgs &args) {
      args.rows = &rows.lists;
      change(args);
    });
  };
  auto nothing = [](rt::RunArgs &) {};
  EXPECT_EQ(errorOf(withRows(), nothing), "rows: expected row lists, since the attention takes them, but got none");
  EXPECT_EQ(errorOf(dense(), [&](rt::RunArgs &args) { args.rows = &rows.lists; }),
            "rows: expected none, since the attention computes all");
  TestRows outside({{4, 62}}), twice({{4, 62 - 1, 4}}), three({{1}, {2}, {3}});
  EXPECT_EQ(error(outside, nothing), "rows: expected indices from 0 to 61, but got 62");
  EXPECT_EQ(error(twice, nothing), "rows: expected different indices, but got 4 twice");
  EXPECT_EQ(error(three, nothing), "rows: expected indices of shape [1 or 1, 1 or 2, capacity], but got [1, 3, 62]");
  EXPECT_EQ(error(rows, [&](rt::RunArgs &) { rows.counts[0] = 63; }),
            "rows: expected a count from 0 to 62, but got 63");
  rows.counts[0] = 3;
  EXPECT_EQ(error(rows, [&](rt::RunArgs &args) { args.lse->data = rows.indices.data(); }),
            "lse: expected memory apart from the rows' indices");
  EXPECT_EQ(error(rows, [&](rt::RunArgs &args) { args.out.data = rows.counts.data(); }),
            "out: expected memory apart from the rows' counts");
  rt::BlockLists lists = rt::BlockLists::fromClassified(1, 3, 3, {0, 0, 0, 0}, {});
  EXPECT_EQ(error(rows, [&](rt::RunArgs &args) { args.lists = std::make_shared<rt::BlockLists>(lists); }),
            "lists: expected lists that found their pools, as rows and reuse need them");
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

/// Lists that were resolved before have their pools.
TEST(KernelTest, RowsWithResolvedLists) {
  auto kernel = compile("(dynamic radius: int = 1) { mask given and abs(q.t - k.t) <= radius rows given }");
  rt::GivenLists given = makeLists();
  TestRows rows({{0, 33, 60}});
  Operands first, second;
  first.args.given = &given, first.args.rows = &rows.lists;
  run(*kernel, first);
  auto lists = kernel->resolveLists(first.args);
  ASSERT_TRUE(lists);
  second.args.rows = &rows.lists, second.args.lists = *lists;
  run(*kernel, second);
  EXPECT_EQ(first.out, second.out);
  EXPECT_EQ(first.lse, second.lse);
}

TEST(KernelTest, ParametersAreChecked) {
  auto error = [](std::vector<int64_t> values) {
    return errorOf(withParameters(), [&](rt::RunArgs &args) { args.parameters = values; });
  };
  EXPECT_EQ(error({}), "parameters: expected a value for 'first', which has no default");
  EXPECT_EQ(error({1, 1, 1}), "parameters: expected at most 2 values, but got 3");
  EXPECT_EQ(error({1, 2}), "parameters: expected 'on' between 0 and 1, but got 2");
  EXPECT_EQ(error({1, -1}), "parameters: expected 'on' between 0 and 1, but got -1");
  EXPECT_EQ(error({int64_t(1) << 31}),
            "parameters: expected 'first' between -2147483648 and 2147483647, but got 2147483648");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.parameters = {1}; }),
            "parameters: expected at most 0 values, but got 1");
  Operands operands;
  operands.args.parameters = {1};
  run(withParameters(), operands);
}

TEST(KernelTest, ThreadsAreChecked) {
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.threads = -1; }), "threads: expected 0 or more, but got -1");
}

TEST(KernelTest, RowsWithoutKeys) {
  Operands operands;
  run(frames(), operands);
  for (int64_t head = 0; head < kHeads; ++head)
    for (int64_t token = 0; token < kTokens; ++token) {
      bool isEmpty = token < 20;
      EXPECT_EQ(operands.lse[head * kTokens + token] == -infinity, isEmpty) << token;
      for (int64_t c = 0; c < kDim; ++c)
        EXPECT_EQ(operands.at(operands.out, head, token, c) == 0, isEmpty) << token;
    }
}

TEST(KernelTest, NoPairsAtAll) {
  Operands operands;
  std::fill(operands.key.begin(), operands.key.end(), nan);
  run(*compile(" { mask false }"), operands);
  EXPECT_EQ(operands.out, std::vector<float>(operands.out.size(), 0));
  EXPECT_EQ(operands.lse, std::vector<float>(operands.lse.size(), -infinity));
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
  operands.at(operands.query, 1, 30, 5) = nan;
  operands.at(operands.query, 1, 3, 5) = nan; // a row without keys
  run(frames(), operands);
  NanPlaces places(operands, 0);
  EXPECT_EQ(places.rows, tokensFrom(30, 31));
  EXPECT_EQ(places.lse, tokensFrom(30, 31));
}

TEST(KernelTest, NanInKeyReachesRowsThatKeepIt) {
  Operands operands;
  operands.at(operands.key, 1, 25, 7) = nan;
  run(frames(), operands);
  NanPlaces places(operands, 0);
  EXPECT_EQ(places.rows, tokensFrom(20, 40));
  EXPECT_EQ(places.lse, tokensFrom(20, 40));
}

TEST(KernelTest, NanAndInfinityInValueStayInTheirChannel) {
  for (float poison : {nan, infinity, -infinity}) {
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
  operands.at(operands.key, 1, 21, 0) = infinity;
  for (int64_t token = 40; token < 60; ++token)
    operands.at(operands.key, 1, token, 0) = -infinity;
  run(frames(), operands);
  NanPlaces places(operands, 0);
  EXPECT_EQ(places.rows, tokensFrom(20, 40));
  EXPECT_EQ(places.lse, tokensFrom(20, 40));
  for (int64_t token = 40; token < 60; ++token) { // all scores -inf: as without keys
    EXPECT_EQ(operands.lse[kTokens + token], -infinity);
    EXPECT_EQ(operands.at(operands.out, 1, token, 3), 0);
  }
}

TEST(KernelTest, OneScoreOfMinusInfinityHasNoWeight) {
  Operands operands, without;
  for (Operands *each : {&operands, &without})
    for (int64_t token = 0; token < kTokens; ++token)
      each->at(each->query, 1, token, 0) = 1;
  operands.at(operands.key, 1, 21, 0) = -infinity;
  without.at(without.key, 1, 21, 0) = -1e6;
  run(frames(), operands);
  run(frames(), without);
  EXPECT_EQ(operands.out, without.out);
  EXPECT_EQ(operands.lse, without.lse);
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
    poisoned.at(poisoned.key, 1, token, 0) = nan, poisoned.at(poisoned.value, 1, token, 3) = nan;
  run(frames(), clean);
  run(frames(), poisoned);
  EXPECT_EQ(clean.out, poisoned.out);
  EXPECT_EQ(clean.lse, poisoned.lse);
}

TEST(KernelTest, NanInExcludedKeyOfPartialBlock) {
  auto kernel = compile(" { mask k.index mod 2 == 0 }");
  Operands clean, poisoned;
  for (int64_t token = 1; token < kTokens; token += 2)
    poisoned.at(poisoned.key, 0, token, 9) = token % 3 ? nan : infinity;
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
    std::fill(data->begin(), data->end(), nan);
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

TEST(KernelTest, ListsFollowTheParameters) {
  for (bool on : {true, false}) {
    Operands operands;
    operands.args.parameters = {0, on};
    run(withParameters(), operands);
    auto lists = withParameters().resolveLists(operands.args);
    ASSERT_TRUE(lists);
    EXPECT_EQ((*lists)->entries.empty(), !on);
    EXPECT_EQ(operands.lse[0] == -infinity, !on);
    auto again = withParameters().resolveLists(operands.args);
    EXPECT_EQ(*lists, *again) << "kept for the next call";
  }
}

/// A kernel without code whose planner refuses 0, waits for `ready` with 1, and counts.
rt::Kernel makePlanned(std::atomic<int> &calls, std::shared_future<void> ready) {
  rt::KernelImage image;
  image.parameters = {{"p", false, {}}};
  image.planner = [&calls, ready](const std::vector<int64_t> &values) -> rt::Result<std::vector<rt::BlockLists>> {
    ++calls;
    if (values[0] == 0)
      return rt::Status::error("no lists");
    if (values[0] == 1)
      ready.wait();
    return std::vector{rt::BlockLists::fromClassified(1, 1, 1, {0, 1}, {0})};
  };
  return rt::Kernel(std::move(image));
}

TEST(KernelTest, PlanningHoldsUpNobodyElse) {
  std::atomic<int> calls = 0;
  std::promise<void> ready;
  rt::Kernel kernel = makePlanned(calls, ready.get_future().share());
  auto resolve = [&](int64_t value) {
    rt::RunArgs args;
    args.parameters = {value};
    return kernel.resolveLists(args);
  };
  auto first = std::async(std::launch::async, resolve, 1), second = std::async(std::launch::async, resolve, 1);
  EXPECT_TRUE(resolve(2));
  ready.set_value();
  auto lists = first.get();
  ASSERT_TRUE(lists);
  EXPECT_EQ(*lists, *second.get());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(resolve(0).message(), "no lists");
  EXPECT_EQ(resolve(0).message(), "no lists");
  EXPECT_EQ(calls, 4) << "an error is not kept";
}

TEST(KernelTest, OnlyThreadsWithWorkHaveScratch) {
  int64_t items = kHeads * dense().image().query.count();
  EXPECT_LT(dense().workspaceBytes(1, items - 1), dense().workspaceBytes(1, items));
  EXPECT_EQ(dense().workspaceBytes(1, items), dense().workspaceBytes(1, 1024));
}

TEST(KernelTest, GivenListsDecide) {
  rt::GivenLists lists = makeLists();
  Operands operands, poisoned;
  operands.args.given = poisoned.args.given = &lists;
  for (int64_t c = 0; c < kDim; ++c)
    poisoned.at(poisoned.value, 0, 60, c) = nan; // text: visited by query block 1 alone
  run(withGiven(), operands);
  run(withGiven(), poisoned);
  for (int64_t token = 0; token < kTokens; ++token) {
    EXPECT_EQ(operands.lse[token] == -infinity, token >= 60) << token;
    EXPECT_EQ(std::isnan(poisoned.at(poisoned.out, 0, token, 0)), token >= 32 && token < 60) << token;
  }
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
