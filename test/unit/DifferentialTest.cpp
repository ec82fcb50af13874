// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random programs: the compiled kernel against the interpreter.

#include "test/unit/RandomPrograms.h"

#include "lib/Compiler/Compiler.h"
#include "lib/Interpreter/Interpreter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>
#include <numeric>
#include <thread>

using namespace weft;
using namespace weft::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

enum class Layout { BHSD, BSHD, Padded, Packed, Reversed, Broadcast };

/// A tensor inside a larger piece of memory.
struct TestTensor {
  std::vector<std::byte> storage;
  rt::Tensor view;

  static constexpr std::byte kUntouched{0xa5};

  TestTensor(rt::DType dtype, std::vector<int64_t> shape, Layout layout) {
    std::vector<int64_t> strides(shape.size());
    int64_t width = shape.size() == 4 ? shape[3] : 1, row = layout == Layout::Padded ? width + 5 : width;
    int64_t offset = layout == Layout::BHSD ? 0 : 3;
    if (layout == Layout::BSHD || layout == Layout::Packed) {
      int64_t packed = layout == Layout::Packed ? 3 : 1; // q, k and v of a token side by side
      strides[1] = row, strides[2] = packed * shape[1] * row, strides[0] = shape[2] * strides[2];
    } else {
      strides[2] = row, strides[1] = shape[2] * row, strides[0] = shape[1] * strides[1];
    }
    int64_t count = offset + shape[0] * strides[0] + row;
    if (layout == Layout::Reversed)
      offset += (shape[2] - 1) * strides[2], strides[2] = -strides[2];
    if (layout == Layout::Broadcast)
      strides[1] = 0;
    if (shape.size() == 4)
      strides[3] = 1;
    storage.assign(count * rt::sizeOf(dtype), kUntouched);
    view.data = storage.data() + offset * rt::sizeOf(dtype);
    view.dtype = dtype, view.shape = std::move(shape), view.strides = std::move(strides);
  }

  int64_t offset(int64_t b, int64_t h, int64_t s, int64_t c = 0) const {
    return b * view.strides[0] + h * view.strides[1] + s * view.strides[2] + c;
  }
  double at(int64_t b, int64_t h, int64_t s, int64_t c = 0) const {
    return rt::loadAsDouble(view.data, view.dtype, offset(b, h, s, c));
  }
  int64_t width() const { return view.rank() == 4 ? view.shape[3] : 1; }

  template <typename Function> void forEach(const Function &function) {
    for (int64_t b = 0; b < view.shape[0]; ++b)
      for (int64_t h = 0; h < view.shape[1]; ++h)
        for (int64_t s = 0; s < view.shape[2]; ++s)
          for (int64_t c = 0; c < width(); ++c)
            function(b, h, s, c);
  }

  template <typename Function> void fill(const Function &value) {
    forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) {
      rt::storeFromDouble(view.data, view.dtype, offset(b, h, s, c), value(b, h, s, c));
    });
  }

  /// Whether nothing but the view's elements was written. Forgets these.
  bool isUntouchedAround() {
    size_t bytes = rt::sizeOf(view.dtype);
    forEach([&](int64_t b, int64_t h, int64_t s, int64_t c) {
      auto *element = static_cast<std::byte *>(view.data) + offset(b, h, s, c) * static_cast<int64_t>(bytes);
      std::fill_n(element, bytes, kUntouched);
    });
    return std::all_of(storage.begin(), storage.end(), [](std::byte byte) { return byte == kUntouched; });
  }
};

/// The targets that this machine runs.
const std::vector<std::string> &runnableTargets() {
  static const std::vector<std::string> targets = [] {
    std::vector<std::string> result;
    for (const char *name : {"native", "x86-64-v4", "x86-64-v3", "znver4"}) {
      std::string text;
      std::optional<CPUTarget> target = CPUTarget::parse(name, text);
      if (target && target->runsHere(text))
        result.push_back(name);
    }
    return result;
  }();
  return targets;
}

