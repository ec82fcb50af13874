// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Mistakes in asynchronous kernels, each planted on purpose, and what the PTX executor says about it.

#include "test/unit/PTXFixture.h"

#include <fmt/format.h>

using namespace weft::test;

namespace {

/// What differs between kernels that are otherwise right.
struct Pipeline {
  std::string beforeRead, afterRead, beforeReload;
};

class PTXReportTest : public PTXTest {
protected:
  /// %a is the first parameter, %m the address of the tensor map, %s that of dynamic shared memory. Barriers with one
  /// arrival are at 0 and 8; %p0 is true in thread 0.
  static PTXKernel kernel(const std::string &body, unsigned threads = 128) {
    PTXKernel result;
    result.tensorMaps = 1;
    result.threads = threads;
    result.declarations = ".extern .shared .align 1024 .b8 smem[];";
    result.body =
        ".reg .b64 %a, %m; .reg .b64 %d<9>; .reg .b32 %s, %t; .reg .b32 %r<17>; .reg .f32 %c<9>; .reg .pred %p<9>;\n"
        "ld.param.u64 %a, [p0]; mov.u32 %t, %tid.x; mov.u32 %s, smem; setp.eq.u32 %p0, %t, 0; setp.lt.u32 %p1, %t, "
        "32;\n"
        "mov.b64 %m, t0; cvta.param.u64 %m, %m;\n"
        "@%p0 mbarrier.init.shared::cta.b64 [%s], 1; @%p0 mbarrier.init.shared::cta.b64 [%s+8], 1; bar.sync 0;\n" +
        body + "\nret;";
    return result;
  }
  /// Thread 0 loads a box of 8 rows of 128 bytes to 1024.
  static std::string load(const std::string &map = "%m") {
    return fmt::format("@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s], 1024;\n"
                       "@%p0 cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                       "[%s+1024], [{}, {{0, 0}}], [%s];\n",
                       map);
  }
  static std::string waitFor(const std::string &offset, const std::string &parity) {
    return fmt::format(
        "{{ .reg .pred done; WAIT: mbarrier.try_wait.parity.shared::cta.b64 done, [%s+{}], {}; @!done bra WAIT; }}\n",
        offset, parity);
  }
  /// A product of 64 x 8 from the same tile as both operands; 64 rows of it must be there.
  static std::string product(const std::string &accumulators = "{%c0, %c1, %c2, %c3}") {
    return fmt::format("wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {}, %d0, %d0, 0, 1, 1, 0, 0;\n",
                       accumulators);
  }
  /// 64 rows of 128 bytes at 1024, written by all threads with a fence; %d0 is their descriptor.
  static std::string fill(bool fenced = true) {
    return std::string("mov.u32 %r0, %t;\nFILL: shl.b32 %r1, %r0, 2; add.u32 %r1, %s, %r1; mov.b32 %r2, 0x3f803f80; "
                       "st.shared.b32 [%r1+1024], %r2;\n"
                       "add.u32 %r0, %r0, 128; setp.lt.u32 %p2, %r0, 2048; @%p2 bra FILL;\n") +
           (fenced ? "fence.proxy.async.shared::cta;\n" : "") +
           "bar.sync 0; add.u32 %r3, %s, 1024; shr.u32 %r3, %r3, 4; cvt.u64.u32 %d0, %r3; or.b64 %d0, %d0, "
           "0x4000004000010000;\n";
  }
  PTXOutcome launchHere(const PTXKernel &kernel) {
    CUdeviceptr matrix = upload(std::vector<uint16_t>(64 * 64, 0x3f80));
    return launch(kernel, {upload(std::vector<uint32_t>(4096))}, 16384, 1, {tensorMap(matrix, 64, 64, 64, 8, 3)});
  }
  void expectFault(const std::string &body, const std::string &expected, unsigned threads = 128) {
    PTXOutcome outcome = launchHere(kernel(body, threads));
    EXPECT_NE(outcome.result, CUDA_SUCCESS);
    EXPECT_NE(outcome.report.find(expected), std::string::npos)
        << "expected: " << expected << "\ngot: " << outcome.report;
    EXPECT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
  }
  /// The same kernel without the mistake.
  void expectRight(const std::string &body, unsigned threads = 128) {
    PTXOutcome outcome = launchHere(kernel(body, threads));
    EXPECT_EQ(outcome.result, CUDA_SUCCESS) << outcome.report;
  }
};

} // namespace

//===-- Copies --------------------------------------------------------------===//

