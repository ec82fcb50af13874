// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Results of kernels against the interpreter: operands for a program, and what counts as equal.

#ifndef WEFT_TEST_UNIT_DIFFERENTIAL_H
#define WEFT_TEST_UNIT_DIFFERENTIAL_H

#include "lib/Interpreter/Interpreter.h"
#include "test/unit/Operands.h"
#include "test/unit/RandomPrograms.h"

#include <functional>
#include <string>
#include <vector>

namespace weft::test {

rt::DType toDType(ElementType type);

/// A program with its operands.
struct Case {
  RandomProgram program;
  int64_t batch = 1;
  Operands operands;
  /// What lse and age hold before a call that selects rows.
  TestTensor heldLse, heldAge;

  const GenerateOptions &options() const { return program.request.options; }
  std::vector<int64_t> queryShape() const;
  std::vector<int64_t> keyShape() const;

  /// Random lists for the kernel's blocks, if the program uses `given`.
  void makeGivenLists(Random &random, const rt::KernelImage &image);
  /// A random bias, random rows, and what rows are selected by, if the program uses them.
  void makeExtras(Random &random);
  void makeRowState(Random &random);
  /// Memory for query, key and value, and for out and lse. Where rows begin is a multiple of `granule` elements.
  void allocateInputs(const std::function<TensorLayout()> &layout, int64_t granule = 1);
  void allocateResults(const std::function<TensorLayout()> &layout, int64_t granule = 1);
  /// What out and lse hold before a call, so that rows which are not computed can be told.
  static constexpr double kHeld = 7.25;
  /// Gives many video tokens almost the values of a neighbour, as reuse looks for.
  void makeNeighbours(Random &random);
  /// All of that with random layouts and random numbers.
  void makeOperands(Random &random, const rt::KernelImage &image);
  /// With layouts that GPUs take.
  void makeAlignedOperands(Random &random, const rt::KernelImage &image);

  /// The program's results by definition; its rows are some of the query's tokens.
  rt::Result<InterpreterResult> interpret(const std::vector<int64_t> &rows,
                                          const rt::GivenLists *selected = nullptr,
                                          const rt::Choices *choices = nullptr) const;
  /// The program and the call as text, for messages.
  std::string describe() const;

private:
  /// Random numbers for query, key and value.
  void fillOperands(Random &random);
};

/// Random rows in random order, for sets [batch or 1, heads or 1].
TestRows makeRows(Random &random, std::vector<int64_t> shape, int64_t tokens);

/// Rows spread over all tokens, so many that the interpreter needs few milliseconds.
std::vector<int64_t> chooseRows(const Case &test);

struct Tolerance {
  double out, lse;
};

Tolerance toleranceOf(ElementType type);

/// What differs between the results in `operands` and the expected ones; empty if nothing does. NaN equals NaN.
std::string compareRows(const Operands &operands, const InterpreterResult &expected, const std::vector<int64_t> &rows,
                        Tolerance tolerance);

/// The same against the interpreter, on chosen rows and with the tolerance of the element type.
std::string compareWithInterpreter(const Case &test, const rt::GivenLists *selected = nullptr,
                                   const rt::Choices *choices = nullptr);

/// What differs between rows that were selected, with the ages that the call left in `test`, and the interpreter's; empty
/// if nothing does.
std::string compareSelection(const Case &test, const rt::OwnedRowLists &rows, const InterpreterResult &expected);

} // namespace weft::test

#endif // WEFT_TEST_UNIT_DIFFERENTIAL_H
