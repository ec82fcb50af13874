// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The compiler's stages.

#include "lib/Compiler/Stages.h"

#include "codegen/CPU/Pipeline.h"
#include "dialect/WeftDialect.h"
#include "lib/Compiler/ImageBuilder.h"
#include "lib/Frontend/Frontend.h"
#include "lib/Register.h"
#include "passes/Pipelines.h"
#include "runtime/JIT/CodeGenerator.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace weft;

std::unique_ptr<MLIRContext> weft::createContext() {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerTranslations(registry);
  registerCUDATranslations(registry);
  auto context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

namespace {

/// Collects MLIR's diagnostics as text.
class DiagnosticText {
public:
  explicit DiagnosticText(MLIRContext *context)
      : handler(context, [this](mlir::Diagnostic &diagnostic) {
          llvm::raw_string_ostream stream(text);
          write(stream, diagnostic.getLocation(), diagnostic);
          for (mlir::Diagnostic &note : diagnostic.getNotes())
            write(stream, note.getLocation(), note);
          return success();
        }) {}

  rt::Status status(StringRef fallback) const { return rt::Status::error(text.empty() ? fallback.str() : text); }

private:
  void write(llvm::raw_string_ostream &stream, Location location, mlir::Diagnostic &diagnostic) {
    if (!text.empty())
      stream << "\n";
    if (auto place = location->findInstanceOf<FileLineColRange>())
      stream << place.getFilename().getValue() << ":" << place.getStartLine() << ":" << place.getStartColumn() << ": ";
    bool isNote = diagnostic.getSeverity() == DiagnosticSeverity::Note;
    stream << (isNote ? "note: " : "error: ") << diagnostic;
  }

  std::string text;
  ScopedDiagnosticHandler handler;
};

rt::Result<OwningOpRef<ModuleOp>> parseModule(MLIRContext &context, const CompileRequest &request) {
  DiagnosticText diagnostics(&context);
  // The lexer wants a terminating zero, which std::string has.
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(request.source, &context, request.sourceName);
  if (!module)
    return diagnostics.status("expected an MLIR module");
  int kernels = 0;
  module->walk([&](AttentionOp) { ++kernels; });
  if (kernels != 1)
    return rt::Status::error(request.sourceName + ": expected one weft.attention in the module, but got " +
                             std::to_string(kernels));
  return module;
}

rt::Status runPasses(ModuleOp module, llvm::function_ref<void(OpPassManager &)> build) {
  DiagnosticText diagnostics(module.getContext());
  PassManager manager(module.getContext());
  manager.enableVerifier(true);
  build(manager);
  return succeeded(manager.run(module)) ? rt::Status::ok() : diagnostics.status("expected the passes to succeed");
}

} // namespace

rt::Result<OwningOpRef<ModuleOp>> weft::buildProgram(MLIRContext &context, const CompileRequest &request,
                                                     std::string *warnings) {
  if (request.isModule)
    return parseModule(context, request);
  SourceFile file(request.sourceName, request.source);
  Diagnostics diagnostics(file);
  std::unique_ptr<Program> program = parseProgram(file, diagnostics);
  if (!program)
    return rt::Status::error(diagnostics.render());
  DiagnosticText verifier(&context);
  FailureOr<OwningOpRef<ModuleOp>> module = generateModule(context, *program, request.options, diagnostics);
  if (failed(module))
    return diagnostics.hasErrors() ? rt::Status::error(diagnostics.render())
                                   : verifier.status("expected a program that generates a module");
  if (warnings)
    *warnings = diagnostics.render();
  return std::move(*module);
}

rt::Status weft::lowerToPlan(ModuleOp module, const Target &target) {
  return runPasses(module, [&](OpPassManager &manager) {
    if (auto *gpu = std::get_if<CUDATarget>(&target))
      buildCUDAProgramPipeline(manager, *gpu);
    buildPlanPipeline(manager);
  });
}

rt::Status weft::lowerToLLVM(ModuleOp module, const Target &target) {
  return runPasses(module, [&](OpPassManager &manager) {
    if (auto *gpu = std::get_if<CUDATarget>(&target))
      return buildCUDAPipeline(manager, *gpu);
    buildCPULoopsPipeline(manager, std::get<CPUTarget>(target));
    buildCPUToLLVMPipeline(manager, std::get<CPUTarget>(target));
  });
}

rt::Result<StagedModule> weft::compileTo(Stage last, const CompileRequest &request, const Target &target,
                                         StageObserver observe, std::string *warnings) {
  StagedModule result{createContext(), nullptr};
  auto program = buildProgram(*result.context, request, warnings);
  if (!program)
    return program.status();
  result.module = std::move(*program);
  for (Stage stage = Stage::Program;; stage = static_cast<Stage>(static_cast<int>(stage) + 1)) {
    rt::Status status = stage == Stage::Plan   ? lowerToPlan(*result.module, target)
                        : stage == Stage::LLVM ? lowerToLLVM(*result.module, target)
                                               : rt::Status::ok();
    if (status && observe)
      status = observe(stage, result);
    if (!status)
      return status;
    if (stage == last)
      return result;
  }
}

rt::Result<llvm::SmallVector<char, 0>> weft::emitCode(ModuleOp module, const CPUTarget &target, CodeKind kind) {
  auto machine = createTargetMachine(target);
  if (!machine)
    return machine.status();
  llvm::LLVMContext context;
  auto llvmModule = generateLLVM(module, context, **machine);
  if (!llvmModule)
    return llvmModule.status();
  if (kind == CodeKind::LinkableObject)
    embedImage(**llvmModule, module);
  if (kind != CodeKind::LLVM)
    return generateCode(**llvmModule, **machine,
                        kind == CodeKind::Assembly ? llvm::CodeGenFileType::AssemblyFile
                                                   : llvm::CodeGenFileType::ObjectFile);
  llvm::SmallVector<char, 0> text;
  llvm::raw_svector_ostream stream(text);
  stream << **llvmModule;
  return text;
}
