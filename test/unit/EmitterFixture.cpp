// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds the module of an emitted kernel and hands it to the compiler.

#include "test/unit/EmitterFixture.h"

#include "codegen/CUDA/Pipeline.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"

using namespace mlir;
using namespace weft;
using namespace weft::test;

static rt::Result<std::string> compile(const EmittedKernel &kernel, const CUDATarget &target) {
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, NVVM::NVVMDialect>();
  registerCUDATranslations(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  Location loc = UnknownLoc::get(&context);
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  auto named = func::FuncOp::create(loc, "test", FunctionType::get(&context, {}, {}));
  named.setPrivate();
  module->push_back(named);
  cuda::StageKernel stage(named, "kernel", kernel.arguments, kernel.threads);
  kernel.emit(stage);
  stage.finish();
  named.erase();
  PassManager passes(&context);
  buildNVVMPipeline(passes);
  if (failed(passes.run(*module)))
    return rt::Status::error("expected a module that the pipeline takes");
  return emitPTX(*module, target);
}

void EmitterTest::runEmitted(const EmittedKernel &kernel, std::vector<uint64_t> arguments, unsigned ctas) {
  auto text = compile(kernel, *CUDATarget::parse(kernel.target));
  ASSERT_TRUE(text) << text.message();
  PTXOutcome outcome = launch(PTXModule{*text, "weft_test_kernel", kernel.target, kernel.threads}, std::move(arguments),
                              kernel.shared, ctas);
  ASSERT_EQ(outcome.result, CUDA_SUCCESS) << outcome.report;
}
