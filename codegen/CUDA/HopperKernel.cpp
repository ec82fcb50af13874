// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Barriers and buffers.

#include "codegen/CUDA/HopperKernel.h"

#include "codegen/CUDA/WarpgroupProduct.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace weft;
using namespace weft::cuda;

unsigned weft::cuda::countHopperOperands(BlockAttentionOp op) {
  return kNumHopperMaps + 4 * (gathersQueries(op) + 2 * gathersKeys(op));
}

HopperKernel::HopperKernel(Emitter &e, BlockAttentionOp op, const HopperSchedule &schedule,
                           Block::BlockArgListType arguments)
    : AttentionKernel(e, op, arguments, countHopperOperands(op), schedule.rows), s(schedule) {
  warpgroup = e.broadcastFirstLane(e.shiftRight(thread, 7));
}

TokenTensor HopperKernel::gatheredTensor(unsigned number) {
  unsigned first = kNumHopperMaps + 4 * number;
  return {operand(first), operand(first + 1), operand(first + 2), operand(first + 3)};
}

Value HopperKernel::barrier(Barrier kind, Value index) {
  return e.add(e.shiftLeft(index, 3), s.barrierOffset + 8 * static_cast<int64_t>(kind));
}

void HopperKernel::initializeBarriers() {
  int64_t warps = 4 * s.consumers, consumers = 32 * warps, bias = hasBias() ? 32 : 0;
  int64_t gather = gathers() ? 32 * kGatherWarps : 0, keys = keysAreGathered() ? 32 : 0;
  std::pair<Barrier, int64_t> arrivals[] = {{Barrier::FullQuery, 1 + gather},
                                            {Barrier::EmptyQuery, consumers + bias + hasValueThread()},
                                            {Barrier::FullKey, 1 + bias + keys}, {Barrier::FullValue, keys ? keys : 1},
                                            {Barrier::EmptyKey, consumers},   {Barrier::EmptyValue, warps},
                                            {Barrier::FullItem, 1}};
  for (auto [kind, count] : arrivals)
    for (int64_t i = 0; i < 2; ++i)
      NVVM::MBarrierInitOp::create(e.b, e.shared(barrier(kind, e.i32(i))), e.i32(count), Value());
  NVVM::FenceMbarrierInitOp::create(e.b);
}

void HopperKernel::waitFor(Barrier kind, Value index, Value parity) {
  // The hint is in nanoseconds; the op tries again until the phase is over.
  NVVM::MBarrierTryWaitParityOp::create(e.b, e.shared(barrier(kind, index)), parity, e.i32(10000000));
}

void HopperKernel::expect(Barrier kind, Value index, Value bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(e.b, Type(), e.shared(barrier(kind, index)), bytes,
                                         NVVM::MemScopeKindAttr::get(e.b.getContext(), NVVM::MemScopeKind::CTA),
                                         e.b.getBoolAttr(false), Value());
}

void HopperKernel::arrive(Barrier kind, Value index) {
  e.assembly("mbarrier.arrive.shared.b64 _, [$0];", "r", e.sharedAddress(barrier(kind, index)), {});
}

void HopperKernel::arriveAsWarp(Barrier kind, Value index) {
  e.assembly("{ .reg .pred p; setp.eq.s32 p, $1, 0; @p mbarrier.arrive.shared.b64 _, [$0]; }", "r,r",
             {e.sharedAddress(barrier(kind, index)), lane}, {});
}

void HopperKernel::meetWarp() { NVVM::SyncWarpOp::create(e.b, e.i32(-1)); }

void HopperKernel::clear(Value thread, int64_t threads, int64_t begin, int64_t end) {
  Block *test = e.createBlock({e.b.getI32Type()}), *step = e.createBlock(), *done = e.createBlock();
  e.branch(test, e.add(e.mul(thread, 16), begin));
  e.enter(test);
  Value offset = test->getArgument(0);
  e.branchIf(e.below(offset, e.i32(end)), step, done);
  e.enter(step);
  e.assembly("st.shared.v4.b32 [$0], {$1, $1, $1, $1};", "r,r", {e.sharedAddress(offset), e.i32(0)}, {});
  e.branch(test, e.add(offset, 16 * threads));
  e.enter(done);
}

void HopperKernel::fenceStores() {
  fenceShared(e);
}

HopperKernel::Slot HopperKernel::slotOf(Value use) {
  return {e.bitAnd(use, 1), e.bitAnd(e.shiftRight(use, 1), 1)};
}

HopperKernel::Slot HopperKernel::querySlotOf(Value use) {
  return s.queryBuffers == 2 ? slotOf(use) : Slot{e.i32(0), e.bitAnd(use, 1)};
}

SharedItem weft::cuda::loadItem(HopperKernel &k, HopperKernel::Slot query) {
  Values words = k.e.load4(k.e.shared(k.bufferAt(k.s.itemOffset, 16, query.index)));
  return {words[0], words[1], words[2], words[3]};
}

Value weft::cuda::shareAt(HopperKernel &k, HopperKernel::Slot query) {
  return k.e.shared(k.bufferAt(k.s.shareOffset, 4, query.index));
}

Value weft::cuda::partsAt(HopperKernel &k) { return k.e.shared(k.e.i32(k.s.shareOffset + 8)); }

Value HopperKernel::bufferAt(int64_t base, int64_t bytes, Value index) { return e.add(e.mul(index, bytes), base); }
