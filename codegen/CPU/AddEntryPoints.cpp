// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Adds entry points with one C signature for all kernels.

#include "codegen/CPU/Passes.h"
#include "passes/PassCounts.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace weft {
#define GEN_PASS_DEF_ADDENTRYPOINTSPASS
#include "codegen/CPU/Passes.h.inc"
} // namespace weft

using namespace mlir;
using namespace weft;

namespace {

struct AddEntryPoints final : weft::impl::AddEntryPointsPassBase<AddEntryPoints> {
  using Base::Base;

  static constexpr StringRef kRoles[] = {"attend",       "pack",         "pool_keys", "pool_queries",
                                          "recall_global", "recall_local", "score"};

  void runOnOperation() override {
    numEntryPoints = 0;
    for (auto function : llvm::make_early_inc_range(getOperation().getOps<LLVM::LLVMFuncOp>())) {
      auto [name, role] = function.getName().rsplit('.');
      if (function.isExternal() || !llvm::is_contained(kRoles, role))
        continue;
      addEntryPoint(function, ("weft_" + name + "_" + role).str());
      ++numEntryPoints;
    }
    recordCounts(getOperation(), getArgument(), {{"entry_points", numEntryPoints}});
  }

  void addEntryPoint(LLVM::LLVMFuncOp function, const std::string &name) {
    ImplicitLocOpBuilder b(function.getLoc(), function->getContext());
    b.setInsertionPointAfter(function);
    Type pointer = LLVM::LLVMPointerType::get(b.getContext());
    auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), {pointer});
    auto entry = LLVM::LLVMFuncOp::create(b, name, type);
    b.setInsertionPointToStart(entry.addEntryBlock(b));
    SmallVector<Value> arguments;
    for (auto [i, argument] : llvm::enumerate(function.getArgumentTypes())) {
      Value place = LLVM::GEPOp::create(b, pointer, b.getI64Type(), entry.getArgument(0),
                                        ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(i)});
      arguments.push_back(loadSlot(b, place, argument));
    }
    LLVM::CallOp::create(b, function, arguments);
    LLVM::ReturnOp::create(b, ValueRange{});
    function.setLinkage(LLVM::Linkage::Internal);
    function.setVisibility(SymbolTable::Visibility::Private);
  }

  /// A Boolean is any non-zero integer.
  static Value loadSlot(ImplicitLocOpBuilder &b, Value place, Type type) {
    if (!type.isInteger(1))
      return LLVM::LoadOp::create(b, type, place);
    Value integer = LLVM::LoadOp::create(b, b.getI64Type(), place);
    Value zero = LLVM::ConstantOp::create(b, b.getI64IntegerAttr(0));
    return LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, integer, zero);
  }

  int64_t numEntryPoints = 0;
};

} // namespace
