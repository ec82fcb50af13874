// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tests of what kernels refuse.

#include "test/unit/KernelFixture.h"

#include <fmt/format.h>

#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

/// What `run` says after `change`; nothing may have been written.
template <typename Change> std::string errorOf(const rt::Kernel &kernel, const Change &change) {
  Operands operands;
  change(operands.args);
  rt::Status status = kernel.run(operands.args);
  EXPECT_TRUE(operands.isUntouched()) << status.message();
  return status.message();
}

TEST(KernelChecksTest, TensorsAreChecked) {
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

TEST(KernelChecksTest, BatchIsChecked) {
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

TEST(KernelChecksTest, ResultsMustNotOverlap) {
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

TEST(KernelChecksTest, LseIsChecked) {
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->data = nullptr; }),
            "lse: expected memory, but got a null pointer");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->dtype = rt::DType::F64; }),
            "lse: expected dtype f32, but got f64");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->shape[2] = 60; }),
            "lse: expected shape [1, 2, 62], but got [1, 2, 60]");
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.lse->shape.push_back(1), args.lse->strides.push_back(1); }),
            "lse: expected rank 3 with as many strides, but got shape [1, 2, 62, 1] and strides [124, 62, 1, 1]");
}

TEST(KernelChecksTest, GivenListsAreChecked) {
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

TEST(KernelChecksTest, BiasIsChecked) {
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

TEST(KernelChecksTest, RowsAreChecked) {
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

TEST(KernelChecksTest, ParametersAreChecked) {
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

TEST(KernelChecksTest, ThreadsAreChecked) {
  EXPECT_EQ(errorOf(dense(), [](rt::RunArgs &args) { args.threads = -1; }), "threads: expected 0 or more, but got -1");
}

} // namespace
