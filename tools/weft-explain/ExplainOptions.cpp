// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Declaring and checking weft-explain's options.

#include "tools/weft-explain/ExplainOptions.h"

#include "codegen/CUDA/Pipeline.h"
#include "lib/TensorFile/FileIO.h"

#include <fmt/format.h>

using namespace llvm;
using namespace weft;

ExplainOptions::ExplainOptions()
    : category("weft-explain options"), tool("weft-explain", category),
      input("input",
            cl::desc(".safetensors with q, k and v, or Q.npy,K.npy,V.npy: adds the recall and the run time"),
            cl::value_desc("FILE"), cl::cat(category)),
      given("given", cl::desc(".npy with the block lists of a mask that uses `given`"), cl::value_desc("FILE"),
            cl::cat(category)),
      bias("bias",
           cl::desc(".npy with the f32 bias [batch or 1, heads or 1, key tokens] of `bias given`; zeros if not given"),
           cl::value_desc("FILE"), cl::cat(category)),
      json("json", cl::desc("write the figures as JSON; - is standard output"), cl::value_desc("FILE"),
           cl::cat(category)),
      svg("svg", cl::desc("write the block map as a picture"), cl::value_desc("FILE"), cl::cat(category)),
      png("png", cl::desc("the same as PNG"), cl::value_desc("FILE"), cl::cat(category)),
      savings("savings", cl::desc("write what each token of each frame saves as a picture, .svg or .png"),
              cl::value_desc("FILE"), cl::cat(category)),
      bshd("bshd", cl::desc("the file's tensors are [batch, tokens, heads, head dim]"), cl::cat(category)),
      raster("raster", cl::desc("the block map's rows and columns are runs of the sequence, not the kernel's blocks"),
             cl::cat(category)),
      measure("measure", cl::desc("run the kernel, with random tensors unless --input is given"), cl::cat(category)),
      rows("rows", "queries that kept pairs and recall are counted for", 256, category),
      workers("workers", "threads that the balance is about; 0: those of this machine", 0, category) {}

rt::Status ExplainOptions::checkOutputs() const {
  struct NamedPath {
    std::string option, path;
  };
  std::vector<NamedPath> written;
  for (const cl::opt<std::string> *option : {&json, &svg, &png, &savings})
    if (!option->empty())
      written.push_back({fmt::format("--{}", option->ArgStr.str()), *option});
  if (!savings.empty() && !savesPNG() && !StringRef(savings).ends_with(".svg"))
    return rt::Status::error(
        fmt::format("--savings: expected a file name that ends in .svg or .png, but got '{}'", savings.getValue()));
  for (size_t i = 0; i < written.size(); ++i) {
    const auto &[option, path] = written[i];
    if (path == "-")
      continue;
    for (const std::string &other : {tool.file.getValue(), input.getValue(), given.getValue(), bias.getValue()})
      if (!other.empty() && isSameFile(path, other))
        return rt::Status::error(fmt::format("{}: expected another file than {}", path, other));
    for (size_t j = 0; j < i; ++j)
      if (written[j].path != "-" && isSameFile(path, written[j].path))
        return rt::Status::error(fmt::format("{}: expected another file than {}", option, written[j].option));
    if (rt::Status status = checkWritable(path); !status)
      return status;
  }
  return rt::Status::ok();
}

rt::Status ExplainOptions::check() const {
  if (CUDATarget::parse(tool.target))
    return rt::Status::error(fmt::format("--target: expected a CPU, on which this tool runs kernels, but got '{}'",
                                         tool.target.getValue()));
  if (rt::Status status = checkAtLeast(rows, rows, 1); !status)
    return status;
  if (workers < 0 || workers > 1 << 20)
    return rt::Status::error(fmt::format("--workers: expected 0 to {}, but got {}", 1 << 20, workers.getValue()));
  if (bshd && input.empty())
    return noEffect(bshd, "without --input");
  if (!bias.empty() && !hasTensors())
    return noEffect(bias, "without --input or --measure");
  if (raster && svg.empty() && png.empty())
    return noEffect(raster, "without --svg or --png");
  return checkOutputs();
}
