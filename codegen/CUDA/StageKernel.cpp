// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Declares the functions of stages.

#include "codegen/CUDA/StageKernel.h"

#include "codegen/CUDA/DeviceFunction.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft::cuda;

static Type typeOf(Builder &b, char letter) {
  switch (letter) {
  case 'p':
    return LLVM::LLVMPointerType::get(b.getContext(), 1);
  case 'l':
    return b.getI64Type();
  case 'f':
    return b.getF32Type();
  case 'd':
    return b.getF64Type();
  default:
    return b.getI32Type();
  }
}

static LLVM::LLVMFuncOp declareStage(func::FuncOp kernel, StringRef suffix, StringRef arguments, int64_t threads) {
  ImplicitLocOpBuilder b(kernel.getLoc(), kernel);
  declareShared(b);
  SmallVector<Type> types;
  for (char letter : arguments)
    types.push_back(typeOf(b, letter));
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), types);
  auto function = LLVM::LLVMFuncOp::create(b, ("weft_" + kernel.getName() + "_" + suffix).str(), type);
  function->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  function->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(), b.getDenseI32ArrayAttr(static_cast<int32_t>(threads)));
  return function;
}

static ImplicitLocOpBuilder builderIn(LLVM::LLVMFuncOp function) {
  ImplicitLocOpBuilder b(function.getLoc(), function.getContext());
  b.setInsertionPointToStart(function.addEntryBlock(b));
  return b;
}

StageKernel::StageKernel(func::FuncOp kernel, StringRef suffix, StringRef arguments, int64_t threads)
    : StageKernel(declareStage(kernel, suffix, arguments, threads), threads) {}

StageKernel::StageKernel(LLVM::LLVMFuncOp function, int64_t threads)
    : e(builderIn(function), kSharedName), threads(threads), arguments(function.getArguments()),
      chosen(arguments.begin(), arguments.end()) {
  thread = NVVM::ThreadIdXOp::create(e.b, i32());
  lane = e.bitAnd(thread, 31);
  warp = e.broadcastFirstLane(e.shiftRight(thread, 5));
  x = NVVM::BlockIdXOp::create(e.b, i32());
  y = NVVM::BlockIdYOp::create(e.b, i32());
  z = NVVM::BlockIdZOp::create(e.b, i32());
}

void StageKernel::chooseSide(Value isSecond, unsigned first, unsigned count) {
  for (unsigned i = first; i < first + count; ++i)
    chosen[i] = e.select(isSecond, chosen[i + count], chosen[i]);
  chosen.erase(chosen.begin() + first + count, chosen.begin() + first + 2 * count);
}

Value StageKernel::gridX() { return NVVM::GridDimXOp::create(e.b, i32()); }
Value StageKernel::gridY() { return NVVM::GridDimYOp::create(e.b, i32()); }

Value StageKernel::sumBefore(Value own) {
  int64_t warps = threads / 32;
  auto place = [&](Value number) { return e.shared(e.shiftLeft(number, 2)); };
  Value inWarp = scanWarp(own);
  e.when(e.equal(lane, 31), [&] { e.store(inWarp, place(warp), 4); });
  meet();
  Value ofWarp = e.load(i32(), place(e.minimum(lane, e.i32(warps - 1))), 4);
  Value scanned = scanWarp(e.select(e.below(lane, e.i32(warps)), ofWarp, e.i32(0)));
  meet();
  Value before = e.broadcastLane(scanned, e.greater(e.add(warp, -1), e.i32(0)));
  return e.sub(e.add(e.select(e.equal(warp, 0), e.i32(0), before), inWarp), own);
}

void StageKernel::takeRegisters() { shareRegisters(1); }

void StageKernel::shareRegisters(int64_t ctas) {
  x.getParentBlock()->getParentOp()->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                                             e.b.getI32IntegerAttr(static_cast<int32_t>(ctas)));
}

Value StageKernel::scanWarp(Value value) {
  for (int64_t distance : {1, 2, 4, 8, 16}) {
    Value other = NVVM::ShflOp::create(e.b, i32(), e.i32(-1), value, e.i32(distance), e.i32(0), NVVM::ShflKind::up,
                                       UnitAttr());
    value = e.add(value, e.select(e.less(lane, e.i32(distance)), e.i32(0), other));
  }
  return value;
}

void StageKernel::meet() { NVVM::Barrier0Op::create(e.b); }

void StageKernel::finish() { LLVM::ReturnOp::create(e.b, ValueRange()); }
