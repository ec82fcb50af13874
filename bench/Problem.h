// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the benchmarks share: requests, tensors and the count of a call's operations.

#ifndef WEFT_BENCH_PROBLEM_H
#define WEFT_BENCH_PROBLEM_H

#include "lib/Compiler/Compiler.h"
#include "lib/TensorFile/TensorFile.h"

#include <cstdint>
#include <string>

namespace weft::bench {

/// The request for examples/NAME.weft on one grid; exits if there is no such file.
CompileRequest exampleRequest(const std::string &name, GridShape grid);
/// A method of lib/Methods by its file's name.
CompileRequest methodRequest(const std::string &name, GridShape grid);

/// The request for a program's text.
CompileRequest textRequest(const std::string &source, GridShape grid);

/// Tensors for a kernel with a batch of one: uniform random inputs, a bias and rows if it takes them, and memory for the
/// results.
struct Operands {
  OwnedTensor query, key, value, out, lse, bias, rowIndices, rowCounts;
  rt::RowLists rows;
  explicit Operands(const rt::KernelImage &image, uint64_t seed = 1);
  /// Lists a share of the tokens at random, the same for all heads. At first all are listed.
  void listRows(double share, uint64_t seed = 1);
  /// A call with these operands, to which it refers.
  rt::RunArgs args(int threads, const rt::GivenLists *given = nullptr) const;
};

/// Lists in which every query block names the same number of random key blocks: the share `density`, rounded.
rt::GivenLists randomLists(const rt::KernelImage &image, double density, uint64_t seed = 1);

/// Random lists in which every tenth query block names all key blocks and the others 15 % of them.
rt::GivenLists unevenLists(const rt::KernelImage &image, uint64_t seed = 1);

/// Lists in which `count` query blocks, spread evenly, name all key blocks and the others none.
rt::GivenLists sparseRows(const rt::KernelImage &image, int64_t count);

/// Pairs of tokens in the visited blocks, over all heads.
double countVisitedPairs(const rt::KernelImage &image, const rt::BlockLists &lists);

} // namespace weft::bench

#endif // WEFT_BENCH_PROBLEM_H
