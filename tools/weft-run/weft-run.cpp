// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-run: compiles a program, runs it on tensors, checks and times it.

#include "dialect/WeftDialect.h"
#include "lib/Interpreter/Interpreter.h"
#include "lib/TensorFile/FileIO.h"
#include "runtime/Threads.h"
#include "tools/Version.h"
#include "tools/weft-run/Cache.h"
#include "tools/weft-run/Executable.h"
#include "tools/weft-run/Inputs.h"
#include "tools/weft-run/Measure.h"
#include "tools/weft-run/Report.h"
#include "tools/weft-run/RunOptions.h"

#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>

using namespace llvm;
using namespace weft;

namespace {

RunOptions options;

/// Writes files one after the other; if one fails, those before it are removed.
class OutputFiles {
public:
  rt::Status write(const std::string &path, const std::function<rt::Status()> &writer) {
    rt::Status status = writer();
    if (status)
      written.push_back(path);
    else
      discard();
    return status;
  }

private:
  void discard() {
    std::error_code ignored;
    for (const std::string &path : written)
      if (std::filesystem::is_regular_file(path, ignored))
        std::filesystem::remove(path, ignored);
  }

  std::vector<std::string> written;
};

/// The same shape without a mask.
CompileRequest denseRequest(const CompileRequest &request) {
  CompileRequest dense = request;
  dense.source = "attention dense {}";
  dense.sourceName = "dense";
  dense.options.attention.clear();
  dense.options.values.clear();
  return dense;
}

/// What a program is, as far as the tool must know.
struct ProgramFacts {
  std::string name;
  bool hasRows = false, selectsRows = false;
};

/// What an attention with rows keeps, and what it selects them by.
rt::Status addState(const ProgramFacts &program, Inputs &inputs) {
  if (!program.hasRows)
    return rt::Status::ok();
  auto cache = options.cache.empty()       ? emptyCache(inputs, program.selectsRows)
               : options.hasRandomCache() ? randomCache(options.seed + 3, inputs, program.selectsRows)
                                           : readCache(options.cache, inputs, program.selectsRows);
  if (!cache)
    return cache.status();
  inputs.cache = *cache;
  if (options.drift.empty())
    return rt::Status::ok();
  auto drift = options.hasRandomDrift() ? randomDrift(options.seed + 4, inputs) : readDrift(options.drift, inputs);
  if (!drift)
    return drift.status();
  inputs.drift = *drift;
  return rt::Status::ok();
}

rt::Result<Inputs> makeInputs(const CompileRequest &request, const ProgramFacts &program) {
  const GenerateOptions &wanted = request.options;
  ExpectedShape shape{wanted.heads, wanted.queryGrid.tokens(), wanted.keyGrid.tokens(), wanted.headDim,
                      options.tool.elementType(),
                      fmt::format("{}x{}x{}", wanted.queryGrid.t, wanted.queryGrid.h, wanted.queryGrid.w)};
  auto inputs = options.input.empty() ? randomInputs(options.seed, options.batch, shape)
                                      : readInputs(options.input, options.bshd, shape);
  if (!inputs)
    return inputs;
  if (!options.bias.empty()) {
    auto bias = options.hasRandomBias() ? randomBias(options.seed + 1, shape) : readBias(options.bias);
    if (!bias)
      return bias.status();
    inputs->bias = *bias;
  }
  if (!options.rows.empty()) {
    std::optional<double> share = options.rowShare();
    auto rows = share ? randomRows(options.seed + 2, *share, shape) : readRows(options.rows, shape);
    if (!rows)
      return rows.status();
    inputs->rows = *rows;
  }
  if (rt::Status status = addState(program, *inputs); !status)
    return status;
  return inputs;
}

rt::Status writeOutput(const Results &results) {
  TensorMap file;
  file.tensors["out"] = results.out;
  file.tensors["lse"] = results.lse;
  if (results.age)
    file.tensors["age"] = *results.age;
  return writeTensorFile(options.output, file);
}

rt::Status writeMap(const rt::BlockLists &lists) {
  auto tensor = blockMap(lists);
  if (!tensor)
    return tensor.status();
  TensorMap file;
  file.tensors["map"] = *tensor;
  return writeTensorFile(options.map, file);
}

/// The rows that were computed; nothing if all were.
std::optional<rt::RowLists> rowsOf(const Inputs &inputs, const Run &run) {
  if (inputs.rows)
    return inputs.rows->view();
  return run.selectedRows ? std::optional(run.selectedRows->view()) : std::nullopt;
}

/// Adds the comparison with dense attention to the report.
rt::Status compareWithDense(const CompileRequest &request, KernelBackend backend, const Inputs &inputs, const Run &run,
                            Report &report) {
  auto compiled = compileTimed(denseRequest(request), backend);
  if (!compiled)
    return compiled.status();
  auto dense = compiled->executable->run({inputs.query, inputs.key, inputs.value}, nullptr, options.repeat);
  if (!dense)
    return dense.status();
  std::optional<rt::RowLists> rows = rowsOf(inputs, run);
  report.denseError = relativeError(run.results.out.view, dense->results.out.view, rows ? &*rows : nullptr);
  report.denseMilliseconds = dense->milliseconds, report.denseTimes = dense->times;
  report.speedup = dense->milliseconds / run.milliseconds;
  return rt::Status::ok();
}

rt::Status compareWithInterpreter(const CompileRequest &request, const Inputs &inputs, const rt::GivenLists *lists,
                                  const Run &run, Report &report) {
  std::vector<int64_t> sample = sampleRows(request.options.queryGrid.tokens(), options.checkRows);
  auto reference = runInterpreter(request, inputs, lists, sample);
  if (!reference)
    return reference.status();
  report.interpreterError = relativeError(run.results.out.view, reference->out, sample);
  rt::Tensor lse = run.results.lse.view;
  lse.shape.push_back(1), lse.strides.push_back(1);
  report.lseError = relativeError(lse, reference->lse, sample);
  return rt::Status::ok();
}

/// The kernel checks all but the columns, which lists do not tell.
rt::Status checkColumns(const GivenMap &map, const rt::KernelImage &image) {
  int64_t expected = image.key.count();
  if (map.keyBlocks == expected)
    return rt::Status::ok();
  return rt::Status::error(
      fmt::format("{}: expected {} key blocks, but got {}", options.given.getValue(), expected, map.keyBlocks));
}

/// The runtime knows no files.
rt::Status nameGiven(const rt::Status &status) {
  StringRef message = status.message();
  return message.consume_front("given lists: ")
             ? rt::Status::error(fmt::format("{}: {}", options.given.getValue(), message.str()))
             : status;
}

/// What a run leaves behind, apart from its report.
struct Outcome {
  Results results;
  std::shared_ptr<const rt::BlockLists> lists;
};

rt::Result<Outcome> runOnKernel(const CompileRequest &request, const Inputs &inputs, const GivenMap *givenMap,
                                const RunPlan &plan, Report &report) {
  const rt::GivenLists *lists = givenMap ? &givenMap->lists : nullptr;
  KernelBackend backend = plan.backend == Backend::CUDA ? KernelBackend::CUDA : KernelBackend::CPU;
  auto compiled = compileTimed(request, backend);
  if (!compiled)
    return compiled.status();
  const Executable &kernel = *compiled->executable;
  report.name = kernel.image().name;
  report.compileMilliseconds = compiled->milliseconds;
  reportFallback("weft-run", kernel.image().fallback);
  report.device = kernel.device();
  if (backend == KernelBackend::CPU)
    report.threads = rt::defaultThreads();
  if (givenMap)
    if (rt::Status status = checkColumns(*givenMap, kernel.image()); !status)
      return status;
  auto run = kernel.run(inputs, lists, options.repeat);
  if (!run)
    return nameGiven(run.status());
  report.firstMilliseconds = run->firstMilliseconds;
  report.milliseconds = run->milliseconds;
  report.times = run->times;
  auto resolved = kernel.resolveLists(inputs, run->predicted ? &*run->predicted : lists,
                                      run->choices ? &*run->choices : nullptr);
  if (!resolved)
    return resolved.status();
  report.queryBlocks = (*resolved)->queryBlocks, report.keyBlocks = (*resolved)->keyBlocks;
  report.density = visitedDensity(kernel.image(), **resolved);
  if (std::optional<rt::RowLists> rows = rowsOf(inputs, *run)) {
    report.rowCount = countRows(*rows);
    report.rowShare = static_cast<double>(*report.rowCount) / (rows->sets() * kernel.image().query.tokens);
  }
  auto saving = kernel.measureReuse(inputs, lists);
  if (!saving)
    return saving.status();
  report.reuse = *saving;
  auto choices = kernel.recognize(inputs);
  if (!choices)
    return choices.status();
  report.choices = run->choices ? std::move(run->choices) : std::move(*choices);
  if (plan.check != Check::None)
    if (rt::Status status = compareWithInterpreter(request, inputs, lists, *run, report); !status)
      return status;
  if (plan.check == Check::Dense)
    if (rt::Status status = compareWithDense(request, backend, inputs, *run, report); !status)
      return status;
  return Outcome{run->results, *resolved};
}

rt::Result<OwnedTensor> toTensor(const DoubleTensor &source, rt::DType dtype) {
  auto result = OwnedTensor::allocate(dtype, source.shape);
  if (result)
    for (size_t i = 0; i < source.data.size(); ++i)
      rt::storeFromDouble(result->view.data, dtype, i, source.data[i]);
  return result;
}

rt::Result<Outcome> runOnInterpreter(const CompileRequest &request, const Inputs &inputs, const GivenMap *givenMap,
                                     Report &report) {
  auto result = runInterpreter(request, inputs, givenMap ? &givenMap->lists : nullptr, {});
  if (!result)
    return result.status();
  if (!result->recognized.empty())
    report.choices = result->recognized.front();
  auto out = toTensor(result->out, rt::DType::F64), lse = toTensor(result->lse, rt::DType::F64);
  if (!out || !lse)
    return out ? lse.status() : out.status();
  Outcome outcome{{*out, *lse, std::nullopt}, nullptr};
  if (result->age.shape.empty())
    return outcome;
  auto age = toTensor(result->age, rt::DType::I32);
  if (!age)
    return age.status();
  outcome.results.age = *age;
  return outcome;
}

/// Every dynamic parameter needs a value for the call.
rt::Status checkParameters(mlir::func::FuncOp function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto name = function.getArgAttrOfType<mlir::StringAttr>(i, WeftDialect::kParameterNameAttrName);
    if (name && !function.getArgAttr(i, WeftDialect::kParameterDefaultAttrName))
      return rt::Status::error(fmt::format("{0}: missing value for dynamic parameter '{1}': expected --set {1}=VALUE",
                                           options.tool.file.getValue(), name.str()));
  }
  return rt::Status::ok();
}