rt::DType toDType(ElementType type) {
  return type == ElementType::F32 ? rt::DType::F32 : type == ElementType::BF16 ? rt::DType::BF16 : rt::DType::F16;
}

/// A program with its operands.
struct Case {
  RandomProgram program;
  std::shared_ptr<const rt::Kernel> kernel;
  rt::GivenLists given;
  int64_t batch = 1;
  std::optional<TestTensor> query, key, value;

  const GenerateOptions &options() const { return program.request.options; }
  std::vector<int64_t> queryShape() const {
    return {batch, options().heads, options().queryGrid.tokens(), options().headDim};
  }
  std::vector<int64_t> keyShape() const {
    return {batch, options().heads, options().keyGrid.tokens(), options().headDim};
  }

  rt::Status compile() {
    KernelResult result = compileKernel(program.request);
    if (!result)
      return result.status();
    kernel = *result;
    return rt::Status::ok();
  }
  void makeGivenLists(Random &random) {
    if (program.usesGiven)
      given = makeGiven(random, options().heads, kernel->image().query.count(), kernel->image().key.count());
  }
  void allocate(const std::function<Layout()> &layout) {
    rt::DType dtype = toDType(options().elementType);
    query.emplace(dtype, queryShape(), layout());
    key.emplace(dtype, keyShape(), layout());
    value.emplace(dtype, keyShape(), layout());
  }

  rt::Status run(TestTensor &out, TestTensor &lse, int threads) const {
    rt::RunArgs args;
    args.query = query->view, args.key = key->view, args.value = value->view;
    args.out = out.view, args.lse = lse.view;
    args.parameters = program.parameters;
    args.given = program.usesGiven ? &given : nullptr;
    args.threads = threads;
    return kernel->run(args);
  }

  rt::Result<InterpreterResult> interpret(const std::vector<int64_t> &rows) const {
    auto context = createContext();
    auto module = buildProgram(*context, program.request);
    if (!module)
      return module.status();
    // The program, not the plan: what the passes do is to be checked too.
    if (rt::Status status = chooseTiles(**module); !status)
      return status;
    InterpreterArgs args;
    args.tensors = {query->view, key->view, value->view};
    args.parameters = program.parameters;
    if (program.usesGiven)
      args.given.push_back(given);
    args.rows = rows;
    auto result = weft::interpret(kernelOf(**module), args);
    if (mlir::failed(result))
      return rt::Status::error("the interpreter failed");
    return *result;
  }
};

/// Rows spread over all tokens, so many that the interpreter needs few milliseconds.
std::vector<int64_t> chooseRows(const Case &test) {
  int64_t tokens = test.options().queryGrid.tokens();
  int64_t perRow = test.batch * test.options().heads * test.options().keyGrid.tokens() * test.options().headDim;
  int64_t count = std::clamp<int64_t>(15'000'000 / perRow, 1, tokens);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i)
    rows.push_back(i * tokens / count);
  return rows;
}

struct Tolerance {
  double out, lse;
};

Tolerance toleranceOf(ElementType type) {
  switch (type) {
  case ElementType::F32:
    return {1e-5, 1e-5};
  case ElementType::BF16:
    return {4e-3, 1e-3};
  case ElementType::F16:
    return {4e-3, 1e-5};
  }
  return {};
}

