// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compilation and the cache in memory.

#include "lib/Compiler/Compiler.h"

#include "codegen/CUDA/Assemble.h"
#include "dialect/WeftDialect.h"
#include "lib/Compiler/GPUImageBuilder.h"
#include "lib/Compiler/ImageBuilder.h"
#include "runtime/JIT/ObjectLoader.h"

#include <bit>

using namespace weft;

static bool needsPlanner(mlir::ModuleOp plan) {
  bool result = false;
  plan.walk([&](BlockAttentionOp op) { result = !op.getLists(); });
  return result;
}

template <typename Args>
static rt::Status loadFunction(const LoadedObject &code, const std::string &name, void (*&function)(const Args *)) {
  auto address = code.find(name);
  if (!address)
    return address.status();
  function = reinterpret_cast<void (*)(const Args *)>(*address);
  return rt::Status::ok();
}

static rt::Status loadPrediction(const std::string &name, rt::Prediction &prediction, const LoadedObject &code) {
  rt::Status status = loadFunction(code, "weft_" + name + "_pool_queries", prediction.poolQueries);
  if (status)
    status = loadFunction(code, "weft_" + name + "_pool_keys", prediction.poolKeys);
  return status ? loadFunction(code, "weft_" + name + "_score", prediction.score) : status;
}

static rt::Status loadRecognition(const std::string &name, rt::Recognition &recognition, const LoadedObject &code) {
  for (rt::Probe &probe : recognition.probes)
    if (rt::Status status = loadFunction(code, "weft_" + name + "_recall_" + probe.name, probe.recall); !status)
      return status;
  return rt::Status::ok();
}

static rt::Status loadCode(rt::KernelImage &image, const llvm::SmallVector<char, 0> &object) {
  auto code = LoadedObject::load(object);
  if (!code)
    return code.status();
  auto pack = (*code)->find("weft_" + image.name + "_pack");
  auto attend = (*code)->find("weft_" + image.name + "_attend");
  if (!pack || !attend)
    return pack ? attend.status() : pack.status();
  image.pack = reinterpret_cast<void (*)(const rt::PackArgs *)>(*pack);
  image.attend = reinterpret_cast<void (*)(const rt::AttendArgs *)>(*attend);
  image.code = *code;
  rt::Status status = rt::Status::ok();
  if (image.prediction)
    status = loadPrediction(image.name, *image.prediction, **code);
  return status && image.recognition ? loadRecognition(image.name, *image.recognition, **code) : status;
}

static_assert(WeftDialect::kMaxParameters == rt::AttendArgs::kMaxParameters);

namespace {

/// A request in the LLVM dialect, and its plan if block lists depend on dynamic parameters.
struct LoweredRequest {
  StagedModule lowered;
  std::shared_ptr<RetainedPlan> plan;

  /// The planner of a kernel that needs one.
  rt::ListPlanner takePlanner() { return plan ? createPlanner(std::move(plan)) : rt::ListPlanner(); }
};

} // namespace

static rt::Result<LoweredRequest> lowerRequest(const CompileRequest &request, const Target &target) {
  LoweredRequest result;
  auto retain = [&](Stage stage, const StagedModule &staged) {
    if (stage == Stage::Plan && needsPlanner(staged.module.get()))
      result.plan = std::make_shared<RetainedPlan>(RetainedPlan{staged.context, staged.module.get().clone()});
    return rt::Status::ok();
  };
  auto lowered = compileTo(Stage::LLVM, request, target, retain);
  if (!lowered)
    return lowered.status();
  result.lowered = std::move(*lowered);
  return result;
}

static rt::Status checkParameters(const rt::KernelImage &image) {
  if (image.parameters.size() <= rt::AttendArgs::kMaxParameters)
    return rt::Status::ok();
  return rt::Status::error("expected at most " + std::to_string(rt::AttendArgs::kMaxParameters) +
                           " dynamic parameters, but got " + std::to_string(image.parameters.size()));
}

