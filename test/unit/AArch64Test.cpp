// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Kernels for AArch64 under qemu against the interpreter.

#include "runtime/Threads.h"
#include "test/aarch64/Emulator.h"
#include "test/unit/Differential.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <functional>
#include <iostream>
#include <limits>

using namespace weft;
using namespace weft::test;

namespace {

/// Compilations and emulated programs at a time.
constexpr int kWorkers = 2;

/// A program that is to be called once.
struct EmulatedCase : Case {
  uint64_t seed;
  /// Changes the random operands.
  std::function<void(Operands &)> change;
  KernelCall call;
  std::string error;

  explicit EmulatedCase(uint64_t seed) : seed(seed) {}

  void prepare(Emulator &emulator) {
    Random random(seed);
    auto image = emulator.add(program.request);
    if (!image) {
      error = "compilation: " + image.message();
      return;
    }
    makeOperands(random, *image);
    if (change)
      change(operands);
    call.kernel = image->name, call.threads = random.range(1, 2), call.operands = &operands;
  }

  /// Sets `error` unless it is set.
  void check() {
    if (error.empty())
      error = call.error.empty() ? compareWithInterpreter(*this) : "run: " + call.error;
    if (error.empty() &&
        !(TestTensor(operands.out).isUntouchedAround() && TestTensor(operands.lse).isUntouchedAround()))
      error = "memory around the results was written";
  }
};

using Cases = std::deque<EmulatedCase>;

class AArch64Test : public testing::Test {
protected:
  void SetUp() override {
    if (std::string missing = Emulator::missing(); !missing.empty())
      GTEST_SKIP() << "AArch64 code cannot run: this build did not find " << missing;
  }

  /// Compiles the cases, links them into one library, runs and checks each.
  static void checkAll(Cases &cases) {
    auto count = static_cast<int64_t>(cases.size());
    Emulator emulator;
    rt::forEachItem(count, kWorkers, [&](int64_t i, int) { cases[i].prepare(emulator); });
    rt::Status linked = emulator.link();
    ASSERT_TRUE(linked) << linked.message();
    std::vector<KernelCall *> calls[kWorkers];
    for (int64_t i = 0; i < count; ++i)
      if (cases[i].error.empty())
        calls[i % kWorkers].push_back(&cases[i].call);
    rt::forEachItem(kWorkers, kWorkers, [&](int64_t i, int) {
      rt::Status status = emulator.run(calls[i]);
      EXPECT_TRUE(status) << status.message();
    });
    rt::forEachItem(count, kWorkers, [&](int64_t i, int) { cases[i].check(); });
    for (EmulatedCase &test : cases)
      EXPECT_TRUE(test.error.empty()) << "seed " << test.seed << ": " << test.error << "\n" << test.describe();
  }

  /// One attention for every AArch64 target and element type.
  static Cases forAllTypes(const std::string &body, GridShape grid, const std::vector<int64_t> &headDims = {64}) {
    Cases cases;
    for (const char *target : {"aarch64", "aarch64-bf16"})
      for (ElementType type : {ElementType::F32, ElementType::BF16, ElementType::F16})
        for (int64_t headDim : headDims) {
          CompileRequest &request = cases.emplace_back(cases.size()).program.request;
          request.source = fmt::format("attention k{} {}\n", cases.size(), body);
          request.target = target;
          request.options.queryGrid = request.options.keyGrid = grid;
          request.options.heads = 2, request.options.headDim = headDim, request.options.block = 32;
          request.options.elementType = type;
        }
    return cases;
  }
};

TEST_F(AArch64Test, RandomPrograms) {
  constexpr int64_t kCount = 120;
  uint64_t base = testSeed();
  std::cout << "WEFT_TEST_SEED=" << base << ", " << kCount << " programs" << std::endl;
  Cases cases;
  for (int64_t i = 0; i < kCount; ++i) {
    EmulatedCase &test = cases.emplace_back(seedOf(base, i));
    Random random(test.seed);
    ProgramLimits limits;
    limits.maxTokens = 150, limits.dynamic = 0, limits.bias = limits.rows = 30, limits.sorted = 20, limits.name = fmt::format("k{}", i);
    test.program = makeProgram(random, limits);
    test.program.request.target = random.pick({"aarch64", "aarch64-bf16"});
    test.batch = random.range(1, 2);
  }
  checkAll(cases);
}

TEST_F(AArch64Test, HeadDims) {
  Cases cases = forAllTypes("{ mask abs(q.t - k.t) <= 1 or k.text }", {3, 4, 5, 7, false}, {32, 40, 72, 80, 128});
  checkAll(cases);
}

TEST_F(AArch64Test, OneToken) {
  Cases cases = forAllTypes("{}", {1, 1, 1, 0, false});
  checkAll(cases);
}

/// Frame 0 has no key; in other frames only some rows have.
TEST_F(AArch64Test, RowsWithoutKeys) {
  Cases cases =
      forAllTypes("{ order tiles(t: 1, h: 4, w: 5) mask q.t == k.t and q.t > 0 and q.w > 1 }", {3, 4, 5, 0, false});
  checkAll(cases);
  for (const EmulatedCase &test : cases)
    for (int64_t token = 0; token < 60; ++token)
      if (token < 20 || token % 5 < 2) {
        EXPECT_EQ(test.operands.lse.at(0, 1, token), -std::numeric_limits<double>::infinity());
        EXPECT_EQ(test.operands.out.at(0, 1, token, 3), 0);
      }
}

/// A NaN in a key reaches every row that keeps it, and no other.
TEST_F(AArch64Test, NaNInAKey) {
  Cases cases = forAllTypes("{ order tiles(t: 1, h: 4, w: 5) mask q.t == k.t }", {3, 4, 5, 0, false});
  for (EmulatedCase &test : cases)
    test.change = [](Operands &operands) { operands.key.set(0, 0, 27, 9, std::nan("")); };
  checkAll(cases);
  for (const EmulatedCase &test : cases)
    for (int64_t token = 0; token < 60; ++token)
      EXPECT_EQ(std::isnan(test.operands.out.at(0, 0, token, 3)), token / 20 == 1);
}

/// A NaN in a value reaches its channel of the rows that keep its key, and nothing else.
TEST_F(AArch64Test, NaNInAValue) {
  Cases cases = forAllTypes("{ order tiles(t: 1, h: 4, w: 5) mask q.t == k.t }", {3, 4, 5, 0, false});
  for (EmulatedCase &test : cases)
    test.change = [](Operands &operands) { operands.value.set(0, 0, 27, 9, std::nan("")); };
  checkAll(cases);
  for (const EmulatedCase &test : cases)
    for (int64_t token = 0; token < 60; ++token)
      for (int64_t c : {8, 9, 10})
        EXPECT_EQ(std::isnan(test.operands.out.at(0, 0, token, c)), token / 20 == 1 && c == 9);
}

} // namespace
