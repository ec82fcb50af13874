// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Inline assembly with side effects becomes convergent, and nothing else.

#include "codegen/CUDA/MarkConvergent.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/Support/SourceMgr.h"

#include <gtest/gtest.h>

namespace {

constexpr const char *kText = R"(
  declare void @plain()
  define void @collective() {
    call void asm sideeffect "bar.sync 1, 256;", ""()
    call void @plain()
    ret void
  }
  define i32 @pure(float %a, float %b) {
    %p = call i32 asm "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f"(float %a, float %b)
    ret i32 %p
  }
)";

TEST(MarkConvergentTest, MarksCollectivesAlone) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  auto module = llvm::parseAssemblyString(kText, diagnostic, context);
  ASSERT_TRUE(module) << diagnostic.getMessage().str();
  EXPECT_EQ(weft::markConvergent(*module), 1u);
  EXPECT_TRUE(module->getFunction("collective")->isConvergent());
  EXPECT_FALSE(module->getFunction("pure")->isConvergent());
  auto &call = llvm::cast<llvm::CallInst>(*llvm::inst_begin(module->getFunction("collective")));
  EXPECT_TRUE(call.isConvergent());
  auto &other = llvm::cast<llvm::CallInst>(*llvm::inst_begin(module->getFunction("pure")));
  EXPECT_FALSE(other.isConvergent());
}

} // namespace
