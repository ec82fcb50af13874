// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// weftc: compiles a program ahead of time, as far as asked.

#include "codegen/CUDA/Assemble.h"
#include "lib/Compiler/Stages.h"
#include "lib/Frontend/ASTPrinter.h"
#include "lib/Frontend/Frontend.h"
#include "lib/TensorFile/FileIO.h"
#include "tools/ToolOptions.h"
#include "tools/Version.h"

#include "dialect/WeftDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/InitLLVM.h"

#include <fmt/format.h>

using namespace llvm;
using namespace weft;

namespace {

enum class Emit { AST, Weft, Plan, LLVM, Asm, Obj, PTX, Cubin };

cl::OptionCategory category("weftc options");
ToolOptions tool("weftc", category);
cl::opt<std::string> emitName("emit",
                              cl::desc("what to write: ast, the syntax tree; weft, the program in the weft dialect; "
                                       "plan, its block lists and tiles; llvm, optimised LLVM IR; asm; obj; ptx; cubin"),
                              cl::init("plan"), cl::value_desc("STAGE"), cl::cat(category));
cl::opt<std::string> output("o", cl::desc("the file to write; - is standard output"), cl::init("-"),
                            cl::value_desc("FILE"), cl::cat(category));

rt::Result<std::string> printAST(const CompileRequest &request) {
  SourceFile file(request.sourceName, request.source);
  weft::Diagnostics diagnostics(file);
  std::unique_ptr<Program> program = parseProgram(file, diagnostics);
  if (!program)
    return rt::Status::error(diagnostics.render());
  errs() << diagnostics.render();
  return printProgram(*program, file);
}

std::string printModule(mlir::ModuleOp module) {
  std::string text;
  raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  // Lists of a large grid would fill megabytes.
  flags.elideLargeElementsAttrs(1024);
  module.print(stream, flags);
  stream << "\n";
  return text;
}

rt::Result<Emit> parseEmit() {
  auto emit = StringSwitch<std::optional<Emit>>(emitName)
                  .Case("ast", Emit::AST)
                  .Case("weft", Emit::Weft)
                  .Case("plan", Emit::Plan)
                  .Case("llvm", Emit::LLVM)
                  .Case("asm", Emit::Asm)
                  .Case("obj", Emit::Obj)
                  .Case("ptx", Emit::PTX)
                  .Case("cubin", Emit::Cubin)
                  .Default(std::nullopt);
  if (emit)
    return *emit;
  return rt::Status::error(
      fmt::format("--emit: expected ast, weft, plan, llvm, asm, obj, ptx or cubin, but got '{}'", emitName.getValue()));
}

/// A dynamic parameter has no value before a call.
rt::Status checkValues(mlir::ModuleOp module, const CompileRequest &request) {
  for (auto function : module.getOps<mlir::func::FuncOp>())
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      auto name = function.getArgAttrOfType<mlir::StringAttr>(i, WeftDialect::kParameterNameAttrName);
      if (name && request.options.values.count(name.str()))
        return rt::Status::error(
            fmt::format("--set: has no effect on '{}', since dynamic parameters are arguments of a call", name.str()));
    }
  return rt::Status::ok();
}

rt::Result<Target> parseTarget(const CompileRequest &request, Emit emit) {
  if (auto gpu = CUDATarget::parse(request.target)) {
    if (emit == Emit::Asm || emit == Emit::Obj)
      return rt::Status::error("--emit: expected llvm, ptx or cubin for target " + request.target + ", but got '" + emitName +
                               "'");
    return Target(*gpu);
  }
  std::string error;
  auto cpu = CPUTarget::parse(request.target, error);
  if (!cpu)
    return rt::Status::error("--target: " + error);
  if (emit == Emit::PTX || emit == Emit::Cubin)
    return rt::Status::error("--emit=" + emitName + ": expected one of the targets " + CUDATarget::names() + ", but got " +
                             request.target);
  return Target(*cpu);
}

