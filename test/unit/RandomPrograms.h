// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Random programs for tests, and their masks pair by pair.

#ifndef WEFT_TEST_UNIT_RANDOMPROGRAMS_H
#define WEFT_TEST_UNIT_RANDOMPROGRAMS_H

#include "lib/Compiler/Stages.h"
#include "lib/Frontend/StaticEvaluator.h"
#include "runtime/BlockLists.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <functional>
#include <random>
#include <string>
#include <vector>

namespace weft::test {

/// WEFT_TEST_SEED if it is set, else a fixed number.
uint64_t testSeed();

/// Seed `index` of a test that starts at `seed`; the first is `seed` itself.
uint64_t seedOf(uint64_t seed, int64_t index);

/// Random choices that are the same on every machine.
class Random {
public:
  explicit Random(uint64_t seed) : engine(seed) {}

  /// From `low` to `high`, both included.
  int64_t range(int64_t low, int64_t high) { return low + static_cast<int64_t>(engine() % (high - low + 1)); }
  bool chance(int percent) { return range(0, 99) < percent; }
  template <typename T> T pick(std::initializer_list<T> choices) {
    return choices.begin()[range(0, choices.size() - 1)];
  }
  template <typename T> const T &pick(const std::vector<T> &choices) { return choices[range(0, choices.size() - 1)]; }
  /// About normally distributed with variance 1.
  double normal();

private:
  std::mt19937_64 engine;
};

/// A request for a random .weft program, and values for its dynamic parameters.
struct RandomProgram {
  CompileRequest request;
  std::vector<int64_t> parameters;
  bool usesGiven = false, usesBias = false, usesRows = false, selectsRows = false, isPredicted = false;
  bool usesReuse = false, isRecognized = false;
};

struct ProgramLimits {
  int64_t maxTokens = 400;
  /// In percent of the programs.
  int given = 20, rectangular = 20, dynamic = 40, bias = 0, rows = 0, selectedRows = 0, predicted = 0, reuse = 0;
  int recognized = 0, sorted = 0;
  /// Tokens of a box of `order tiles(..)`, as far as it lies in the grids.
  int64_t maxBox = maxTileTokens;
  /// Of the attention.
  std::string name = "a";
};

RandomProgram makeProgram(Random &random, const ProgramLimits &limits = ProgramLimits());

/// A grid of at most `maxTokens` tokens with odd, prime and short extents.
GridShape makeGrid(Random &random, int64_t maxTokens);

/// Other values for the dynamic parameters of a program: i1 where `isBool`, else i32.
int64_t makeParameter(Random &random, bool isBool);

/// Random lists: one set or one per head.
rt::GivenLists makeGiven(Random &random, int64_t heads, int64_t queryBlocks, int64_t keyBlocks);

/// Lists that hold every pair of blocks, or none.
rt::GivenLists makeUniformGiven(int64_t queryBlocks, int64_t keyBlocks, bool held);

/// The request as text, for messages.
std::string describe(const CompileRequest &request);

/// The kernel function of a module.
mlir::func::FuncOp kernelOf(mlir::ModuleOp module);

/// Chooses the tiles that `order tiles` leaves open, and nothing else.
rt::Status chooseTiles(mlir::ModuleOp module);

/// Whether a pair of tokens is in a mask.
using PairFunction = std::function<bool(int64_t head, int32_t query, int32_t key)>;

/// The mask of a program's attention, by the interpreter. Orders must be chosen; `given` may be null, and must outlive
/// the result as the module must.
PairFunction maskOfProgram(mlir::func::FuncOp function, const std::vector<int64_t> &parameters,
                           const rt::GivenLists *given);

/// The same of a plan's block attention, from its lists and its region.
PairFunction maskOfPlan(mlir::func::FuncOp function, const std::vector<int64_t> &parameters,
                        const rt::GivenLists *given);

} // namespace weft::test

#endif // WEFT_TEST_UNIT_RANDOMPROGRAMS_H
