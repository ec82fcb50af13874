// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A compiled program on a backend, as weft-run runs it.

#ifndef WEFT_TOOLS_WEFT_RUN_EXECUTABLE_H
#define WEFT_TOOLS_WEFT_RUN_EXECUTABLE_H

#include "lib/Compiler/Compiler.h"
#include "lib/TensorFile/TensorFile.h"
#include "tools/weft-run/Inputs.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weft {

/// What a call left in its results, and the rows that it selected if it selects any; the time of the first call, the
/// times of those after it in order, and their median.
struct Run {
  Results results;
  std::optional<rt::OwnedRowLists> selectedRows;
  double firstMilliseconds = 0;
  std::vector<double> times;
  double milliseconds = 0;
  /// What a GPU predicted and recognized.
  std::optional<rt::GivenLists> predicted = {};
  std::optional<rt::Choices> choices = {};
};

/// A kernel that runs on tensors of the host.
class Executable {
public:
  virtual ~Executable() = default;

  virtual const rt::KernelImage &image() const = 0;
  /// The name of the GPU that runs the kernel; empty if none does.
  virtual std::string device() const = 0;
  /// Calls the kernel once to warm up and `repeat` times, at least 1, for the median. Every call begins with what the
  /// inputs have kept.
  virtual rt::Result<Run> run(const Inputs &inputs, const rt::GivenLists *given, int repeat) const = 0;
  /// The lists that a call visits, for what it recognized; null where it is to be recognized again.
  virtual rt::Result<std::shared_ptr<const rt::BlockLists>> resolveLists(const Inputs &inputs,
                                                                         const rt::GivenLists *given,
                                                                         const rt::Choices *choices) const = 0;
  /// What the reuse of scores saves; nothing for a kernel without reuse.
  virtual rt::Result<std::optional<rt::ReuseSaving>> measureReuse(const Inputs &inputs,
                                                                  const rt::GivenLists *given) const {
    return std::optional<rt::ReuseSaving>();
  }
  /// The same of every token, for each batch element and head.
  virtual rt::Result<std::optional<std::vector<rt::TokenReuse>>> measureTokenReuse(const Inputs &inputs,
                                                                                   const rt::GivenLists *given) const {
    return std::optional<std::vector<rt::TokenReuse>>();
  }
  /// The lists that a predicted mask selects; nothing of a mask that predicts none.
  virtual rt::Result<std::optional<rt::GivenLists>> predict(const Inputs &inputs) const {
    return std::optional<rt::GivenLists>();
  }
  /// The candidate that each batch element and head takes, if the mask recognizes heads and a run does not say it.
  virtual rt::Result<std::optional<rt::Choices>> recognize(const Inputs &inputs) const {
    return std::optional<rt::Choices>();
  }
};

enum class KernelBackend { CPU, CUDA };

/// A compiled request, and how long that took: with CUDA to PTX and, by the driver, to machine code.
struct TimedExecutable {
  std::unique_ptr<Executable> executable;
  double milliseconds = 0;
};
rt::Result<TimedExecutable> compileTimed(const CompileRequest &request, KernelBackend backend);

} // namespace weft

#endif // WEFT_TOOLS_WEFT_RUN_EXECUTABLE_H
