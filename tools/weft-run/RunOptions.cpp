// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Declaring and checking weft-run's options.

#include "tools/weft-run/RunOptions.h"

#include "lib/TensorFile/FileIO.h"

#include "llvm/ADT/StringSwitch.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>

using namespace llvm;
using namespace weft;

RunOptions::RunOptions()
    : category("weft-run options"), tool("weft-run", category),
      backend("backend",
              cl::desc("what runs the program: cpu or cuda, the just-in-time compiled kernel; interpreter, double "
                       "precision and slow"),
              cl::init("cpu"), cl::value_desc("NAME"), cl::cat(category)),
      check("check", cl::desc("compare sampled rows with the interpreter; =dense: also with dense attention"),
            cl::ValueOptional, cl::value_desc("NAME"), cl::cat(category)),
      input("input", cl::desc(".safetensors with q, k and v, or Q.npy,K.npy,V.npy; random tensors if not given"),
            cl::value_desc("FILE"), cl::cat(category)),
      output("output", cl::desc(".safetensors for out and lse"), cl::value_desc("FILE"), cl::cat(category)),
      bias("bias", cl::desc(".npy with the f32 bias [batch or 1, heads or 1, key tokens] of `bias given`, or random"),
           cl::value_desc("FILE"), cl::cat(category)),
      given("given", cl::desc(".npy with the block lists of a mask that uses `given`"), cl::value_desc("FILE"),
            cl::cat(category)),
      rows("rows",
           cl::desc(".npy with the map [batch or 1, heads or 1, query tokens] of `rows given`, 1 for rows to compute; or "
                    "their share, from 0 to 1, for random ones"),
           cl::value_desc("FILE"), cl::cat(category)),
      cache("cache",
            cl::desc(".safetensors with out and lse of the last call of an attention with rows, and age if it selects "
                     "them, as --output writes them; or random; zeros if not given"),
            cl::value_desc("FILE"), cl::cat(category)),
      drift("drift",
            cl::desc(".npy with the f32 drift [batch, query tokens] that rows are selected by, or random"),
            cl::value_desc("FILE"), cl::cat(category)),
      map("map", cl::desc(".npy for the block map: 0 empty, 1 partial, 2 full"), cl::value_desc("FILE"),
          cl::cat(category)),
      json("json", cl::desc("write the figures as JSON; - is standard output"), cl::ValueOptional,
           cl::value_desc("FILE"), cl::cat(category)),
      bshd("bshd", cl::desc("the file's tensors are [batch, tokens, heads, head dim]"), cl::cat(category)),
      repeat("repeat", "timed calls, of which the median counts", 3, category),
      checkRows("check-rows", "rows per head that --check samples", 64, category),
      batch("batch", "batch of random tensors", 1, category),
      seed("seed", "seed of random tensors and rows", 1, category) {}

std::optional<double> RunOptions::rowShare() const {
  double share = 0;
  if (rows.empty() || StringRef(rows).getAsDouble(share))
    return std::nullopt;
  return share;
}

rt::Result<RunPlan> RunOptions::parse() const {
  auto parsedBackend = StringSwitch<std::optional<Backend>>(backend)
                           .Case("cpu", Backend::CPU)
                           .Case("cuda", Backend::CUDA)
                           .Case("interpreter", Backend::Interpreter)
                           .Default(std::nullopt);
  if (!parsedBackend)
    return rt::Status::error(fmt::format("--backend: expected cpu, cuda or interpreter, but got '{}'", backend.getValue()));
  if (!check.getNumOccurrences())
    return RunPlan{*parsedBackend, Check::None};
  auto parsedCheck = StringSwitch<std::optional<Check>>(check)
                         .Cases({"", "interpreter"}, Check::Interpreter)
                         .Case("dense", Check::Dense)
                         .Default(std::nullopt);
  if (!parsedCheck)
    return rt::Status::error(fmt::format("--check: expected interpreter or dense, but got '{}'", check.getValue()));
  return RunPlan{*parsedBackend, *parsedCheck};
}

using OptionRefs = std::vector<std::reference_wrapper<const cl::Option>>;

