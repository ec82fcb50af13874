// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Comparison of kernels with the interpreter.

#include "test/unit/Differential.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <limits>

using namespace weft;
using namespace weft::test;

rt::DType test::toDType(ElementType type) {
  return type == ElementType::F32 ? rt::DType::F32 : type == ElementType::BF16 ? rt::DType::BF16 : rt::DType::F16;
}

std::vector<int64_t> Case::queryShape() const {
  return {batch, options().heads, options().queryGrid.tokens(), options().headDim};
}

std::vector<int64_t> Case::keyShape() const {
  return {batch, options().heads, options().keyGrid.tokens(), options().headDim};
}

void Case::makeGivenLists(Random &random, const rt::KernelImage &image) {
  if (program.usesGiven)
    operands.given = makeGiven(random, options().heads, image.query.count(), image.key.count());
}

/// Normally distributed; in some biases keys are dropped, and in few a key has NaN or +inf.
static TestTensor makeBias(Random &random, std::vector<int64_t> shape) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  TestTensor bias(rt::DType::F32, std::move(shape),
                  random.pick({TensorLayout::BHSD, TensorLayout::BSHD, TensorLayout::Padded, TensorLayout::Reversed}));
  int dropped = random.pick({0, 0, 10, 90});
  bias.fill([&](auto...) { return random.chance(dropped) ? -infinity : 2 * random.normal(); });
  if (random.chance(10))
    bias.set(0, 0, random.range(0, bias.view.shape[2] - 1), 0, random.pick({infinity, std::nan("")}));
  return bias;
}

TestRows test::makeRows(Random &random, std::vector<int64_t> shape, int64_t tokens) {
  TestRows rows{std::move(shape), tokens, {}, {}};
  for (int64_t set = 0; set < rows.shape[0] * rows.shape[1]; ++set) {
    int percent = random.pick({0, 3, 30, 50, 70, 100});
    std::vector<int32_t> selected;
    for (int32_t token = 0; token < tokens; ++token)
      if (random.chance(percent))
        selected.push_back(token);
    for (size_t i = selected.size(); i > 1; --i)
      std::swap(selected[i - 1], selected[random.range(0, i - 1)]);
    rows.counts.push_back(selected.size());
    selected.resize(tokens, -1);
    rows.indices.insert(rows.indices.end(), selected.begin(), selected.end());
  }
  return rows;
}

void Case::makeExtras(Random &random) {
  auto shared = [&](int64_t size) { return random.chance(50) ? 1 : size; };
  if (program.usesBias)
    operands.bias = makeBias(random, {shared(batch), shared(options().heads), options().keyGrid.tokens()});
  if (program.usesRows)
    operands.rows = makeRows(random, {shared(batch), shared(options().heads)}, options().queryGrid.tokens());
  if (program.selectsRows)
    makeRowState(random);
}

/// Numbers of which some are equal; heads without keys, and now and then a NaN.
void Case::makeRowState(Random &random) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  int64_t tokens = options().queryGrid.tokens();
  auto layout = [&] { return random.pick({TensorLayout::BHSD, TensorLayout::Padded, TensorLayout::Reversed}); };
  heldLse = TestTensor(rt::DType::F32, {batch, options().heads, tokens}, TensorLayout::BHSD);
  operands.drift = TestTensor(rt::DType::F32, {batch, 1, tokens}, layout());
  operands.age = TestTensor(rt::DType::I32, {batch, 1, tokens}, layout());
  int without = random.pick({0, 20}), coarse = random.pick({1, 1000});
  heldLse.fill([&](auto...) {
    return random.chance(without) ? -infinity : std::round((3 + random.normal()) * coarse) / coarse;
  });
  operands.drift->fill([&](auto...) { return std::round(std::abs(random.normal()) * coarse) / coarse; });
  operands.age->fill([&](auto...) { return random.pick({0, 0, 1, 2, 79, 80}); });
  if (random.chance(20))
    heldLse.set(0, 0, random.range(0, tokens - 1), 0, std::nan(""));
  if (random.chance(20))
    operands.drift->set(batch - 1, 0, random.range(0, tokens - 1), 0, random.pick({infinity, std::nan("")}));
  heldAge = *operands.age;
}

void Case::allocateInputs(const std::function<TensorLayout()> &layout, int64_t granule) {
  rt::DType dtype = toDType(options().elementType);
  operands.query = TestTensor(dtype, queryShape(), layout(), granule);
  operands.key = TestTensor(dtype, keyShape(), layout(), granule);
  operands.value = TestTensor(dtype, keyShape(), layout(), granule);
}

