// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random programs: the compiled kernel against the interpreter.

#include "test/unit/Differential.h"

#include "lib/Compiler/Compiler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <iostream>
#include <numeric>
#include <thread>

using namespace weft;
using namespace weft::test;

namespace {

/// The targets that this machine runs.
const std::vector<std::string> &runnableTargets() {
  static const std::vector<std::string> targets = [] {
    std::vector<std::string> result;
    for (const char *name : {"native", "x86-64-v4", "x86-64-v3", "znver4", "sapphirerapids"}) {
      std::string text;
      std::optional<CPUTarget> target = CPUTarget::parse(name, text);
      if (target && target->runsHere(text))
        result.push_back(name);
    }
    return result;
  }();
  return targets;
}

/// A case with its kernel.
struct CompiledCase : Case {
  std::shared_ptr<const rt::Kernel> kernel;

  rt::Status compile() {
    KernelResult result = compileKernel(program.request);
    if (!result)
      return result.status();
    kernel = *result;
    return rt::Status::ok();
  }

  rt::Status run(int threads) const {
    rt::RunArgs args = operands.args(threads);
    args.parameters = program.parameters;
    return kernel->run(args);
  }
};

/// Runs with one and with two threads; the results must be the same, and nothing else written.
std::string runTwice(CompiledCase &test, bool oneFirst) {
  TestTensor &out = test.operands.out, &lse = test.operands.lse;
  std::optional<TestTensor> &age = test.operands.age;
  TestTensor again = out, lseAgain = lse;
  std::optional<TestTensor> ageAgain = age;
  if (rt::Status status = test.run(oneFirst ? 1 : 2); !status)
    return "run: " + status.message();
  std::swap(out, again), std::swap(lse, lseAgain), std::swap(age, ageAgain);
  if (rt::Status status = test.run(oneFirst ? 2 : 1); !status)
    return "second run: " + status.message();
  if (out.storage != again.storage || lse.storage != lseAgain.storage || (age && age->storage != ageAgain->storage))
    return "one and two threads give different results";
  if (!again.isUntouchedAround() || !lseAgain.isUntouchedAround() || (age && !ageAgain->isUntouchedAround()))
    return "memory around the results was written";
  return "";
}

/// A random program, compiled for a target that runs here, with random operands; what went wrong, or nothing.
std::string prepare(Random &random, CompiledCase &test, const ProgramLimits &limits) {
  test.program = makeProgram(random, limits);
  test.program.request.target = random.pick(runnableTargets());
  test.batch = random.pick<int64_t>({1, 1, 2, 3});
  if (rt::Status status = test.compile(); !status)
    return "compilation: " + status.message();
  test.makeOperands(random, test.kernel->image());
  return "";
}

/// Random operands for a random program; what differs, or nothing.
std::string checkProgram(Random &random, CompiledCase &test) {
  if (std::string error = prepare(random, test, {.bias = 30, .rows = 30, .sorted = 15}); !error.empty())
    return error;
  std::string error = runTwice(test, random.chance(50));
  return error.empty() ? compareWithInterpreter(test) : error;
}

/// As checkProgram, with a mask that queries and keys predict: its lists, then the results over the kernel's own lists.
std::string checkPredicted(Random &random, CompiledCase &test) {
  ProgramLimits limits;
  limits.predicted = 100, limits.sorted = 25;
  if (std::string error = prepare(random, test, limits); !error.empty())
    return error;
  if (std::string error = runTwice(test, random.chance(50)); !error.empty())
    return error;
  if (!test.kernel->image().prediction)
    return compareWithInterpreter(test);
  rt::RunArgs args = test.operands.args(1);
  args.parameters = test.program.parameters;
  auto lists = test.kernel->predict(args);
  auto expected = test.interpret({0});
  if (!lists || !expected)
    return "prediction: " + (lists ? expected.message() : lists.message());
  if (expected->predicted.empty())
    return "expected lists of the interpreter";
  if (lists->offsets != expected->predicted.front().offsets || lists->keyBlocks != expected->predicted.front().keyBlocks)
    return "the kernel selects other blocks than the interpreter";
  return compareWithInterpreter(test, &*lists);
}

/// As checkProgram, with rows that their importance selects.
std::string checkSelected(Random &random, CompiledCase &test) {
  ProgramLimits limits{.bias = 30, .selectedRows = 100};
  limits.predicted = random.pick({0, 30});
  if (std::string error = prepare(random, test, limits); !error.empty())
    return error;
  rt::RunArgs args = test.operands.args(random.pick({1, 2}));
  args.parameters = test.program.parameters;
  auto rows = test.kernel->selectRows(args);
  if (!rows)
    return "selection: " + rows.message();
  std::optional<rt::GivenLists> lists;
  if (test.kernel->image().prediction) {
    auto predicted = test.kernel->predict(args);
    if (!predicted)
      return "prediction: " + predicted.message();
    lists = std::move(*predicted);
  }
  if (std::string error = runTwice(test, random.chance(50)); !error.empty())
    return error;
  const rt::GivenLists *selected = lists ? &*lists : nullptr;
  auto expected = test.interpret({0}, selected);
  if (!expected)
    return "interpretation: " + expected.message();
  std::string error = compareSelection(test, *rows, *expected);
  return error.empty() ? compareWithInterpreter(test, selected) : error;
}

/// As checkProgram, with neighbours that share their scores, under masks of every kind.
std::string checkReuse(Random &random, CompiledCase &test) {
  ProgramLimits limits{.bias = 30, .rows = 30, .reuse = 100, .sorted = 25};
  limits.predicted = random.chance(30) ? 100 : 0;
  if (std::string error = prepare(random, test, limits); !error.empty())
    return error;
  if (std::string error = runTwice(test, random.chance(50)); !error.empty())
    return error;
  if (!test.kernel->image().prediction)
    return compareWithInterpreter(test);
  rt::RunArgs args = test.operands.args(1);
  args.parameters = test.program.parameters;
  auto lists = test.kernel->predict(args);
  return lists ? compareWithInterpreter(test, &*lists) : "prediction: " + lists.message();
}

/// Whether two recalls, or one and a bound that random programs have, are as near as f32 may round.
bool hasTie(std::vector<double> recalls) {
  recalls.insert(recalls.end(), {0, 0.1, 0.25, 0.5, 0.7, 1});
  std::sort(recalls.begin(), recalls.end());
  for (size_t i = 1; i < recalls.size(); ++i)
    if (recalls[i] - recalls[i - 1] < 1e-4)
      return true;
  return false;
}

/// Recalls to the rounding of f32, and the same choices but for ties.
std::string compareChoices(const rt::Choices &actual, const rt::Choices &expected) {
  if (actual.recalls.size() != expected.recalls.size() || actual.candidates.size() != expected.candidates.size())
    return "other numbers of recalls or choices than the interpreter's";
  for (size_t i = 0; i < actual.recalls.size(); ++i)
    if (std::abs(actual.recalls[i] - expected.recalls[i]) > 3e-5)
      return fmt::format("recall {}: expected {}, but got {}", i, expected.recalls[i], actual.recalls[i]);
  size_t count = actual.recalls.size() / actual.candidates.size();
  for (size_t i = 0; i < actual.candidates.size(); ++i) {
    auto begin = expected.recalls.begin() + i * count;
    if (actual.candidates[i] != expected.candidates[i] && !hasTie({begin, begin + count}))
      return fmt::format("choice {}: expected {}, but got {}", i, expected.candidates[i], actual.candidates[i]);
  }
  return "";
}

/// As checkProgram, with heads that are recognized: recalls and choices, then the results of the kernel's own choices.
std::string checkRecognized(Random &random, CompiledCase &test) {
  ProgramLimits limits;
  limits.recognized = 100, limits.bias = 20, limits.rows = 20;
  if (std::string error = prepare(random, test, limits); !error.empty())
    return error;
  if (std::string error = runTwice(test, random.chance(50)); !error.empty())
    return error;
  if (!test.kernel->image().recognition)
    return compareWithInterpreter(test);
  rt::RunArgs args = test.operands.args(1);
  args.parameters = test.program.parameters;
  auto choices = test.kernel->recognize(args);
  auto expected = test.interpret({0});
  if (!choices || !expected)
    return "recognition: " + (choices ? expected.message() : choices.message());
  if (expected->recognized.empty())
    return "expected choices of the interpreter";
  if (std::string error = compareChoices(*choices, expected->recognized.front()); !error.empty())
    return error;
  return compareWithInterpreter(test, nullptr, &*choices);
}

/// As checkProgram, with all clauses at once, each in most programs. What a stage decides is compared by the checks
/// above; here the rest follows from the kernel's own decisions.
std::string checkEverything(Random &random, CompiledCase &test) {
  ProgramLimits limits{.bias = 40, .selectedRows = 70, .predicted = 60, .reuse = 80, .recognized = 50, .sorted = 25};
  if (std::string error = prepare(random, test, limits); !error.empty())
    return error;
  rt::RunArgs args = test.operands.args(1);
  args.parameters = test.program.parameters;
  const rt::KernelImage &image = test.kernel->image();
  auto rows = image.rowSelection ? test.kernel->selectRows(args) : rt::Result<rt::OwnedRowLists>(rt::OwnedRowLists());
  auto lists = image.prediction ? test.kernel->predict(args) : rt::Result<rt::GivenLists>(rt::GivenLists());
  auto choices = image.recognition ? test.kernel->recognize(args) : rt::Result<rt::Choices>(rt::Choices());
  if (!rows || !lists || !choices)
    return "decision: " + rows.message() + lists.message() + choices.message();
  if (std::string error = runTwice(test, random.chance(50)); !error.empty())
    return error;
  const rt::GivenLists *selected = image.prediction ? &*lists : nullptr;
  const rt::Choices *chosen = image.recognition ? &*choices : nullptr;
  if (image.rowSelection) {
    auto expected = test.interpret({0}, selected, chosen);
    if (!expected)
      return "interpretation: " + expected.message();
    if (std::string error = compareSelection(test, *rows, *expected); !error.empty())
      return error;
  }
  return compareWithInterpreter(test, selected, chosen);
}

/// What differs, or nothing.
using Check = std::function<std::string(uint64_t seed)>;

/// A check of one random program, with the program in its message.
Check onProgram(std::string (*check)(Random &random, CompiledCase &test)) {
  return [check](uint64_t seed) {
    Random random(seed);
    CompiledCase test;
    std::string error = check(random, test);
    return error.empty() ? error : error + "\n" + test.describe();
  };
}

/// Runs `check` on `count` seeds in two threads.
void checkSeeds(int64_t first, int64_t count, const Check &check) {
  uint64_t base = testSeed();
  std::cout << "WEFT_TEST_SEED=" << base << ", " << count << " programs" << std::endl;
  std::atomic<int64_t> next{0};
  std::vector<std::string> errors(count);
  auto work = [&] {
    for (int64_t i = next++; i < count; i = next++)
      errors[i] = check(seedOf(base, first + i));
  };
  std::thread other(work);
  work();
  other.join();
  for (int64_t i = 0; i < count; ++i)
    EXPECT_TRUE(errors[i].empty()) << "WEFT_TEST_SEED=" << seedOf(base, first + i) << ": " << errors[i];
}

TEST(DifferentialTest, RandomPrograms) { checkSeeds(0, 320, onProgram(checkProgram)); }

TEST(DifferentialTest, RandomPredictedPrograms) { checkSeeds(1000, 120, onProgram(checkPredicted)); }

TEST(DifferentialTest, RandomProgramsSelectRows) { checkSeeds(2000, 80, onProgram(checkSelected)); }

TEST(DifferentialTest, RandomReuse) { checkSeeds(3000, 160, onProgram(checkReuse)); }

TEST(DifferentialTest, RandomProgramsOfAllClauses) { checkSeeds(5000, 100, onProgram(checkEverything)); }

TEST(DifferentialTest, RandomRecognizedPrograms) { checkSeeds(4000, 120, onProgram(checkRecognized)); }

/// One-hot attention: the scores of a row are multiples of 256 in units of powers of two, and all differ. So each row's
/// output is the value of one key, exactly, in every type.
std::string checkOneHot(uint64_t seed) {
  for (ElementType type : {ElementType::F32, ElementType::BF16, ElementType::F16}) {
    Random random(seed);
    CompiledCase test;
    test.program = makeProgram(random);
    test.program.request.target = random.pick(runnableTargets());
    GenerateOptions &options = test.program.request.options;
    options.elementType = type, options.scale = std::log(2.0);
    if (rt::Status status = test.compile(); !status)
      return "compilation: " + status.message() + "\n" + describe(test.program.request);
    test.makeGivenLists(random, test.kernel->image());
    test.allocateInputs([&] { return random.pick({TensorLayout::BHSD, TensorLayout::BSHD, TensorLayout::Padded}); });
    int64_t keys = options.keyGrid.tokens(), factor = random.range(0, keys - 1) | 1;
    while (std::gcd(factor, keys) != 1)
      factor += 2;
    auto rank = [&](int64_t head, int64_t token) { return (token + head) * factor % keys; };
    test.operands.query.fill([&](int64_t, int64_t, int64_t s, int64_t c) { return c >= 2 ? 0 : s % 3 ? 256 : -256; });
    test.operands.key.fill([&](int64_t, int64_t h, int64_t s, int64_t c) {
      return c == 0 ? rank(h, s) & ~int64_t(255) : c == 1 ? rank(h, s) & 255 : 0;
    });
    test.operands.value.fill([&](auto...) { return random.range(-64, 64); });
    test.allocateResults([] { return TensorLayout::BSHD; });
    if (std::string error = runTwice(test, true); !error.empty())
      return error + "\n" + describe(test.program.request);
    std::vector<int64_t> rows = chooseRows(test);
    auto expected = test.interpret(rows);
    if (!expected)
      return "interpretation: " + expected.message() + "\n" + describe(test.program.request);
    for (double &value : expected->out.data)
      value = std::round(value); // without the traces of the weights that f32 cannot hold
    std::string error = compareRows(test.operands, *expected, rows, {0, 1e-6});
    if (!error.empty())
      return error + "\n" + describe(test.program.request);
  }
  return "";
}

/// All rows in any order are the attention, bit by bit; and rows of a first call and the rest in a second one too.
std::string checkRowsInParts(uint64_t seed) {
  Random random(seed);
  CompiledCase test;
  test.program = makeProgram(random, {.bias = 30});
  test.program.request.target = random.pick(runnableTargets());
  test.batch = random.range(1, 2);
  if (rt::Status status = test.compile(); !status)
    return "compilation: " + status.message();
  test.makeOperands(random, test.kernel->image());
  if (rt::Status status = test.run(2); !status)
    return "run: " + status.message();
  TestTensor out = test.operands.out, lse = test.operands.lse;
  std::string &source = test.program.request.source;
  source.insert(source.rfind('}'), "  rows given\n");
  test.program.usesRows = true;
  if (rt::Status status = test.compile(); !status)
    return "compilation with rows: " + status.message();
  for (TestTensor *tensor : {&test.operands.out, &test.operands.lse})
    tensor->fill([](auto...) { return Case::kHeld; });
  auto tokens = static_cast<int32_t>(test.options().queryGrid.tokens());
  std::vector<int32_t> order(tokens);
  std::iota(order.begin(), order.end(), 0);
  for (int32_t i = tokens; i > 1; --i)
    std::swap(order[i - 1], order[random.range(0, i - 1)]);
  auto first = static_cast<int32_t>(random.range(0, tokens));
  for (auto [begin, end] : {std::pair(0, first), {first, tokens}}) {
    test.operands.rows = TestRows{{1, 1}, end - begin, {order.begin() + begin, order.begin() + end}, {end - begin}};
    if (rt::Status status = test.run(1 + begin % 2); !status)
      return "run with rows: " + status.message();
  }
  return test.operands.out.storage == out.storage && test.operands.lse.storage == lse.storage
             ? ""
             : "rows differ from the whole\n" + test.describe();
}

TEST(DifferentialTest, RowsInPartsAreTheWhole) { checkSeeds(1000, 60, checkRowsInParts); }

TEST(DifferentialTest, OneHotAttentionIsExact) { checkSeeds(0, 24, checkOneHot); }

/// Equal scores, and a power of two of keys in every row: the mean of small integers, exactly.
TEST(DifferentialTest, MeansOfIntegersAreExact) {
  struct Program {
    const char *mask;
    GridShape grid;
  };
  const Program programs[] = {
      {"true", {4, 4, 4, 0, false}},           {"q.t == k.t", {5, 4, 8, 0, false}},
      {"q.h == k.h", {8, 5, 4, 0, false}},     {"q.t == k.t and q.w == k.w", {3, 16, 7, 0, false}},
      {"q.t == k.t", {3, 2, 8, 16, true}},     {"q.index / 32 == k.index / 32", {2, 7, 16, 0, false}},
      {"q.t == k.t and (q.h + k.w) mod 2 == 0", {3, 4, 8, 0, false}},
  };
  const std::vector<std::string> &targets = runnableTargets();
  size_t next = 0;
  for (const Program &program : programs)
    for (ElementType type : {ElementType::F32, ElementType::BF16, ElementType::F16}) {
      CompiledCase test;
      CompileRequest &request = test.program.request;
      request.source = fmt::format("attention a {{ order {} mask {} }}", next % 2 ? "raster" : "tiles", program.mask);
      request.target = targets[next++ % targets.size()];
      request.options.queryGrid = request.options.keyGrid = program.grid;
      request.options.elementType = type, request.options.block = 32, request.options.headDim = 40;
      SCOPED_TRACE(describe(request));
      rt::Status status = test.compile();
      ASSERT_TRUE(status) << status.message();
      test.allocateInputs([] { return TensorLayout::BHSD; });
      Random random(7);
      test.operands.query.fill([](auto...) { return 0; });
      test.operands.key.fill([&](auto...) { return random.range(-8, 8); });
      test.operands.value.fill([&](auto...) { return random.range(-2, 2); });
      test.allocateResults([] { return TensorLayout::BHSD; });
      EXPECT_EQ(runTwice(test, true), "");
      std::vector<int64_t> rows = chooseRows(test);
      auto expected = test.interpret(rows);
      ASSERT_TRUE(expected);
      // The interpreter's own weights are rounded; the true result has few binary digits.
      for (double &value : expected->out.data)
        value = std::round(value * 256) / 256;
      EXPECT_EQ(compareRows(test.operands, *expected, rows, {0, 1e-6}), "");
    }
}

} // namespace