static rt::Status checkUnused(const OptionRefs &options, const std::string &reason) {
  for (const cl::Option &option : options)
    if (option.getNumOccurrences())
      return noEffect(option, reason);
  return rt::Status::ok();
}

rt::Status RunOptions::checkUse(const RunPlan &plan) const {
  const OptionRefs ofKernels = {check, map, repeat, tool.target};
  if (plan.backend == Backend::Interpreter)
    if (rt::Status status = checkUnused(ofKernels, "with --backend=interpreter"); !status)
      return status;
  if (plan.check == Check::None)
    if (rt::Status status = checkUnused({checkRows}, "without --check"); !status)
      return status;
  OptionRefs ofRandomTensors = {batch};
  if (!rowShare() && !hasRandomBias() && !hasRandomCache() && !hasRandomDrift())
    ofRandomTensors.push_back(seed);
  if (rt::Status status = input.empty() ? checkUnused({bshd}, "without --input")
                                        : checkUnused(ofRandomTensors, "with --input");
      !status)
    return status;
  if (std::optional<double> share = rowShare(); share && !(*share >= 0 && *share <= 1))
    return rt::Status::error(fmt::format("--rows: expected a share from 0 to 1, but got {}", rows.getValue()));
  for (const NumberOption<int64_t> *count : {&repeat, &checkRows, &batch})
    if (rt::Status status = checkAtLeast(*count, *count, 1); !status)
      return status;
  return rt::Status::ok();
}

rt::Status RunOptions::checkRowUse(bool withRows, bool selectsRows) const {
  if (!withRows)
    if (rt::Status status = checkUnused({cache}, "on an attention that computes all rows"); !status)
      return status;
  if (!selectsRows)
    return checkUnused({drift}, "on an attention that does not select rows");
  if (drift.empty() && rows.empty())
    return rt::Status::error("--drift: expected a file or random, since the attention selects rows by it");
  return rt::Status::ok();
}

rt::Result<RunPlan> RunOptions::plan() const {
  auto result = parse();
  if (!result)
    return result;
  rt::Status status = checkUse(*result);
  return status ? result : rt::Result<RunPlan>(status);
}

std::vector<RunOptions::NamedPath> RunOptions::inputPaths() const {
  std::vector<NamedPath> paths = {{"the program", tool.file}};
  SmallVector<StringRef> parts;
  StringRef(input).split(parts, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  for (StringRef part : parts)
    paths.push_back({"--input", part.str()});
  if (!given.empty())
    paths.push_back({"--given", given});
  if (!bias.empty() && !hasRandomBias())
    paths.push_back({"--bias", bias});
  if (!rows.empty() && !rowShare())
    paths.push_back({"--rows", rows});
  if (!cache.empty() && !hasRandomCache())
    paths.push_back({"--cache", cache});
  if (!drift.empty() && !hasRandomDrift())
    paths.push_back({"--drift", drift});
  return paths;
}

std::vector<RunOptions::NamedPath> RunOptions::outputPaths() const {
  std::vector<NamedPath> paths;
  if (!output.empty())
    paths.push_back({"--output", output});
  if (!map.empty())
    paths.push_back({"--map", map});
  if (!json.empty() && json != "-")
    paths.push_back({"--json", json});
  return paths;
}

rt::Status RunOptions::checkExtension(const NamedPath &output) {
  std::string extension = std::filesystem::path(output.path).extension().string();
  bool isRight = output.option == "--json" || extension == ".safetensors" ||
                 (output.option == "--map" && extension == ".npy");
  if (isRight)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("{}: expected a file name for {} that ends in .safetensors{}", output.path,
                                       output.option, output.option == "--map" ? " or .npy" : ""));
}

rt::Status RunOptions::checkOutputs() const {
  std::vector<NamedPath> taken = inputPaths();
  for (const NamedPath &path : outputPaths()) {
    for (const NamedPath &other : taken)
      if (isSameFile(path.path, other.path))
        return rt::Status::error(
            fmt::format("{}: expected another file than {}, but got '{}'", path.option, other.option, path.path));
    if (rt::Status status = checkExtension(path); !status)
      return status;
    if (rt::Status status = checkWritable(path.path); !status)
      return status;
    taken.push_back(path);
  }
  return rt::Status::ok();
}
