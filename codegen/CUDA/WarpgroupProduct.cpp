// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds descriptors and wgmma instructions.

#include "codegen/CUDA/WarpgroupProduct.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft::cuda;

Value weft::cuda::makeDescriptor(Emitter &e, Value address, int64_t groupBytes) {
  constexpr uint64_t swizzle128 = uint64_t{1} << 62;
  uint64_t fields = swizzle128 | uint64_t{1024 / 16} << 32 | static_cast<uint64_t>(groupBytes / 16) << 16;
  Value start = e.extend(e.shiftRight(e.bitAnd(address, 0x3FFFF), 4));
  return e.bitOr(start, e.i64(static_cast<int64_t>(fields)));
}

Value weft::cuda::makePlainDescriptor(Emitter &e, Value address, int64_t chunkBytes) {
  uint64_t fields = uint64_t{128 / 16} << 32 | static_cast<uint64_t>(chunkBytes / 16) << 16;
  Value start = e.extend(e.shiftRight(e.bitAnd(address, 0x3FFFF), 4));
  return e.bitOr(start, e.i64(static_cast<int64_t>(fields)));
}

Value weft::cuda::advanceDescriptor(Emitter &e, Value descriptor, int64_t bytes) {
  return e.add(descriptor, bytes / 16);
}

/// "$first, ..., $(first + count - 1)"
static std::string operandList(int64_t first, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i)
    text += (i ? ", $" : "$") + std::to_string(first + i);
  return text;
}

void weft::cuda::multiply(Emitter &e, StringRef type, int64_t n, Values &accumulator, LeftOperand left, Value right,
                          bool transposed, Value keep) {
  int64_t results = n / 2;
  bool adds = !accumulator.empty();
  std::string constraints = "=f";
  for (int64_t i = 1; i < results; ++i)
    constraints += ",=f";
  if (adds)
    for (int64_t i = 0; i < results; ++i)
      constraints += "," + std::to_string(i);
  Values operands = accumulator;
  int64_t next = adds ? 2 * results : results;

  std::string leftText;
  if (left.descriptor) {
    leftText = "$" + std::to_string(next++);
    constraints += ",l";
    operands.push_back(left.descriptor);
  } else {
    leftText = "{" + operandList(next, 4) + "}";
    next += 4;
    constraints += ",r,r,r,r";
    operands.append(left.registers.begin(), left.registers.end());
  }
  constraints += ",l";
  operands.push_back(right);

  std::string rightText = "$" + std::to_string(next++);
  std::string condition = std::to_string(adds);
  if (keep) {
    condition = "$" + std::to_string(next);
    constraints += ",r";
    operands.push_back(keep);
  }
  std::string text = "{ .reg .pred p; setp.ne.b32 p, " + condition +
                     ", 0; wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) + "k16.f32." + type.str() + "." +
                     type.str() + " {" + operandList(0, results) + "}, " + leftText + ", " + rightText +
                     ", p, 1, 1, " + (left.descriptor ? "0, " : "") + (transposed ? "1" : "0") + "; }";
  SmallVector<Type> types(results, e.b.getF32Type());
  accumulator = e.assembly(text, constraints, operands, types);
}

void weft::cuda::fenceShared(Emitter &e) {
  NVVM::FenceProxyOp::create(e.b, NVVM::ProxyKindAttr::get(e.b.getContext(), NVVM::ProxyKind::async_shared),
                             NVVM::SharedSpaceAttr::get(e.b.getContext(), NVVM::SharedSpace::shared_cta));
}

void weft::cuda::fenceProducts(Emitter &e, ArrayRef<Values *> registers) {
  if (registers.empty())
    NVVM::WgmmaFenceAlignedOp::create(e.b);
  else
    e.tie("wgmma.fence.sync.aligned;", registers);
}

void weft::cuda::commitProducts(Emitter &e) { NVVM::WgmmaGroupSyncAlignedOp::create(e.b); }

void weft::cuda::waitForProducts(Emitter &e, int64_t pending, ArrayRef<Values *> registers) {
  e.tie("wgmma.wait_group.sync.aligned " + std::to_string(pending) + ";", registers);
}