/// A program that does not compile is reported before tensors are read.
rt::Result<ProgramFacts> checkProgram(const CompileRequest &request) {
  auto context = createContext();
  std::string warnings;
  auto module = buildProgram(*context, request, &warnings);
  if (!module)
    return module.status();
  errs() << warnings;
  mlir::func::FuncOp function = *(*module)->getOps<mlir::func::FuncOp>().begin();
  if (rt::Status status = checkParameters(function); !status)
    return status;
  ProgramFacts program{function.getName().str()};
  function.walk([&](AttentionOp op) {
    program.hasRows = op.getRows() != nullptr;
    program.selectsRows = program.hasRows && op.getRows().getDefiningOp<SelectRowsOp>();
  });
  if (rt::Status status = options.checkRowUse(program.hasRows, program.selectsRows); !status)
    return status;
  return program;
}

rt::Status writeResults(const Outcome &outcome, const Report &report) {
  OutputFiles files;
  if (!options.map.empty())
    if (rt::Status status = files.write(options.map, [&] { return writeMap(*outcome.lists); }); !status)
      return status;
  if (!options.output.empty())
    if (rt::Status status = files.write(options.output, [&] { return writeOutput(outcome.results); }); !status)
      return status;
  const auto &json = options.json;
  bool jsonIsOutput = json.getNumOccurrences() && (json.empty() || json == "-");
  std::string jsonPath = jsonIsOutput ? "-" : json.getValue();
  if (json.getNumOccurrences())
    if (rt::Status status = files.write(jsonPath, [&] { return writeFile(jsonPath, toJSON(report)); }); !status)
      return status;
  return jsonIsOutput ? rt::Status::ok() : files.write("-", [&] { return writeFile("-", toText(report)); });
}