TEST_F(PTXReportTest, FindsReadsBeforeACopyIsComplete) {
  std::string read = "ld.shared.u32 %r0, [%s+1024]; st.global.u32 [%a], %r0;";
  expectRight(load() + waitFor("0", "0") + read);
  expectFault(load() + "bar.sync 0;\n" + read, "reads bytes that an asynchronous copy in flight still writes");
  // A wait for the phase before, which returns at once, is none.
  expectFault(waitFor("0", "1") + "bar.sync 0;\n" + load() + "bar.sync 0;\n" + read, "in flight still writes");
}

TEST_F(PTXReportTest, FindsBuffersThatAreReusedTooEarly) {
  std::string start = fill() + "wgmma.fence.sync.aligned;\n" + product() + "wgmma.commit_group.sync.aligned;\n",
              end = "wgmma.wait_group.sync.aligned 0;\n";
  expectRight(start + end + "bar.sync 0;\n" + load() + waitFor("0", "0"));
  expectFault(start + "bar.sync 0;\n" + load() + waitFor("0", "0") + end,
              "overwrites bytes that an asynchronous operation in flight may still read");
  // One warp's wait says nothing about the others.
  expectFault(start + "bar.sync 0; @!%p1 bra REST; wgmma.wait_group.sync.aligned 0;\n" + load() +
                  "REST: bar.sync 0;\n" + end,
              "may still read");
  expectFault(start + "mov.b32 %r5, 0; @%p0 st.shared.b32 [%s+1024], %r5;\n" + end, "may still read");
}

TEST_F(PTXReportTest, FindsStagingThatIsReusedTooEarly) {
  auto store = [](const std::string &wait) {
    return fill() +
           "@!%p0 bra END; cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%m, {0, 8}], [%s+1024]; "
           "cp.async.bulk.commit_group;\n" +
           wait + "mov.b32 %r5, 0; st.shared.b32 [%s+1024], %r5; cp.async.bulk.wait_group 0; END:";
  };
  expectRight(store("cp.async.bulk.wait_group.read 0;\n"));
  expectFault(store(""), "may still read");
  expectFault(store("cp.async.bulk.wait_group.read 1;\n"), "may still read");
}

TEST_F(PTXReportTest, FindsStoresThatNobodyWaitsFor) {
  std::string store =
      fill() + "@%p0 cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%m, {0, 8}], [%s+1024];\n";
  expectRight(store + "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;");
  expectFault(store, "exits with 1 bulk stores");
  expectFault(store + "cp.async.bulk.wait_group 0;", "exits with 1 bulk stores");
}

TEST_F(PTXReportTest, FindsElementCopiesThatAreReadTooEarly) {
  std::string copy = "shl.b32 %r0, %t, 4; cvt.u64.u32 %d0, %r0; add.u64 %d0, %a, %d0; add.u32 %r1, %s, %r0;\n"
                     "cp.async.cg.shared.global [%r1+1024], [%d0], 16; cp.async.commit_group;\n";
  std::string read = "ld.shared.u32 %r2, [%r1+1024]; st.global.u32 [%d0], %r2;";
  expectRight(copy + "cp.async.wait_group 0;\n" + read);
  expectFault(copy + "cp.async.wait_group 1;\n" + read, "in flight still writes");
}

//===-- The asynchronous proxy ----------------------------------------------===//

TEST_F(PTXReportTest, FindsMissingProxyFences) {
  std::string store = "@!%p0 bra END; cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%m, {0, 8}], "
                      "[%s+1024]; cp.async.bulk.commit_group; "
                      "cp.async.bulk.wait_group 0; END:";
  expectRight(fill() + store);
  // The issuing thread may also fence, behind the barrier.
  expectRight(fill(false) + "@%p0 fence.proxy.async;\n" + store);
  expectFault(fill(false) + store, "missing fence.proxy.async");
  expectFault(fill(false) + "@%p0 fence.proxy.async.global;\n" + store, "missing fence.proxy.async");
  std::string multiply =
      "wgmma.fence.sync.aligned;\n" + product() + "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n";
  expectRight(fill() + multiply);
  expectFault(fill(false) + multiply, "missing fence.proxy.async");
}

//===-- Registers of wgmma --------------------------------------------------===//

TEST_F(PTXReportTest, FindsRegistersThatAreUsedInFlight) {
  std::string start = fill() + "wgmma.fence.sync.aligned;\n" + product() + "wgmma.commit_group.sync.aligned;\n",
              wait = "wgmma.wait_group.sync.aligned 0;\n", read = "st.global.f32 [%a], %c1;\n";
  expectRight(start + wait + read);
  expectFault(start + read + wait, "accesses a register of a wgmma that is in flight");
  expectFault(start + "mov.f32 %c3, 0f00000000;\n" + wait, "accesses a register of a wgmma that is in flight");
  std::string second =
      "wgmma.fence.sync.aligned;\n" + product("{%c4, %c5, %c6, %c7}") + "wgmma.commit_group.sync.aligned;\n";
  // Waiting for all groups but one releases the first product's registers only.
  expectRight(start + second + "wgmma.wait_group.sync.aligned 1;\n" + read + wait);
  expectFault(start + second + "wgmma.wait_group.sync.aligned 1; st.global.f32 [%a], %c5;\n" + wait, "in flight");
  expectFault(start, "exits with a wgmma in flight");
}

