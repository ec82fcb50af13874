// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Errors of a run, and what it visits.

#ifndef WEFT_TOOLS_WEFT_RUN_MEASURE_H
#define WEFT_TOOLS_WEFT_RUN_MEASURE_H

#include "lib/Compiler/Compiler.h"
#include "lib/Interpreter/Interpreter.h"
#include "lib/TensorFile/TensorFile.h"
#include "tools/weft-run/Inputs.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace weft {

enum class ScoreReuse { AsWritten, LeftOut };

/// The interpreter's result for a request on these inputs; all rows if `rows` is empty. `choices` are taken instead of
/// recognizing heads. `reuse` says whether the program's reuse of scores counts.
rt::Result<InterpreterResult> runInterpreter(const CompileRequest &request, const Inputs &inputs,
                                             const rt::GivenLists *given, const std::vector<int64_t> &rows,
                                             const rt::Choices *choices = nullptr,
                                             ScoreReuse reuse = ScoreReuse::AsWritten);

/// `count` distinct positions below `tokens`, the first and the last among them, in ascending order.
std::vector<int64_t> sampleRows(int64_t tokens, int64_t count);

/// |a - reference| / |reference| in the Euclidean norm, over sampled rows of `a`.
double relativeError(const rt::Tensor &a, const DoubleTensor &reference, const std::vector<int64_t> &rows);
/// The same for two contiguous tensors of one shape, in the listed rows or all.
double relativeError(const rt::Tensor &a, const rt::Tensor &reference, const rt::RowLists *rows);

/// Listed rows of all sets.
int64_t countRows(const rt::RowLists &rows);

/// Visited pairs of tokens over all pairs, whole blocks counted as visited.
double visitedDensity(const rt::KernelImage &image, const rt::BlockLists &lists);

/// uint8 [sets, query blocks, key blocks]: 0 empty, 1 partial, 2 full.
rt::Result<OwnedTensor> blockMap(const rt::BlockLists &lists);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_MEASURE_H
