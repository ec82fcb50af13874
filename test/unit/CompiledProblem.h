// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A program of one attention that is compiled, with the operands of a call, for tests that look at one clause.

#ifndef WEFT_TEST_UNIT_COMPILEDPROBLEM_H
#define WEFT_TEST_UNIT_COMPILEDPROBLEM_H

#include "lib/Compiler/Compiler.h"
#include "test/unit/Differential.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <optional>

namespace weft::test {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Shape {
  GridShape grid = {3, 8, 16, 0, false};
  int64_t heads = 2, headDim = 32, block = 64, batch = 1;
  ElementType type = ElementType::F32;
  /// If keys have another grid than queries.
  std::optional<GridShape> keyGrid = std::nullopt;
};

/// The request for `attention a...`, of which `attention` is what follows the name.
inline CompileRequest requestOf(const std::string &attention, const Shape &shape) {
  CompileRequest request;
  request.source = "attention a" + attention;
  GenerateOptions &options = request.options;
  options.queryGrid = shape.grid, options.keyGrid = shape.keyGrid.value_or(shape.grid);
  options.heads = shape.heads, options.headDim = shape.headDim, options.block = shape.block;
  options.elementType = shape.type;
  return request;
}

/// Floats as a call's parameters.
inline std::vector<int64_t> bitsOf(const std::vector<double> &floats) {
  std::vector<int64_t> bits;
  for (double value : floats)
    bits.push_back(std::bit_cast<int64_t>(value));
  return bits;
}

/// A kernel for the CPU, its program and operands of a call.
struct CompiledProblem {
  Shape shape;
  Case test;
  std::shared_ptr<const rt::Kernel> kernel;

  CompiledProblem(const std::string &attention, const Shape &shape, std::vector<int64_t> parameters,
                  TensorLayout layout = TensorLayout::BHSD)
      : shape(shape) {
    test.program.request = requestOf(attention, shape), test.batch = shape.batch;
    test.program.parameters = std::move(parameters);
    KernelResult compiled = compileKernel(test.program.request);
    EXPECT_TRUE(compiled) << compiled.message();
    kernel = *compiled;
    test.program.usesBias = kernel->image().hasBias, test.program.usesRows = kernel->image().hasRows;
    test.allocateInputs([&] { return layout; }), test.allocateResults([&] { return layout; });
  }

  void fill(const std::function<double()> &number) {
    for (TestTensor *tensor : {&test.operands.query, &test.operands.key, &test.operands.value})
      tensor->fill([&](auto...) { return number(); });
  }
  void fillNormal(uint64_t seed) {
    Random random(seed);
    fill([&] { return random.normal(); });
  }
  void fillIntegers(uint64_t seed) {
    Random random(seed);
    fill([&] { return static_cast<double>(random.range(-2, 2)); });
  }
  /// With a bias and rows, if the attention takes them, and neighbours that are alike, as reuse looks for.
  void fillNeighbours(uint64_t seed) {
    test.program.usesReuse = true;
    Random random(seed);
    test.makeExtras(random);
    fill([&] { return random.normal(); });
    test.makeNeighbours(random);
  }

  Operands &operands() { return test.operands; }

  rt::RunArgs args(int threads = 2) const {
    rt::RunArgs args = test.operands.args(threads);
    args.parameters = test.program.parameters;
    return args;
  }
};

} // namespace weft::test

#endif // WEFT_TEST_UNIT_COMPILEDPROBLEM_H
