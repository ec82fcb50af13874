// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weft-run: compiles a program, runs it on tensors, checks and times it.

#include "dialect/WeftDialect.h"
#include "lib/Interpreter/Interpreter.h"
#include "lib/TensorFile/FileIO.h"
#include "runtime/Threads.h"
#include "tools/ToolOptions.h"
#include "tools/Version.h"
#include "tools/weft-run/Executable.h"
#include "tools/weft-run/Inputs.h"
#include "tools/weft-run/Measure.h"
#include "tools/weft-run/Report.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

#include <fmt/format.h>

#include <filesystem>
#include <functional>

using namespace llvm;
using namespace weft;

namespace {

enum class Backend { CPU, CUDA, Interpreter };
enum class Check { None, Interpreter, Dense };

cl::OptionCategory category("weft-run options");
ToolOptions tool("weft-run", category);
cl::opt<std::string> backendName("backend",
                                 cl::desc("what runs the program: cpu or cuda, the just-in-time compiled kernel; "
                                          "interpreter, double precision and slow"),
                                 cl::init("cpu"), cl::value_desc("NAME"), cl::cat(category));
cl::opt<std::string> checkName("check",
                               cl::desc("compare sampled rows with the interpreter; =dense: also with dense attention"),
                               cl::ValueOptional, cl::value_desc("NAME"), cl::cat(category));
cl::opt<std::string> input("input", cl::desc(".safetensors with q, k and v, or Q.npy,K.npy,V.npy; random tensors if not given"),
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
NumberOption<int64_t> repeat("repeat", "timed calls, of which the median counts", 3, category);
NumberOption<int64_t> rows("rows", "rows per head that --check samples", 64, category);
NumberOption<int64_t> batch("batch", "batch of random tensors", 1, category);
NumberOption<uint64_t> seed("seed", "seed of random tensors", 1, category);

/// What the options ask for.
struct Plan {
  Backend backend;
  Check check;
};

rt::Result<Plan> parsePlan() {
  auto backend = StringSwitch<std::optional<Backend>>(backendName)
                     .Case("cpu", Backend::CPU)
                     .Case("cuda", Backend::CUDA)
                     .Case("interpreter", Backend::Interpreter)
                     .Default(std::nullopt);
  if (!backend)
    return rt::Status::error(
        fmt::format("--backend: expected cpu, cuda or interpreter, but got '{}'", backendName.getValue()));
  if (!checkName.getNumOccurrences())
    return Plan{*backend, Check::None};
  auto check = StringSwitch<std::optional<Check>>(checkName)
                   .Cases({"", "interpreter"}, Check::Interpreter)
                   .Case("dense", Check::Dense)
                   .Default(std::nullopt);
  if (!check)
    return rt::Status::error(
        fmt::format("--check: expected interpreter or dense, but got '{}'", checkName.getValue()));
  return Plan{*backend, *check};
}

using OptionRefs = std::vector<std::reference_wrapper<const cl::Option>>;

rt::Status checkUnused(const OptionRefs &options, const std::string &reason) {
  for (const cl::Option &option : options)
    if (option.getNumOccurrences())
      return noEffect(option, reason);
  return rt::Status::ok();
}

/// Options that would change nothing.
rt::Status checkOptions(const Plan &plan) {
  const OptionRefs ofKernels = {checkName, map, repeat, tool.target};
  if (plan.backend == Backend::Interpreter)
    if (rt::Status status = checkUnused(ofKernels, "with --backend=interpreter"); !status)
      return status;
  if (plan.check == Check::None)
    if (rt::Status status = checkUnused({rows}, "without --check"); !status)
      return status;
  if (rt::Status status = input.empty() ? checkUnused({bshd}, "without --input")
                                        : checkUnused({seed, batch}, "with --input");
      !status)
    return status;
  if (rt::Status status = checkAtLeast(repeat, repeat, 1); !status)
    return status;
  if (rt::Status status = checkAtLeast(rows, rows, 1); !status)
    return status;
  return checkAtLeast(batch, batch, 1);
}

/// A path and the option that it came from.
struct NamedPath {
  std::string option, path;
};

std::vector<NamedPath> inputPaths() {
  std::vector<NamedPath> paths = {{"the program", tool.file}};
  SmallVector<StringRef> parts;
  StringRef(input).split(parts, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  for (StringRef part : parts)
    paths.push_back({"--input", part.str()});
  if (!given.empty())
    paths.push_back({"--given", given});
  return paths;
}

std::vector<NamedPath> outputPaths() {
  std::vector<NamedPath> paths;
  if (!output.empty())
    paths.push_back({"--output", output});
  if (!map.empty())
    paths.push_back({"--map", map});
  if (!json.empty() && json != "-")
    paths.push_back({"--json", json});
  return paths;
}

rt::Status checkExtension(const NamedPath &output) {
  std::string extension = std::filesystem::path(output.path).extension().string();
  bool isRight = output.option == "--json" || extension == ".safetensors" ||
                 (output.option == "--map" && extension == ".npy");
  if (isRight)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("{}: expected a file name for {} that ends in .safetensors{}", output.path,
                                       output.option, output.option == "--map" ? " or .npy" : ""));
}

/// What stands in the way of writing is found before anything is computed.
rt::Status checkOutputs() {
  std::vector<NamedPath> taken = inputPaths();
  for (const NamedPath &output : outputPaths()) {
    for (const NamedPath &other : taken)
      if (isSameFile(output.path, other.path))
        return rt::Status::error(fmt::format("{}: expected another file than {}, but got '{}'", output.option,
                                             other.option, output.path));
    if (rt::Status status = checkExtension(output); !status)
      return status;
    if (rt::Status status = checkWritable(output.path); !status)
      return status;
    taken.push_back(output);
  }
  return rt::Status::ok();
}

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

rt::Result<Inputs> makeInputs(const CompileRequest &request) {
  const GenerateOptions &options = request.options;
  ExpectedShape shape{options.heads, options.queryGrid.tokens(), options.keyGrid.tokens(), options.headDim,
                      tool.elementType(),
                      fmt::format("{}x{}x{}", options.queryGrid.t, options.queryGrid.h, options.queryGrid.w)};
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
rt::Status compareWithDense(const CompileRequest &request, KernelBackend backend, const Inputs &inputs, const Run &run,
                            Report &report) {
  auto compiled = compileTimed(denseRequest(request), backend);
  if (!compiled)
    return compiled.status();
  auto dense = compiled->executable->run(inputs, nullptr, repeat);
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
rt::Status checkColumns(const GivenMap &map, const rt::KernelImage &image) {
  int64_t expected = image.key.count();
  if (map.keyBlocks == expected)
    return rt::Status::ok();
  return rt::Status::error(
      fmt::format("{}: expected {} key blocks, but got {}", given.getValue(), expected, map.keyBlocks));
}

/// The runtime knows no files.
rt::Status nameGiven(const rt::Status &status) {
  StringRef message = status.message();
  return message.consume_front("given lists: ")
             ? rt::Status::error(fmt::format("{}: {}", given.getValue(), message.str()))
             : status;
}

/// What a run leaves behind, apart from its report.
struct Results {
  OwnedTensor out, lse;
  std::shared_ptr<const rt::BlockLists> lists;
};

rt::Result<Results> runOnKernel(const CompileRequest &request, const Inputs &inputs, const GivenMap *givenMap,
                                const Plan &plan, Report &report) {
  const rt::GivenLists *lists = givenMap ? &givenMap->lists : nullptr;
  KernelBackend backend = plan.backend == Backend::CUDA ? KernelBackend::CUDA : KernelBackend::CPU;
  auto compiled = compileTimed(request, backend);
  if (!compiled)
    return compiled.status();
  const Executable &kernel = *compiled->executable;
  report.name = kernel.image().name;
  report.compileMilliseconds = compiled->milliseconds;
  report.device = kernel.device();
  if (backend == KernelBackend::CPU)
    report.threads = rt::defaultThreads();
  if (givenMap)
    if (rt::Status status = checkColumns(*givenMap, kernel.image()); !status)
      return status;
  auto run = kernel.run(inputs, lists, repeat);
  if (!run)
    return nameGiven(run.status());
  report.firstMilliseconds = run->firstMilliseconds;
  report.milliseconds = run->milliseconds;
  report.times = run->times;
  auto resolved = kernel.resolveLists(lists);
  if (!resolved)
    return resolved.status();
  report.queryBlocks = (*resolved)->queryBlocks, report.keyBlocks = (*resolved)->keyBlocks;
  report.density = visitedDensity(kernel.image(), **resolved);
  if (plan.check != Check::None)
    if (rt::Status status = compareWithInterpreter(request, inputs, lists, *run, report); !status)
      return status;
  if (plan.check == Check::Dense)
    if (rt::Status status = compareWithDense(request, backend, inputs, *run, report); !status)
      return status;
  return Results{run->out, run->lse, *resolved};
}

rt::Result<OwnedTensor> toTensor(const DoubleTensor &source, rt::DType dtype) {
  auto result = OwnedTensor::allocate(dtype, source.shape);
  if (result)
    for (size_t i = 0; i < source.data.size(); ++i)
      rt::storeFromDouble(result->view.data, dtype, i, source.data[i]);
  return result;
}

rt::Result<Results> runOnInterpreter(const CompileRequest &request, const Inputs &inputs, const GivenMap *givenMap) {
  auto result = runInterpreter(request, inputs, givenMap ? &givenMap->lists : nullptr, {});
  if (!result)
    return result.status();
  auto out = toTensor(result->out, rt::DType::F64), lse = toTensor(result->lse, rt::DType::F64);
  if (!out || !lse)
    return out ? lse.status() : out.status();
  return Results{*out, *lse, nullptr};
}

/// Every dynamic parameter needs a value for the call.
rt::Status checkParameters(mlir::func::FuncOp function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto name = function.getArgAttrOfType<mlir::StringAttr>(i, WeftDialect::kParameterNameAttrName);
    if (name && !function.getArgAttr(i, WeftDialect::kParameterDefaultAttrName))
      return rt::Status::error(fmt::format("{0}: missing value for dynamic parameter '{1}': expected --set {1}=VALUE",
                                           tool.file.getValue(), name.str()));
  }
  return rt::Status::ok();
}

/// A program that does not compile is reported before tensors are read. Returns the name of its attention.
rt::Result<std::string> checkProgram(const CompileRequest &request) {
  auto context = createContext();
  std::string warnings;
  auto module = buildProgram(*context, request, &warnings);
  if (!module)
    return module.status();
  errs() << warnings;
  mlir::func::FuncOp function = *(*module)->getOps<mlir::func::FuncOp>().begin();
  if (rt::Status status = checkParameters(function); !status)
    return status;
  return function.getName().str();
}

rt::Status writeResults(const Results &results, const Report &report) {
  OutputFiles files;
  if (!map.empty())
    if (rt::Status status = files.write(map, [&] { return writeMap(*results.lists); }); !status)
      return status;
  if (!output.empty())
    if (rt::Status status = files.write(output, [&] { return writeOutput(results.out, results.lse); }); !status)
      return status;
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
  double limit = tool.elementType() == rt::DType::F32 ? 1e-5 : 4e-3;
  if (*report.interpreterError <= limit)
    return rt::Status::ok();
  return rt::Status::error(fmt::format("--check: expected an error to the interpreter of at most {:g}, but got {:.2e}",
                                       limit, *report.interpreterError));
}

rt::Status runTool() {
  auto plan = parsePlan();
  if (!plan)
    return plan.status();
  if (rt::Status status = checkOptions(*plan); !status)
    return status;
  auto request = tool.request();
  if (!request)
    return request.status();
  if (request->isModule)
    return rt::Status::error(fmt::format("{}: expected a .weft program", tool.file.getValue()));
  if (rt::Status status = checkOutputs(); !status)
    return status;
  Report report;
  auto name = checkProgram(*request);
  if (!name)
    return name.status();
  report.name = *name;
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
  report.backend = backendName;
  report.dtype = tool.dtype;
  report.grid = tool.grid;
  report.heads = tool.heads, report.headDim = tool.headDim, report.block = tool.block;
  report.values = tool.set;
  if (plan->backend != Backend::Interpreter)
    report.target = tool.target;
  auto results = plan->backend == Backend::Interpreter ? runOnInterpreter(*request, *inputs, lists)
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
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter(printVersion);
  cl::ParseCommandLineOptions(argc, argv, "Runs a Weft program, checks it and times it\n");
  if (rt::Status status = runTool(); !status)
    return reportError("weft-run", status.message());
  return 0;
}
