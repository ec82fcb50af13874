// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Comparing and counting.

#include "tools/weft-run/Measure.h"

#include "dialect/WeftDialect.h"

#include "mlir/IR/Diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace weft;

/// "FILE:LINE:COLUMN: error: MESSAGE".
static std::string describe(mlir::Diagnostic &diagnostic) {
  auto place = diagnostic.getLocation()->findInstanceOf<mlir::FileLineColRange>();
  if (!place)
    return diagnostic.str();
  return fmt::format("{}:{}:{}: error: {}", place.getFilename().getValue().str(), place.getStartLine(),
                     place.getStartColumn(), diagnostic.str());
}

rt::Result<InterpreterResult> weft::runInterpreter(const CompileRequest &request, const Inputs &inputs,
                                                   const rt::GivenLists *given, const std::vector<int64_t> &rows,
                                                   const rt::Choices *choices, ScoreReuse reuse) {
  auto context = createContext();
  auto module = buildProgram(*context, request);
  if (!module)
    return module.status();
  if (reuse == ScoreReuse::LeftOut)
    (*module)->walk([](SnapOp op) {
      op.replaceAllUsesWith(op.getOperand());
      op.erase();
    });
  // Lists count in the partition of the chosen tiles, so the interpreter runs the plan where there are some.
  bool predicts = false;
  (*module)->walk([&](BlockMeansOp) { predicts = true; });
  if (given || predicts)
    if (rt::Status status = lowerToPlan(**module); !status)
      return status;
  InterpreterArgs args;
  args.tensors = {inputs.query.view, inputs.key.view, inputs.value.view};
  if (inputs.bias)
    args.tensors.push_back(inputs.bias->view);
  if (inputs.cache)
    args.tensors.push_back(inputs.cache->out.view), args.tensors.push_back(inputs.cache->lse.view);
  bool selectsRows = inputs.cache && inputs.cache->age;
  auto noDrift = OwnedTensor::allocate(rt::DType::F32, {inputs.query.view.shape[0], inputs.query.view.shape[2]});
  if (!noDrift)
    return noDrift.status();
  if (selectsRows)
    args.tensors.push_back((inputs.drift ? *inputs.drift : *noDrift).view),
        args.tensors.push_back(inputs.cache->age->view);
  rt::RowLists rowLists;
  if (inputs.rows)
    rowLists = inputs.rows->view();
  if (inputs.rows && selectsRows)
    args.selectedRows = &rowLists;
  else if (inputs.rows)
    args.rowLists.push_back(rowLists);
  if (given && predicts)
    args.selected = given;
  else if (given)
    args.given.push_back(*given);
  args.rows = rows, args.choices = choices;
  auto function = *(*module)->getOps<mlir::func::FuncOp>().begin();
  std::string message = "expected a program that the interpreter can run";
  mlir::ScopedDiagnosticHandler handler(context.get(), [&](mlir::Diagnostic &diagnostic) {
    message = describe(diagnostic);
    return mlir::success();
  });
  mlir::FailureOr<InterpreterResult> result = interpret(function, args);
  if (mlir::failed(result))
    return rt::Status::error(message);
  return std::move(*result);
}

std::vector<int64_t> weft::sampleRows(int64_t tokens, int64_t count) {
  std::vector<int64_t> rows;
  count = std::clamp<int64_t>(count, 1, tokens);
  for (int64_t i = 0; i < count; ++i)
    rows.push_back(count == 1 ? 0 : i * (tokens - 1) / (count - 1));
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

namespace {

/// Sums of squares of the difference and of the reference. Equal non-finite values differ by nothing.
struct ErrorSum {
  double difference = 0, reference = 0;
  void add(double value, double expected) {
    bool same = value == expected || (std::isnan(value) && std::isnan(expected));
    double delta = same ? 0 : value - expected;
    difference += delta * delta;
    if (std::isfinite(expected))
      reference += expected * expected;
  }
  double relative() const {
    if (difference == 0)
      return 0;
    return reference == 0 ? std::numeric_limits<double>::infinity() : std::abs(std::sqrt(difference / reference));
  }
};

} // namespace

double weft::relativeError(const rt::Tensor &a, const DoubleTensor &reference, const std::vector<int64_t> &rows) {
  ErrorSum sum;
  size_t next = 0;
  for (int64_t b = 0; b < a.shape[0]; ++b)
    for (int64_t h = 0; h < a.shape[1]; ++h)
      for (int64_t row : rows)
        for (int64_t c = 0; c < a.shape[3]; ++c) {
          int64_t offset = b * a.strides[0] + h * a.strides[1] + row * a.strides[2] + c * a.strides[3];
          sum.add(rt::loadAsDouble(a.data, a.dtype, offset), reference.data[next++]);
        }
  return sum.relative();
}

double weft::relativeError(const rt::Tensor &a, const rt::Tensor &reference, const rt::RowLists *rows) {
  std::vector<int32_t> tokens(a.shape[2]);
  std::iota(tokens.begin(), tokens.end(), 0);
  ErrorSum sum;
  for (int64_t b = 0; b < a.shape[0]; ++b)
    for (int64_t h = 0; h < a.shape[1]; ++h)
      for (int32_t token : rows ? rows->tokensOf(rows->setOf(b, h)) : tokens)
        for (int64_t c = 0; c < a.shape[3]; ++c) {
          int64_t i = ((b * a.shape[1] + h) * a.shape[2] + token) * a.shape[3] + c;
          sum.add(rt::loadAsDouble(a.data, a.dtype, i), rt::loadAsDouble(reference.data, reference.dtype, i));
        }
  return sum.relative();
}

int64_t weft::countRows(const rt::RowLists &rows) {
  int64_t count = 0;
  for (int64_t set = 0; set < rows.sets(); ++set)
    count += static_cast<int64_t>(rows.tokensOf(set).size());
  return count;
}

double weft::visitedDensity(const rt::KernelImage &image, const rt::BlockLists &lists) {
  const rt::TokenBlocks &query = image.query, &key = image.key;
  double visited = 0;
  for (int64_t set = 0; set < lists.lists; ++set)
    for (int64_t i = 0; i < lists.queryBlocks; ++i) {
      const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + i;
      double rows = query.offsets[i + 1] - query.offsets[i];
      for (int32_t e = offsets[0]; e < offsets[1]; ++e) {
        int32_t block = lists.entries[lists.starts[set] + e] >> 2;
        visited += rows * (key.offsets[block + 1] - key.offsets[block]);
      }
    }
  return visited / (static_cast<double>(lists.lists) * query.tokens * key.tokens);
}

rt::Result<OwnedTensor> weft::blockMap(const rt::BlockLists &lists) {
  auto map = OwnedTensor::allocate(rt::DType::U8, {lists.lists, lists.queryBlocks, lists.keyBlocks});
  if (!map)
    return map;
  auto *bytes = static_cast<uint8_t *>(map->view.data);
  for (int64_t set = 0; set < lists.lists; ++set)
    for (int64_t i = 0; i < lists.queryBlocks; ++i) {
      const int32_t *offsets = lists.offsets.data() + set * (lists.queryBlocks + 1) + i;
      for (int32_t e = offsets[0]; e < offsets[1]; ++e) {
        int32_t entry = lists.entries[lists.starts[set] + e];
        bytes[(set * lists.queryBlocks + i) * lists.keyBlocks + (entry >> 2)] =
            entry & rt::BlockLists::kPartial ? 1 : 2;
      }
    }
  return map;
}