void Case::allocateResults(const std::function<TensorLayout()> &layout, int64_t granule) {
  std::vector<int64_t> shape = queryShape();
  operands.out = TestTensor(toDType(options().elementType), shape, layout(), granule);
  shape.pop_back();
  operands.lse = TestTensor(rt::DType::F32, shape, layout(), granule);
  for (TestTensor *tensor : {&operands.out, &operands.lse})
    tensor->fill([](auto...) { return kHeld; });
  if (program.selectsRows)
    operands.lse.fill([&](int64_t b, int64_t h, int64_t s, int64_t) { return heldLse.at(b, h, s); });
}

/// Deviations are far from the thresholds of random programs, so that every type judges them alike.
static void makeNeighbours(Random &random, TestTensor &tensor, const GridShape &grid) {
  int64_t begin = grid.textFirst ? grid.text : 0, steps[] = {grid.h * grid.w, grid.w, 1};
  int alike = random.pick({20, 60, 90});
  for (int64_t b = 0; b < tensor.view.shape[0]; ++b)
    for (int64_t h = 0; h < tensor.view.shape[1]; ++h)
      for (int64_t token = 0; token < grid.t * grid.h * grid.w; ++token) {
        int64_t places[] = {token / steps[0], token / steps[1] % grid.h, token % grid.w};
        int64_t axis = random.range(0, 2);
        if (places[axis] == 0 || !random.chance(alike))
          continue;
        int64_t different = random.chance(20) ? random.range(0, tensor.width() - 1) : -1;
        for (int64_t c = 0; c < tensor.width(); ++c) {
          double near = tensor.at(b, h, begin + token - steps[axis], c);
          tensor.set(b, h, begin + token, c, near + (c == different ? 2 : random.pick({0.0, 0.02, -0.04})));
        }
      }
}

void Case::makeNeighbours(Random &random) {
  ::makeNeighbours(random, operands.query, options().queryGrid);
  ::makeNeighbours(random, operands.key, options().keyGrid);
}

void Case::fillOperands(Random &random) {
  for (TestTensor *tensor : {&operands.query, &operands.key, &operands.value})
    tensor->fill([&](auto...) { return random.normal(); });
  if (program.usesReuse)
    makeNeighbours(random);
}

void Case::makeOperands(Random &random, const rt::KernelImage &image) {
  makeGivenLists(random, image);
  makeExtras(random);
  allocateInputs([&] {
    return random.pick({TensorLayout::BHSD, TensorLayout::BSHD, TensorLayout::Padded, TensorLayout::Packed,
                        TensorLayout::Reversed, TensorLayout::Broadcast});
  });
  fillOperands(random);
  allocateResults([&] {
    return random.pick(
        {TensorLayout::BHSD, TensorLayout::BSHD, TensorLayout::Padded, TensorLayout::Packed, TensorLayout::Reversed});
  });
}

void Case::makeAlignedOperands(Random &random, const rt::KernelImage &image) {
  makeGivenLists(random, image);
  makeExtras(random);
  auto layout = [&] {
    return random.pick({TensorLayout::BHSD, TensorLayout::BSHD, TensorLayout::Padded, TensorLayout::Packed});
  };
  // Addresses of whole 16 bytes.
  allocateInputs(layout, 8);
  fillOperands(random);
  allocateResults(layout, 8);
}

rt::Result<InterpreterResult> Case::interpret(const std::vector<int64_t> &rows, const rt::GivenLists *selected,
                                              const rt::Choices *choices) const {
  auto context = createContext();
  auto module = buildProgram(*context, program.request);
  if (!module)
    return module.status();
  // The program, not the plan: what the passes do is to be checked too.
  if (rt::Status status = chooseTiles(**module); !status)
    return status;
  InterpreterArgs args;
  args.tensors = {operands.query.view, operands.key.view, operands.value.view};
  args.parameters = program.parameters;
  if (operands.bias)
    args.tensors.push_back(operands.bias->view);
  TestTensor out, lse;
  if (operands.rows || program.selectsRows) {
    out = TestTensor(operands.out.view.dtype, operands.out.view.shape, TensorLayout::BHSD);
    lse = TestTensor(rt::DType::F32, operands.lse.view.shape, TensorLayout::BHSD);
    for (TestTensor *tensor : {&out, &lse})
      tensor->fill([](auto...) { return kHeld; });
    args.tensors.push_back(out.view);
    args.tensors.push_back(program.selectsRows ? heldLse.view : lse.view);
  }
  if (operands.rows)
    args.rowLists.push_back(operands.rows->view());
  if (program.selectsRows)
    args.tensors.push_back(perToken(*operands.drift)), args.tensors.push_back(perToken(heldAge));
  if (operands.given)
    args.given.push_back(*operands.given);
  args.rows = rows;
  args.selected = selected, args.choices = choices;
  auto result = weft::interpret(kernelOf(**module), args);
  if (mlir::failed(result))
    return rt::Status::error("the interpreter failed");
  return *result;
}