/// What differs between kernel and interpreter; empty if nothing does.
std::string compareRows(const TestTensor &out, const TestTensor &lse, const InterpreterResult &expected,
                        const std::vector<int64_t> &rows, Tolerance tolerance) {
  double difference = 0, reference = 0;
  int64_t width = out.width();
  for (int64_t b = 0; b < out.view.shape[0]; ++b)
    for (int64_t h = 0; h < out.view.shape[1]; ++h)
      for (size_t i = 0; i < rows.size(); ++i) {
        int64_t at = (b * out.view.shape[1] + h) * rows.size() + i;
        double expectedLse = expected.lse.data[at], actualLse = lse.at(b, h, rows[i]);
        bool isEmpty = expectedLse == -infinity;
        bool isClose = isEmpty ? actualLse == -infinity
                               : std::abs(actualLse - expectedLse) <=
                                     tolerance.lse * std::max(1.0, std::abs(expectedLse));
        if (!isClose)
          return fmt::format("lse of batch {} head {} row {}: expected {}, but got {}", b, h, rows[i], expectedLse,
                             actualLse);
        for (int64_t c = 0; c < width; ++c) {
          double value = out.at(b, h, rows[i], c), wanted = expected.out.data[at * width + c];
          if (!std::isfinite(value) || (isEmpty && value != 0))
            return fmt::format("out of batch {} head {} row {} channel {}: expected {}, but got {}", b, h, rows[i], c,
                               wanted, value);
          difference += (value - wanted) * (value - wanted), reference += wanted * wanted;
        }
      }
  double relative = difference == 0 ? 0 : std::sqrt(difference / reference);
  return relative <= tolerance.out ? "" : fmt::format("out: relative error {}", relative);
}

/// Runs with one and with two threads; the results must be the same, and nothing else written.
std::string runTwice(const Case &test, TestTensor &out, TestTensor &lse, bool oneFirst) {
  TestTensor again = out, lseAgain = lse;
  again.view.data = again.storage.data() + (static_cast<std::byte *>(out.view.data) - out.storage.data());
  lseAgain.view.data = lseAgain.storage.data() + (static_cast<std::byte *>(lse.view.data) - lse.storage.data());
  if (rt::Status status = test.run(out, lse, oneFirst ? 1 : 2); !status)
    return "run: " + status.message();
  if (rt::Status status = test.run(again, lseAgain, oneFirst ? 2 : 1); !status)
    return "second run: " + status.message();
  if (out.storage != again.storage || lse.storage != lseAgain.storage)
    return "one and two threads give different results";
  if (!again.isUntouchedAround() || !lseAgain.isUntouchedAround())
    return "memory around the results was written";
  return "";
}

/// Random operands for a random program; what differs, or nothing.
std::string checkProgram(Random &random, Case &test) {
  test.program = makeProgram(random);
  test.program.request.target = random.pick(runnableTargets());
  test.batch = random.pick<int64_t>({1, 1, 2, 3});
  if (rt::Status status = test.compile(); !status)
    return "compilation: " + status.message();
  test.makeGivenLists(random);
  auto inputLayout = [&] {
    return random.pick({Layout::BHSD, Layout::BSHD, Layout::Padded, Layout::Packed, Layout::Reversed,
                        Layout::Broadcast});
  };
  auto outputLayout = [&] {
    return random.pick({Layout::BHSD, Layout::BSHD, Layout::Padded, Layout::Packed, Layout::Reversed});
  };
  test.allocate(inputLayout);
  for (TestTensor *tensor : {&*test.query, &*test.key, &*test.value})
    tensor->fill([&](auto...) { return random.normal(); });
  std::vector<int64_t> shape = test.queryShape();
  TestTensor out(test.query->view.dtype, shape, outputLayout());
  shape.pop_back();
  TestTensor lse(rt::DType::F32, shape, outputLayout());
  if (std::string error = runTwice(test, out, lse, random.chance(50)); !error.empty())
    return error;
  std::vector<int64_t> rows = chooseRows(test);
  auto expected = test.interpret(rows);
  if (!expected)
    return "interpretation: " + expected.message();
  return compareRows(out, lse, *expected, rows, toleranceOf(test.options().elementType));
}

std::string checkProgramOf(uint64_t seed) {
  Random random(seed);
  Case test;
  std::string error = checkProgram(random, test);
  return error.empty() ? error
                       : fmt::format("{}\nbatch {}, parameters [{}]\n{}", error, test.batch,
                                     fmt::join(test.program.parameters, ", "), describe(test.program.request));
}

using Check = std::string (*)(uint64_t seed);