TEST_F(PTXReportTest, FindsMissingRegisterFences) {
  std::string commit = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n",
              fence = "wgmma.fence.sync.aligned;\n", change = "mov.f32 %c0, 0f00000000;\n";
  expectRight(fill() + change + fence + product() + product() + commit + product() + commit);
  expectFault(fill() + fence + change + product() + commit, "missing wgmma.fence: %c0");
}

TEST_F(PTXReportTest, FindsWarpsThatDisagree) {
  std::string both = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n";
  expectFault(fill() + "@%p1 add.u64 %d0, %d0, 2;\nwgmma.fence.sync.aligned;\n" + product() + both,
              "the warps of a warpgroup disagree");
  expectFault(fill() + "@%p0 add.u64 %d0, %d0, 2;\nwgmma.fence.sync.aligned;\n" + product() + both,
              "the lanes of the warp disagree");
  expectFault(fill() + "wgmma.fence.sync.aligned; or.b64 %d0, %d0, 0x3fff;\n" + product() + both, "out of bounds");
}

TEST_F(PTXReportTest, FindsProductsOfUninitialisedMemory) {
  std::string multiply = "add.u32 %r3, %s, 1024; shr.u32 %r3, %r3, 4; cvt.u64.u32 %d0, %r3; or.b64 %d0, %d0, "
                         "0x4000004000010000; wgmma.fence.sync.aligned;\n" +
                         product() + "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;\n";
  expectRight(multiply);
  expectFault(multiply + "st.global.f32 [%a], %c0;", "the uninitialised value of %c0");
}

//===-- Barriers ------------------------------------------------------------===//

TEST_F(PTXReportTest, FindsDeadlocks) {
  PTXOutcome outcome = launchHere(kernel(waitFor("8", "0")));
  EXPECT_EQ(outcome.result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_NE(outcome.report.find("dead-lock"), std::string::npos) << outcome.report;
  EXPECT_NE(outcome.report.find("threads 0 to 127 wait"), std::string::npos) << outcome.report;
  EXPECT_NE(outcome.report.find("phase 0, 1 of 1 arrivals and 0 bytes pending"), std::string::npos) << outcome.report;
  EXPECT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
  // Expecting more bytes than come.
  std::string copy = load();
  copy.replace(copy.find("1024"), 4, "2048");
  expectFault(copy + waitFor("0", "0"), "1024 bytes pending");
}

TEST_F(PTXReportTest, FindsWrongArrivals) {
  expectRight("@%p0 mbarrier.arrive.shared::cta.b64 _, [%s];\n" + waitFor("0", "0") +
              "bar.sync 0; @%p0 mbarrier.arrive.shared::cta.b64 _, [%s];");
  expectFault("@%p0 mbarrier.arrive.shared::cta.b64 _, [%s], 2;", "over-arrival");
  // With bytes pending, the phase is not over, and takes no second arrival.
  expectFault(
      "@%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s], 64; @%p0 mbarrier.arrive.shared::cta.b64 _, [%s];",
      "over-arrival");
  expectFault("@%p0 mbarrier.arrive.shared::cta.b64 _, [%s+16];", "holds no live mbarrier object");
  expectFault("@%p0 mbarrier.inval.shared::cta.b64 [%s]; bar.sync 0;\n" + waitFor("0", "0"),
              "holds no live mbarrier object");
}

TEST_F(PTXReportTest, FindsMisusedBarrierObjects) {
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%s], 1;", "already holds a live mbarrier object");
  expectRight("@%p0 mbarrier.inval.shared::cta.b64 [%s]; @%p0 mbarrier.init.shared::cta.b64 [%s], 1;");
  expectFault("@%p0 st.shared.b32 [%s+4], %t;", "touches a live mbarrier object");
  expectFault("ld.shared.b64 %d0, [%s];", "touches a live mbarrier object");
  expectFault("@%p0 mbarrier.init.shared::cta.b64 [%s+20], 1;", "is not a multiple of 8");
}

//===-- Races between warps -------------------------------------------------===//