rt::Result<std::string> emitForGPU(mlir::ModuleOp module, const CUDATarget &target, Emit emit) {
  if (emit == Emit::LLVM)
    return emitDeviceIR(module, target);
  auto ptx = emitPTX(module, target);
  return ptx && emit == Emit::Cubin ? assemblePTX(*ptx, target) : ptx;
}

rt::Result<std::string> compile(const CompileRequest &request, Emit emit) {
  if (emit == Emit::AST)
    return printAST(request);
  auto target = parseTarget(request, emit);
  if (!target)
    return target.status();
  Stage last = emit == Emit::Weft ? Stage::Program : emit == Emit::Plan ? Stage::Plan : Stage::LLVM;
  std::string warnings;
  auto observe = [&](Stage stage, const StagedModule &staged) {
    if (stage != Stage::Program)
      return rt::Status::ok();
    errs() << warnings;
    return checkValues(staged.module.get(), request);
  };
  auto staged = compileTo(last, request, *target, observe, &warnings);
  if (!staged)
    return staged.status();
  mlir::ModuleOp module = *staged->module;
  if (last != Stage::LLVM)
    return printModule(module);
  if (auto *gpu = std::get_if<CUDATarget>(&*target))
    return emitForGPU(module, *gpu, emit);
  const auto &cpu = std::get<CPUTarget>(*target);
  reportFallback("weftc", cpu.fallback);
  if (emit == Emit::Obj && module->getAttrOfType<mlir::DictionaryAttr>("weft.image").contains("recognition"))
    return rt::Status::error("--emit=obj: expected a mask without recognize, which only the just-in-time compiler runs");
  if (emit == Emit::Obj && !module->getAttrOfType<mlir::DictionaryAttr>("weft.image").get("lists"))
    return rt::Status::error("--emit=obj: expected a mask without dynamic parameters, whose block lists only the "
                             "just-in-time compiler can make");
  if (emit == Emit::Obj && module->getAttrOfType<mlir::DictionaryAttr>("weft.image").contains("prediction"))
    return rt::Status::error("--emit=obj: expected a mask without topk, topp and threshold, which only the just-in-time "
                             "compiler runs");
  if (emit == Emit::Obj && module->getAttrOfType<mlir::DictionaryAttr>("weft.image").contains("row_selection"))
    return rt::Status::error("--emit=obj: expected an attention without rows topk(importance, ..), which only the "
                             "just-in-time compiler runs");
  if (emit == Emit::Obj && module->getAttrOfType<mlir::DictionaryAttr>("weft.image").contains("reuse"))
    return rt::Status::error("--emit=obj: expected an attention without reuse, which only the just-in-time compiler "
                             "runs");
  CodeKind kind = emit == Emit::LLVM  ? CodeKind::LLVM
                  : emit == Emit::Asm ? CodeKind::Assembly
                                      : CodeKind::LinkableObject;
  auto code = emitCode(module, cpu, kind);
  if (!code)
    return code.status();
  return std::string(code->begin(), code->end());
}

/// Errors of the output are found before anything is computed.
rt::Status checkOutput() {
  if (output.empty())
    return rt::Status::error("-o: expected a file name, but got nothing");
  if (output != "-" && tool.file != "-" && isSameFile(output, tool.file))
    return rt::Status::error(fmt::format("-o: expected another file than the input, but got '{}'", output.getValue()));
  return checkWritable(output);
}

rt::Status runTool() {
  auto emit = parseEmit();
  if (!emit)
    return emit.status();
  auto request = tool.request(/*needsGrid=*/*emit != Emit::AST);
  if (!request)
    return request.status();
  if (rt::Status status = checkOutput(); !status)
    return status;
  auto text = compile(*request, *emit);
  return text ? writeFile(output, *text) : text.status();
}

} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::SetVersionPrinter(printVersion);
  cl::ParseCommandLineOptions(argc, argv, "Weft's ahead-of-time compiler\n");
  if (rt::Status status = runTool(); !status)
    return reportError("weftc", status.message());
  return 0;
}