/// Runs `check` on `count` seeds in two threads.
void checkSeeds(int64_t first, int64_t count, Check check) {
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

TEST(DifferentialTest, RandomPrograms) { checkSeeds(0, 320, checkProgramOf); }

/// One-hot attention: the scores of a row are multiples of 256 in units of powers of two, and all differ. So each row's
/// output is the value of one key, exactly, in every type.
std::string checkOneHot(uint64_t seed) {
  for (ElementType type : {ElementType::F32, ElementType::BF16, ElementType::F16}) {
    Random random(seed);
    Case test;
    test.program = makeProgram(random);
    test.program.request.target = random.pick(runnableTargets());
    GenerateOptions &options = test.program.request.options;
    options.elementType = type, options.scale = std::log(2.0);
    if (rt::Status status = test.compile(); !status)
      return "compilation: " + status.message() + "\n" + describe(test.program.request);
    test.makeGivenLists(random);
    test.allocate([&] { return random.pick({Layout::BHSD, Layout::BSHD, Layout::Padded}); });
    int64_t keys = options.keyGrid.tokens(), factor = random.range(0, keys - 1) | 1;
    while (std::gcd(factor, keys) != 1)
      factor += 2;
    auto rank = [&](int64_t head, int64_t token) { return (token + head) * factor % keys; };
    test.query->fill([&](int64_t, int64_t, int64_t s, int64_t c) { return c >= 2 ? 0 : s % 3 ? 256 : -256; });
    test.key->fill([&](int64_t, int64_t h, int64_t s, int64_t c) {
      return c == 0 ? rank(h, s) & ~int64_t(255) : c == 1 ? rank(h, s) & 255 : 0;
    });
    test.value->fill([&](auto...) { return random.range(-64, 64); });
    std::vector<int64_t> shape = test.queryShape();
    TestTensor out(toDType(type), shape, Layout::BSHD);
    shape.pop_back();
    TestTensor lse(rt::DType::F32, shape, Layout::BHSD);
    if (std::string error = runTwice(test, out, lse, true); !error.empty())
      return error + "\n" + describe(test.program.request);
    std::vector<int64_t> rows = chooseRows(test);
    auto expected = test.interpret(rows);
    if (!expected)
      return "interpretation: " + expected.message() + "\n" + describe(test.program.request);
    for (double &value : expected->out.data)
      value = std::round(value); // without the traces of the weights that f32 cannot hold
    std::string error = compareRows(out, lse, *expected, rows, {0, 1e-6});
    if (!error.empty())
      return error + "\n" + describe(test.program.request);
  }
  return "";
}

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
      Case test;
      CompileRequest &request = test.program.request;
      request.source = fmt::format("attention a {{ order {} mask {} }}", next % 2 ? "raster" : "tiles", program.mask);
      request.target = targets[next++ % targets.size()];
      request.options.queryGrid = request.options.keyGrid = program.grid;
      request.options.elementType = type, request.options.block = 32, request.options.headDim = 40;
      SCOPED_TRACE(describe(request));
      rt::Status status = test.compile();
      ASSERT_TRUE(status) << status.message();
      test.allocate([] { return Layout::BHSD; });
      Random random(7);
      test.query->fill([](auto...) { return 0; });
      test.key->fill([&](auto...) { return random.range(-8, 8); });
      test.value->fill([&](auto...) { return random.range(-2, 2); });
      TestTensor out(toDType(type), test.queryShape(), Layout::BHSD);
      TestTensor lse(rt::DType::F32, {1, 1, program.grid.tokens()}, Layout::BHSD);
      EXPECT_EQ(runTwice(test, out, lse, true), "");
      std::vector<int64_t> rows = chooseRows(test);
      auto expected = test.interpret(rows);
      ASSERT_TRUE(expected);
      // The interpreter's own weights are rounded; the true result has few binary digits.
      for (double &value : expected->out.data)
        value = std::round(value * 256) / 256;
      EXPECT_EQ(compareRows(out, lse, *expected, rows, {0, 1e-6}), "");
    }
}

} // namespace
