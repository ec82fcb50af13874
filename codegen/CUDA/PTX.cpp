// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From the LLVM and NVVM dialects to PTX.

#include "codegen/CUDA/MarkConvergent.h"
#include "codegen/CUDA/Pipeline.h"

#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Triple.h"

#include <mutex>

using namespace weft;

void weft::registerCUDATranslations(mlir::DialectRegistry &registry) {
  mlir::registerNVVMDialectTranslation(registry);
}

static void initializeNVPTX() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
  });
}

static rt::Result<std::unique_ptr<llvm::TargetMachine>> createMachine(const CUDATarget &target) {
  initializeNVPTX();
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *backend = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!backend)
    return rt::Status::error("target " + target.name + ": " + error);
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(
      backend->createTargetMachine(triple, target.name, target.features, options, std::nullopt, std::nullopt,
                                   llvm::CodeGenOptLevel::Aggressive, /*JIT=*/false));
}

static void optimise(llvm::Module &module, llvm::TargetMachine &machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = tuning.SLPVectorization = tuning.LoopUnrolling = false;
  llvm::PassBuilder builder(&machine, tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O3).run(module, modules);
}

static rt::Result<std::unique_ptr<llvm::Module>> generate(mlir::ModuleOp module, llvm::LLVMContext &context,
                                                          llvm::TargetMachine &machine) {
  std::unique_ptr<llvm::Module> result = mlir::translateModuleToLLVMIR(module, context, "weft");
  if (!result)
    return rt::Status::error("expected a module of the LLVM and NVVM dialects that translates to LLVM IR");
  result->setTargetTriple(machine.getTargetTriple());
  result->setDataLayout(machine.createDataLayout());
  markConvergent(*result);
  optimise(*result, machine);
  return result;
}

rt::Result<std::string> weft::emitDeviceIR(mlir::ModuleOp module, const CUDATarget &target) {
  auto machine = createMachine(target);
  if (!machine)
    return machine.status();
  llvm::LLVMContext context;
  auto generated = generate(module, context, **machine);
  if (!generated)
    return generated.status();
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << **generated;
  return text;
}

rt::Result<std::string> weft::emitPTX(mlir::ModuleOp module, const CUDATarget &target) {
  auto machine = createMachine(target);
  if (!machine)
    return machine.status();
  llvm::LLVMContext context;
  auto generated = generate(module, context, **machine);
  if (!generated)
    return generated.status();
  llvm::SmallString<0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return rt::Status::error("target " + target.name + ": expected a backend that emits assembly");
  passes.run(**generated);
  return std::string(text);
}