std::string Case::describe() const {
  return fmt::format("batch {}, parameters [{}]\n{}", batch, fmt::join(program.parameters, ", "),
                     test::describe(program.request));
}

std::vector<int64_t> test::chooseRows(const Case &test) {
  int64_t tokens = test.options().queryGrid.tokens();
  int64_t perRow = test.batch * test.options().heads * test.options().keyGrid.tokens() * test.options().headDim;
  int64_t count = std::clamp<int64_t>(15'000'000 / perRow, 1, tokens);
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i)
    rows.push_back(i * tokens / count);
  return rows;
}

Tolerance test::toleranceOf(ElementType type) {
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

static bool isCloseLse(double actual, double expected, double tolerance) {
  if (!std::isfinite(expected))
    return actual == expected || (std::isnan(actual) && std::isnan(expected));
  return std::abs(actual - expected) <= tolerance * std::max(1.0, std::abs(expected));
}

std::string test::compareRows(const Operands &operands, const InterpreterResult &expected,
                              const std::vector<int64_t> &rows, Tolerance tolerance) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const TestTensor &out = operands.out, &lse = operands.lse;
  double difference = 0, reference = 0;
  int64_t width = out.width();
  for (int64_t b = 0; b < out.view.shape[0]; ++b)
    for (int64_t h = 0; h < out.view.shape[1]; ++h)
      for (size_t i = 0; i < rows.size(); ++i) {
        int64_t at = (b * out.view.shape[1] + h) * rows.size() + i;
        double expectedLse = expected.lse.data[at], actualLse = lse.at(b, h, rows[i]);
        if (!isCloseLse(actualLse, expectedLse, tolerance.lse))
          return fmt::format("lse of batch {} head {} row {}: expected {}, but got {}", b, h, rows[i], expectedLse,
                             actualLse);
        bool isEmpty = expectedLse == -infinity;
        for (int64_t c = 0; c < width; ++c) {
          double value = out.at(b, h, rows[i], c), wanted = expected.out.data[at * width + c];
          if (std::isnan(wanted) && std::isnan(value))
            continue;
          if (!std::isfinite(value) || !std::isfinite(wanted) || (isEmpty && value != wanted))
            return fmt::format("out of batch {} head {} row {} channel {}: expected {}, but got {}", b, h, rows[i], c,
                               wanted, value);
          difference += (value - wanted) * (value - wanted), reference += wanted * wanted;
        }
      }
  double relative = difference == 0 ? 0 : std::sqrt(difference / reference);
  return relative <= tolerance.out ? "" : fmt::format("out: relative error {}", relative);
}

std::string test::compareWithInterpreter(const Case &test, const rt::GivenLists *selected,
                                         const rt::Choices *choices) {
  std::vector<int64_t> rows = chooseRows(test);
  auto expected = test.interpret(rows, selected, choices);
  if (!expected)
    return "interpretation: " + expected.message();
  return compareRows(test.operands, *expected, rows, toleranceOf(test.options().elementType));
}

std::string test::compareSelection(const Case &test, const rt::OwnedRowLists &rows,
                                   const InterpreterResult &expected) {
  if (expected.selectedRows.size() != 1)
    return "expected rows of the interpreter";
  if (rows.counts != expected.selectedRows.front().counts || rows.indices != expected.selectedRows.front().indices)
    return "the kernel selects other rows than the interpreter";
  const TestTensor &age = *test.operands.age;
  for (int64_t b = 0; b < test.batch; ++b)
    for (int64_t i = 0; i < age.view.shape[2]; ++i)
      if (age.at(b, 0, i) != expected.age.at({b, i}))
        return fmt::format("age of batch {} token {}: expected {}, but got {}", b, i, expected.age.at({b, i}),
                           age.at(b, 0, i));
  return "";
}