TEST_F(PTXReportTest, FindsRacesBetweenWarps) {
  // Every thread writes a word and reads that of the next warp; then it writes again.
  std::string write = "shl.b32 %r0, %t, 2; add.u32 %r0, %s, %r0; st.shared.b32 [%r0+1024], %t;\n",
              read = "add.u32 %r1, %t, 32; and.b32 %r1, %r1, 127; shl.b32 %r1, %r1, 2; add.u32 %r1, %s, %r1; "
                     "ld.shared.b32 %r2, [%r1+1024];\n",
              again = "st.shared.b32 [%r0+1024], %r2;\n", meet = "bar.sync 0;\n";
  expectRight(write + meet + read + meet + again);
  expectRight(write + "barrier.sync 1, 128;\n" + read + "barrier.sync 2;\n" + again);
  expectFault(write + read, "race: ");
  expectFault(write + meet + read + again, "race: ");
  expectFault(write + "bar.sync 1, 128;\n" + read + "@%p1 bar.sync 2, 32;\n" + again, "race: ");
  // Within a warp nothing is looked for.
  expectRight(write + "bar.warp.sync -1; xor.b32 %r1, %r0, 4; ld.shared.b32 %r2, [%r1+1024];\n");
}

TEST_F(PTXReportTest, FollowsOrderThroughMbarriersAndFlags) {
  // Warp 0 fills a word for warp 1, which hands it back.
  auto handOver = [](const std::string &full, const std::string &readAndEmpty) {
    return "setp.eq.u32 %p3, %t, 32; @%p0 bra PRODUCE; @%p3 bra CONSUME; bra END;\n"
           "PRODUCE: st.shared.b32 [%s+1024], %t;\n" +
           full + waitFor("8", "0") + "st.shared.b32 [%s+1024], %t; bra END;\nCONSUME:\n" + waitFor("0", "0") +
           readAndEmpty + "END:";
  };
  std::string full = "mbarrier.arrive.shared::cta.b64 _, [%s];\n",
              empty = "mbarrier.arrive.shared::cta.b64 _, [%s+8];\n", read = "ld.shared.b32 %r0, [%s+1024];\n";
  expectRight(handOver(full, read + empty));
  expectFault(handOver(full, empty + read), "race: ");
  expectFault(handOver(full + "st.shared.b32 [%s+1024], %t;\n", read + empty), "race: ");
  // A flag that is stored and polled as flags must be orders as well.
  expectRight("@%p0 st.shared.b32 [%s+1028], 0; bar.sync 0; setp.eq.u32 %p3, %t, 32; @%p3 bra CONSUME; @!%p0 bra END;\n"
              "st.shared.b32 [%s+1024], %t; st.release.cta.shared.b32 [%s+1028], 1; bra END;\n"
              "CONSUME: ld.acquire.cta.shared.b32 %r1, [%s+1028]; setp.eq.u32 %p4, %r1, 0; @%p4 bra CONSUME;\n" +
              read + "END:");
}

TEST_F(PTXReportTest, FindsWarpsThatHaveNotWaitedForALoad) {
  std::string read = "ld.shared.u32 %r0, [%s+1024]; st.global.u32 [%a], %r0;";
  // Only warp 0 waits. A barrier behind that tells the others.
  std::string wait = "@!%p1 bra OTHERS;\n" + waitFor("0", "0") + "OTHERS:\n";
  expectRight(load() + "bar.sync 0;\n" + wait + "bar.sync 0;\n" + read);
  PTXOutcome outcome = launchHere(kernel(load() + "bar.sync 0;\n" + wait + read));
  EXPECT_NE(outcome.result, CUDA_SUCCESS);
  EXPECT_TRUE(outcome.report.find("this warp has not waited for its mbarrier") != std::string::npos ||
              outcome.report.find("in flight still writes") != std::string::npos)
      << outcome.report;
}

//===-- Tensor maps and time ------------------------------------------------===//

TEST_F(PTXReportTest, FindsBytesThatAreNoTensorMap) {
  expectFault(load("%a"), "are no tensor map");
  expectFault("add.u64 %d0, %m, 4;\n" + load("%d0"), "not aligned to 64 bytes");
  std::string copy = load();
  copy.replace(copy.find("+1024]"), 6, "+1040]");
  expectFault(copy, "is not a multiple of 128");
}

TEST_F(PTXReportTest, FindsAccessesBeyondTheTensorsMemory) {
  // The map says 64 rows, but the memory ends earlier.
  CUdeviceptr matrix = upload(std::vector<uint16_t>(4 * 64, 0x3f80));
  PTXOutcome outcome =
      launch(kernel(load() + waitFor("0", "0")), {matrix}, 16384, 1, {tensorMap(matrix, 64, 64, 64, 8, 3)});
  EXPECT_EQ(outcome.result, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(outcome.report.find("an asynchronous copy reads 16 bytes at global address"), std::string::npos)
      << outcome.report;
}