/// The contract of docs/numerics.md.
rt::Status checkErrors(const Report &report) {
  if (!report.interpreterError)
    return rt::Status::ok();
  double limit = options.tool.elementType() == rt::DType::F32 ? 1e-5 : 4e-3;
  if (*report.interpreterError <= limit)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("--check: expected an error to the interpreter of at most {:g}, but got {:.2e}",
                                       limit, *report.interpreterError));
}

rt::Result<std::optional<GivenMap>> readLists() {
  if (options.given.empty())
    return std::optional<GivenMap>();
  auto map = readGiven(options.given);
  if (!map)
    return map.status();
  return std::optional<GivenMap>(std::move(*map));
}

/// What the report says before anything ran.
Report startReport(const RunPlan &plan, const std::string &name) {
  Report report;
  report.name = name;
  report.backend = options.backend;
  const ToolOptions &tool = options.tool;
  report.dtype = tool.dtype;
  report.grid = tool.grid;
  report.heads = tool.heads, report.headDim = tool.headDim, report.block = tool.block;
  report.values = std::vector<std::string>(tool.set.begin(), tool.set.end());
  if (plan.backend != Backend::Interpreter)
    report.target = tool.target;
  return report;
}

rt::Status runTool() {
  auto plan = options.plan();
  if (!plan)
    return plan.status();
  auto request = options.tool.request();
  if (!request)
    return request.status();
  if (request->isModule)
    return rt::Status::error(fmt::format("{}: expected a .weft program", options.tool.file.getValue()));
  if (rt::Status status = options.checkOutputs(); !status)
    return status;
  auto program = checkProgram(*request);
  if (!program)
    return program.status();
  auto map = readLists();
  if (!map)
    return map.status();
  const GivenMap *lists = *map ? &**map : nullptr;
  auto inputs = makeInputs(*request, *program);
  if (!inputs)
    return inputs.status();
  Report report = startReport(*plan, program->name);
  auto results = plan->backend == Backend::Interpreter ? runOnInterpreter(*request, *inputs, lists, report)
                                                       : runOnKernel(*request, *inputs, lists, *plan, report);
  if (!results)
    return results.status();
  if (rt::Status status = writeResults(*results, report); !status)
    return status;
  return checkErrors(report);
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(options.category);
  cl::SetVersionPrinter(printVersion);
  cl::ParseCommandLineOptions(argc, argv, "Runs a Weft program, checks it and times it\n");
  if (rt::Status status = runTool(); !status)
    return reportError("weft-run", status.message());
  return 0;
}