KernelResult weft::compileKernel(const CompileRequest &request) {
  std::string error;
  std::optional<CPUTarget> target = CPUTarget::parse(request.target, error);
  if (!target)
    return rt::Status::error(error);
  if (!target->runsHere(error))
    return rt::Status::error("target " + request.target + ": expected a machine with " + error +
                             ", which this one lacks");
  auto plan = lowerRequest(request, *target);
  if (!plan)
    return plan.status();
  rt::KernelImage image = buildImage(*plan->lowered.module);
  image.fallback = target->fallback;
  if (rt::Status status = checkParameters(image); !status)
    return status;
  auto object = emitCode(*plan->lowered.module, *target, CodeKind::Object);
  if (!object)
    return object.status();
  if (rt::Status status = loadCode(image, *object); !status)
    return status;
  image.planner = plan->takePlanner();
  return std::shared_ptr<const rt::Kernel>(std::make_shared<rt::Kernel>(std::move(image)));
}

GPUKernelResult weft::compileGPUKernel(const CompileRequest &request, std::shared_ptr<const rt::cuda::Device> device) {
  bool isNative = request.target == "native";
  auto target = isNative ? CUDATarget::forCapability(device->capability) : CUDATarget::parse(request.target);
  if (!target && isNative)
    return rt::Status::error("cuda: expected a GPU of compute capability 8.0 or later, but " + device->name + " has " +
                             std::to_string(device->capability / 10) + "." +
                             std::to_string(device->capability % 10));
  if (!target)
    return rt::Status::error("target: expected native or one of " + CUDATarget::names() + " for a GPU, but got '" +
                             request.target + "'");
  auto plan = lowerRequest(request, *target);
  if (!plan)
    return plan.status();
  rt::cuda::GPUKernelImage image = buildGPUImage(*plan->lowered.module);
  if (rt::Status status = checkParameters(image.host); !status)
    return status;
  auto ptx = emitPTX(*plan->lowered.module, *target);
  if (!ptx)
    return ptx.status();
  image.ptx = std::move(*ptx);
  image.capability = target->capability, image.isSpecific = target->isSpecific;
  // Where a toolkit is installed its assembler takes the driver's place.
  CUDATarget assembled = *target;
  if (!target->isSpecific)
    assembled.name = "sm_" + std::to_string(device->capability);
  if (!findPtxas().empty())
    if (auto cubin = assemblePTX(image.ptx, assembled))
      image.cubin = std::move(*cubin);
  image.host.planner = plan->takePlanner();
  return rt::cuda::GPUKernel::load(std::move(device), std::move(image));
}

namespace {

/// Appends fields so that no two requests give the same string.
class KeyBuilder {
public:
  void add(const std::string &text) {
    add(static_cast<int64_t>(text.size()));
    key += text;
  }
  void add(int64_t number) { key.append(reinterpret_cast<const char *>(&number), sizeof(number)); }
  void add(const GridShape &grid) {
    add(grid.t), add(grid.h), add(grid.w), add(grid.text), add(grid.textFirst);
  }
  std::string take() { return std::move(key); }

private:
  std::string key;
};

} // namespace

std::string weft::cacheKey(const CompileRequest &request) {
  KeyBuilder key;
  const GenerateOptions &options = request.options;
  key.add(request.source), key.add(request.isModule), key.add(request.target);
  key.add(options.attention);
  key.add(static_cast<int64_t>(options.values.size()));
  for (const auto &[name, value] : options.values)
    key.add(name), key.add(static_cast<int64_t>(value.kind)), key.add(value.value),
        key.add(std::bit_cast<int64_t>(value.real));
  key.add(options.queryGrid), key.add(options.keyGrid);
  key.add(options.heads), key.add(options.headDim), key.add(static_cast<int64_t>(options.elementType));
  key.add(options.block), key.add(options.scale.has_value());
  key.add(std::bit_cast<int64_t>(options.scale.value_or(0)));
  return key.take();
}

KernelResult Compiler::compile(const CompileRequest &request) {
  return kernels.get(cacheKey(request), [&] { return compileKernel(request); });
}

GPUKernelResult Compiler::compileForGPU(const CompileRequest &request,
                                        std::shared_ptr<const rt::cuda::Device> device) {
  std::string key = std::to_string(device->ordinal) + ":" + cacheKey(request);
  return gpuKernels.get(key, [&] { return compileGPUKernel(request, std::move(device)); });
}

void Compiler::clear() {
  kernels.clear();
  gpuKernels.clear();
}
