// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-run: compiles a program, runs it on tensors, checks and times it.

#include "dialect/WeftDialect.h"
#include "lib/Interpreter/Interpreter.h"
#include "runtime/Threads.h"
#include "tools/ToolOptions.h"
#include "tools/weft-run/Inputs.h"
#include "tools/weft-run/Measure.h"
#include "tools/weft-run/Report.h"

#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

using namespace llvm;
using namespace weft;

namespace {

enum class Backend { CPU, Interpreter };
enum class Check { None, Interpreter, Dense };

cl::OptionCategory category("weft-run options");
ToolOptions tool(category);
cl::opt<Backend> backend("backend", cl::desc("what runs the program"), cl::init(Backend::CPU), cl::cat(category),
                         cl::values(clEnumValN(Backend::CPU, "cpu", "the just-in-time compiled kernel"),
                                    clEnumValN(Backend::Interpreter, "interpreter", "double precision, slow")));
cl::opt<Check> check("check", cl::desc("compare sampled rows with the interpreter; =dense: also with dense attention"),
                     cl::ValueOptional, cl::init(Check::None), cl::cat(category),
                     cl::values(clEnumValN(Check::Interpreter, "", ""), clEnumValN(Check::Interpreter, "interpreter", ""),
                                clEnumValN(Check::Dense, "dense", "")));
cl::opt<std::string> input("input", cl::desc(".safetensors with q, k and v; random tensors if not given"),
                           cl::value_desc("FILE"), cl::cat(category));
cl::opt<std::string> output("output", cl::desc(".safetensors for out and lse"), cl::value_desc("FILE"),
                            cl::cat(category));
cl::opt<std::string> given("given", cl::desc(".npy with the block lists of a mask that uses `given`"),
                           cl::value_desc("FILE"), cl::cat(category));
cl::opt<std::string> map("map", cl::desc(".npy for the block map: 0 empty, 1 partial, 2 full"), cl::value_desc("FILE"),
                         cl::cat(category));
cl::opt<std::string> json("json", cl::desc("write the figures as JSON; - is standard output"), cl::ValueOptional,
                          cl::value_desc("FILE"), cl::cat(category));
cl::opt<bool> bshd("bshd", cl::desc("the file's tensors are [batch, tokens, heads, head dim]"), cl::cat(category));
cl::opt<int> repeat("repeat", cl::desc("timed calls, of which the median counts"), cl::init(3), cl::cat(category));
cl::opt<int64_t> rows("rows", cl::desc("rows per head that --check samples"), cl::init(64), cl::cat(category));
cl::opt<int64_t> batch("batch", cl::desc("batch of random tensors"), cl::init(1), cl::cat(category));
cl::opt<uint64_t> seed("seed", cl::desc("seed of random tensors"), cl::init(1), cl::cat(category));

/// The same shape without a mask.
CompileRequest denseRequest(const CompileRequest &request) {
  CompileRequest dense = request;
  dense.source = "attention dense {}";
  dense.sourceName = "dense";
  dense.options.attention.clear();
  dense.options.values.clear();
  return dense;
}

rt::Result<Inputs> makeInputs(const CompileRequest &request) {
  const GenerateOptions &options = request.options;
  ExpectedShape shape{options.heads, options.queryGrid.tokens(), options.keyGrid.tokens(), options.headDim,
                      tool.elementType()};
  return input.empty() ? randomInputs(seed, batch, shape) : readInputs(input, bshd, shape);
}

rt::Status writeOutput(const OwnedTensor &out, const OwnedTensor &lse) {
  TensorMap file;
  file.tensors["out"] = out;
  file.tensors["lse"] = lse;
  return writeTensorFile(output, file);
}

rt::Status writeMap(const rt::BlockLists &lists) {
  auto tensor = blockMap(lists);
  if (!tensor)
    return tensor.status();
  TensorMap file;
  file.tensors["map"] = *tensor;
  return writeTensorFile(map, file);
}

/// Adds the comparison with dense attention to the report.
rt::Status compareWithDense(const CompileRequest &request, const Inputs &inputs, const Run &run, Report &report) {
  auto compiled = compileTimed(denseRequest(request));
  if (!compiled)
    return compiled.status();
  auto dense = runKernel(*compiled->kernel, inputs, nullptr, repeat);
  if (!dense)
    return dense.status();
  report.denseError = relativeError(run.out.view, dense->out.view);
  report.denseMilliseconds = dense->milliseconds;
  report.speedup = dense->milliseconds / run.milliseconds;
  return rt::Status::ok();
}

rt::Status compareWithInterpreter(const CompileRequest &request, const Inputs &inputs, const rt::GivenLists *lists,
                                  const Run &run, Report &report) {
  std::vector<int64_t> sample = sampleRows(request.options.queryGrid.tokens(), rows);
  auto reference = runInterpreter(request, inputs, lists, sample);
  if (!reference)
    return reference.status();
  report.interpreterError = relativeError(run.out.view, reference->out, sample);
  rt::Tensor lse = run.lse.view;
  lse.shape.push_back(1), lse.strides.push_back(1);
  report.lseError = relativeError(lse, reference->lse, sample);
  return rt::Status::ok();
}

/// The kernel checks all but the columns, which lists do not tell.
rt::Status checkColumns(const GivenMap &map, const rt::Kernel &kernel) {
  int64_t expected = kernel.image().key.count();
  if (map.keyBlocks == expected)
    return rt::Status::ok();
  return rt::Status::error(
      fmt::format("{}: expected {} key blocks, but got {}", given.getValue(), expected, map.keyBlocks));
}

rt::Status runOnCPU(const CompileRequest &request, const Inputs &inputs, const GivenMap *givenMap, Report &report) {
  const rt::GivenLists *lists = givenMap ? &givenMap->lists : nullptr;
  auto compiled = compileTimed(request);
  if (!compiled)
    return compiled.status();
  const rt::Kernel &kernel = *compiled->kernel;
  report.name = kernel.image().name;
  report.compileMilliseconds = compiled->milliseconds;
  report.threads = rt::defaultThreads();
  if (givenMap)
    if (rt::Status status = checkColumns(*givenMap, kernel); !status)
      return status;
  auto run = runKernel(kernel, inputs, lists, repeat);
  if (!run)
    return run.status();
  report.firstMilliseconds = run->firstMilliseconds;
  report.milliseconds = run->milliseconds;
  report.times = run->times;
  rt::RunArgs args;
  args.given = lists;
  auto resolved = kernel.resolveLists(args);
  if (!resolved)
    return resolved.status();
  report.queryBlocks = (*resolved)->queryBlocks, report.keyBlocks = (*resolved)->keyBlocks;
  report.density = visitedDensity(kernel, **resolved);
  if (check != Check::None)
    if (rt::Status status = compareWithInterpreter(request, inputs, lists, *run, report); !status)
      return status;
  if (check == Check::Dense)
    if (rt::Status status = compareWithDense(request, inputs, *run, report); !status)
      return status;
  if (!map.empty())
    if (rt::Status status = writeMap(**resolved); !status)
      return status;
  return output.empty() ? rt::Status::ok() : writeOutput(run->out, run->lse);
}

rt::Result<OwnedTensor> toTensor(const DoubleTensor &source, rt::DType dtype) {
  auto result = OwnedTensor::allocate(dtype, source.shape);
  if (result)
    for (size_t i = 0; i < source.data.size(); ++i)
      rt::storeFromDouble(result->view.data, dtype, i, source.data[i]);
  return result;
}

rt::Status runOnInterpreter(const CompileRequest &request, const Inputs &inputs, const GivenMap *givenMap) {
  auto result = runInterpreter(request, inputs, givenMap ? &givenMap->lists : nullptr, {});
  if (!result)
    return result.status();
  auto out = toTensor(result->out, rt::DType::F64), lse = toTensor(result->lse, rt::DType::F64);
  if (!out || !lse)
    return out ? lse.status() : out.status();
  return output.empty() ? rt::Status::ok() : writeOutput(*out, *lse);
}

rt::Status runTool() {
  if (repeat < 1)
    return rt::Status::error(fmt::format("--repeat: expected at least 1, but got {}", repeat.getValue()));
  if (rows < 1 || batch < 1)
    return rt::Status::error("--rows, --batch: expected at least 1");
  auto request = tool.request();
  if (!request)
    return request.status();
  if (request->isModule)
    return rt::Status::error(fmt::format("{}: expected a .weft program", tool.file.getValue()));
  Report report;
  {
    // A program that does not compile is reported before tensors are read.
    auto context = createContext();
    std::string warnings;
    auto module = buildProgram(*context, *request, &warnings);
    if (!module)
      return module.status();
    errs() << warnings;
    report.name = (*(*module)->getOps<mlir::func::FuncOp>().begin()).getName().str();
  }
  std::optional<GivenMap> givenMap;
  if (!given.empty()) {
    auto read = readGiven(given);
    if (!read)
      return read.status();
    givenMap = std::move(*read);
  }
  const GivenMap *lists = givenMap ? &*givenMap : nullptr;
  auto inputs = makeInputs(*request);
  if (!inputs)
    return inputs.status();
  report.backend = backend == Backend::CPU ? "cpu" : "interpreter";
  report.dtype = tool.dtype;
  if (backend == Backend::CPU)
    report.target = tool.target;
  rt::Status status = backend == Backend::CPU ? runOnCPU(*request, *inputs, lists, report)
                                              : runOnInterpreter(*request, *inputs, lists);
  if (!status)
    return status;
  if (json.getNumOccurrences() == 0 || (json != "-" && !json.empty()))
    outs() << toText(report);
  outs().flush();
  return json.getNumOccurrences() ? writeText(json.empty() ? "-" : json.getValue(), toJSON(report)) : rt::Status::ok();
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(argc, argv, "Runs a Weft program, checks it and times it\n");
  if (rt::Status status = runTool(); !status)
    return reportError("weft-run", status.message());
  return 0;
}
