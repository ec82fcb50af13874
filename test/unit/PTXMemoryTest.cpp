// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Memory and control flow of the PTX executor: spaces, widths, atomics, variables, branches, and the reports about
// them.

#include "test/unit/PTXFixture.h"

#include <algorithm>
#include <bit>
#include <numeric>

using namespace weft::test;

namespace {

class PTXMemoryTest : public PTXTest {
protected:
  /// A kernel with the addresses of its two parameters in %a and %b, and its thread in %t.
  static PTXKernel kernel(const std::string &body, unsigned threads = 32, const std::string &declarations = "") {
    PTXKernel result;
    result.parameters = 2;
    result.threads = threads;
    result.declarations = declarations;
    result.body =
        ".reg .b64 %a, %b; .reg .b64 %d<9>; .reg .b32 %t; .reg .b32 %r<9>; .reg .b16 %h<9>; .reg .f32 %f<9>;\n"
        ".reg .pred %p<9>;\nld.param.u64 %a, [p0];\nld.param.u64 %b, [p1];\nmov.u32 %t, %tid.x;\n" +
        body + "\nret;";
    return result;
  }
};

} // namespace

TEST_F(PTXMemoryTest, LoadsEveryWidth) {
  CUdeviceptr from = upload<uint32_t>({0x80fefd81, 0x11223344, 0x55667788, 0x99aabbcc}), to = allocate(64);
  run(kernel("ld.global.s8 %r0, [%a+3]; ld.global.u8 %r1, [%a]; ld.global.s16 %r2, [%a+2]; \n"
             "createpolicy.fractional.L2::evict_last.b64 %d1, 1.0; ld.global.nc.L2::cache_hint.u16 %r3, [%a], %d1;\n"
             "st.global.v4.b32 [%b], {%r0, %r1, %r2, %r3};\n"
             "ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%a]; st.global.v2.u32 [%b+16], {%r7, %r4};\n"
             "ld.global.b64 %d0, [%a+8]; st.global.b64 [%b+24], %d0;\n"
             "ld.global.v2.b16 {%h0, %h1}, [%a]; st.global.v2.b16 [%b+32], {%h1, %h0}; st.global.b8 [%b+36], %r6;"),
      {from, to});
  std::vector<uint32_t> out = download<uint32_t>(to, 9);
  EXPECT_EQ(out, (std::vector<uint32_t>{0xffffff80, 0x81, 0xffff80fe, 0xfd81, 0x99aabbcc, 0x80fefd81, 0x55667788,
                                        0x99aabbcc, 0xfd8180fe}));
  EXPECT_EQ(download<uint8_t>(to + 36, 1)[0], 0x88);
}

TEST_F(PTXMemoryTest, SharesMemoryBetweenThreads) {
  CUdeviceptr to = allocate(64 * 4);
  // Thread t reads what thread 63 - t wrote, through a static array, the dynamic part and a generic address.
  run(kernel(".shared .align 16 .b8 fixed[256];\nmov.u32 %r0, fixed; shl.b32 %r1, %t, 2; add.u32 %r2, %r0, %r1;\n"
             "st.shared.b32 [%r2], %t; mov.u32 %r3, dynamic; add.u32 %r3, %r3, %r1; st.shared::cta.b32 [%r3+64], %t;\n"
             "bar.sync 0;\nsub.u32 %r1, 252, %r1; add.u32 %r2, %r0, %r1; ld.shared.b32 %r4, [%r2];\n"
             "mov.u64 %d0, dynamic; cvta.shared.u64 %d0, %d0; cvt.u64.u32 %d1, %r1; add.u64 %d0, %d0, %d1;\n"
             "ld.b32 %r5, [%d0+64]; mul.lo.u32 %r5, %r5, 1000; add.u32 %r4, %r4, %r5;\n"
             "mul.wide.u32 %d1, %t, 4; add.u64 %d1, %a, %d1; st.global.b32 [%d1], %r4;",
             64, ".extern .shared .align 16 .b8 dynamic[];"),
      {to, 0}, 64 * 4 + 64);
  std::vector<uint32_t> out = download<uint32_t>(to, 64);
  for (uint32_t thread = 0; thread < 64; ++thread)
    EXPECT_EQ(out[thread], (63 - thread) * 1001);
}

TEST_F(PTXMemoryTest, InitialisesVariables) {
  CUdeviceptr to = allocate(32);
  run(kernel("ld.const.u32 %r0, [table+4]; ld.global.f32 %f0, [scale]; mov.b32 %r1, %f0; mov.u64 %d0, zeros;\n"
             "ld.global.u32 %r2, [%d0+60]; mov.u64 %d1, table+8; ld.const.u32 %r3, [%d1];\n"
             "st.global.v4.u32 [%a], {%r0, %r1, %r2, %r3};",
             1,
             ".const .align 4 .b32 table[3] = {10, 0x20, 30};\n.global .align 4 .f32 scale = 0f40000000;\n"
             ".global .align 16 .b8 zeros[64];"),
      {to, 0});
  EXPECT_EQ(download<uint32_t>(to, 4), (std::vector<uint32_t>{32, 0x40000000, 0, 30}));
}

TEST_F(PTXMemoryTest, KeepsLocalMemoryPerThread) {
  CUdeviceptr to = allocate(32 * 4);
  run(kernel(".local .align 8 .b8 stack[16];\nmov.u64 %d0, stack; cvta.local.u64 %d1, %d0; st.local.u32 [%d0+4], %t;\n"
             "ld.u32 %r0, [%d1+4]; mul.wide.u32 %d2, %t, 4; add.u64 %d2, %a, %d2; st.global.u32 [%d2], %r0;"),
      {to, 0});
  std::vector<uint32_t> expected(32);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(download<uint32_t>(to, 32), expected);
}

TEST_F(PTXMemoryTest, UpdatesAtomically) {
  CUdeviceptr counters = upload<uint32_t>({0, 100, 0, 0xffffffff, 0, 5, 0, 7}), olds = allocate(64 * 4);
  run(kernel(
          "atom.global.add.u32 %r0, [%a], 1; mul.wide.u32 %d0, %t, 4; add.u64 %d0, %b, %d0; st.global.u32 [%d0], %r0;\n"
          "atom.global.min.u32 %r1, [%a+4], %t; red.global.max.s32 [%a+8], %t; red.global.and.b32 [%a+12], 0xf0;\n"
          "mov.f32 %f0, 0f3F000000; red.global.add.f32 [%a+16], %f0; atom.global.cas.b32 %r2, [%a+20], 5, %t;\n"
          "red.relaxed.gpu.global.or.b32 [%a+24], %t; atom.global.exch.b32 %r3, [%a+28], 9;",
          64),
      {counters, olds});
  std::vector<uint32_t> out = download<uint32_t>(counters, 8), tickets = download<uint32_t>(olds, 64);
  EXPECT_EQ(out[0], 64u);
  EXPECT_EQ(out[1], 0u);
  EXPECT_EQ(out[2], 63u);
  EXPECT_EQ(out[3], 0xf0u);
  EXPECT_EQ(std::bit_cast<float>(out[4]), 32.0f);
  EXPECT_LT(out[5], 64u);
  EXPECT_EQ(out[6], 63u);
  EXPECT_EQ(out[7], 9u);
  std::sort(tickets.begin(), tickets.end());
  for (uint32_t at = 0; at < 64; ++at)
    EXPECT_EQ(tickets[at], at);
}

TEST_F(PTXMemoryTest, UpdatesSharedMemoryAndPairsAtomically) {
  CUdeviceptr sum = upload<uint32_t>({0x3f803f80, 0, 0, 0}), to = allocate(16);
  run(kernel(".shared .align 8 .u64 total; setp.ne.u32 %p0, %t, 0; mov.u64 %d0, 0; @!%p0 st.shared.u64 [total], %d0;\n"
             "bar.sync 0; cvt.u64.u32 %d1, %t; atom.shared.add.u64 %d2, [total], %d1; bar.sync 0;\n"
             "ld.shared.u64 %d3, [total]; @!%p0 st.global.u64 [%b], %d3;\n"
             "mov.b32 %r0, 0x3f800000; @!%p0 red.global.add.noftz.bf16x2 [%a], %r0;",
             64),
      {sum, to});
  EXPECT_EQ(download<uint64_t>(to, 1)[0], 2016u);
  EXPECT_EQ(download<uint32_t>(sum, 1)[0], 0x40003f80u);
}

TEST_F(PTXMemoryTest, BranchesAndLoops) {
  CUdeviceptr to = allocate(32 * 4);
  // The sum of 1 .. t, with a label of the same name in an inner scope.
  run(kernel("mov.u32 %r0, 0; mov.u32 %r1, 0;\nLOOP:\nsetp.ge.u32 %p0, %r1, %t; @%p0 bra DONE;\nadd.u32 %r1, %r1, 1;\n"
             "{ .reg .pred q; setp.eq.u32 q, %r1, 0; @q bra.uni DONE; add.u32 %r0, %r0, %r1; DONE: }\nbra.uni "
             "LOOP;\nDONE:\n"
             "mul.wide.u32 %d0, %t, 4; add.u64 %d0, %a, %d0; st.global.u32 [%d0], %r0;"),
      {to, 0});
  std::vector<uint32_t> out = download<uint32_t>(to, 32);
  for (uint32_t thread = 0; thread < 32; ++thread)
    EXPECT_EQ(out[thread], thread * (thread + 1) / 2);
}

TEST_F(PTXMemoryTest, BranchesThroughTables) {
  CUdeviceptr to = allocate(32 * 4);
  run(kernel("and.b32 %r0, %t, 1;\ntable: .branchtargets ZERO, ONE;\nbrx.idx %r0, table;\nZERO: mov.u32 %r1, 10; bra "
             "END;\n"
             "ONE: mov.u32 %r1, 11;\nEND:\nmul.wide.u32 %d0, %t, 4; add.u64 %d0, %a, %d0; st.global.u32 [%d0], %r1;"),
      {to, 0});
  std::vector<uint32_t> out = download<uint32_t>(to, 32);
  for (uint32_t thread = 0; thread < 32; ++thread)
    EXPECT_EQ(out[thread], 10 + thread % 2);
}

TEST_F(PTXMemoryTest, NumbersCtasAndLetsThemMeet) {
  // Persistent CTAs take tickets; each ticket's CTA and the grid's size are recorded.
  CUdeviceptr counter = upload<uint32_t>({0, 0}), to = allocate(40 * 4);
  run(kernel("setp.ne.u32 %p0, %t, 0; @%p0 ret;\nNEXT: atom.global.add.u32 %r0, [%a], 1; setp.ge.u32 %p1, %r0, 40;\n"
             "@%p1 bra END; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %nctaid.x; mad.lo.u32 %r1, %r2, 100, %r1;\n"
             "mul.wide.u32 %d0, %r0, 4; add.u64 %d0, %b, %d0; st.global.u32 [%d0], %r1; bra NEXT;\nEND:\n"
             // All four wait for one another.
             "red.global.add.u32 [%a+4], 1;\nSPIN: ld.acquire.gpu.global.u32 %r3, [%a+4]; setp.lt.u32 %p2, %r3, 4;\n"
             "@%p2 bra SPIN;"),
      {counter, to}, 0, 4);
  for (uint32_t value : download<uint32_t>(to, 40)) {
    EXPECT_EQ(value / 100, 4u);
    EXPECT_LT(value % 100, 4u);
  }
}

//===-- Reports -------------------------------------------------------------===//

TEST_F(PTXMemoryTest, ReportsAccessesOutOfBounds) {
  std::string store = "mul.wide.u32 %d0, %t, 4; add.u64 %d0, %a, %d0; st.global.u32 [%d0], %t;";
  PTXOutcome outcome = launch(kernel(store), {allocate(31 * 4), 0});
  EXPECT_EQ(outcome.result, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(outcome.report.find("kernel k, CTA (0, 0, 0), thread (31, 0, 0), line"), std::string::npos)
      << outcome.report;
  EXPECT_NE(outcome.report.find("out of bounds"), std::string::npos) << outcome.report;
  EXPECT_NE(outcome.report.find("st.global.u32 [%d0], %t;"), std::string::npos) << outcome.report;
  // The context stays as it is until it is gone.
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  expectReport(
      kernel("mov.u32 %r0, dynamic; st.shared.u32 [%r0+64], %t;", 32, ".extern .shared .align 16 .b8 dynamic[];"),
      {0, 0}, "out of bounds", 64);
  expectReport(kernel("mov.u64 %d0, 0; ld.global.u32 %r0, [%d0];"), {0, 0}, "out of bounds");
  CUdeviceptr freed = allocate(128);
  EXPECT_EQ(cuMemFree_v2(freed), CUDA_SUCCESS);
  expectReport(kernel("st.global.u32 [%a], %t;"), {freed, 0}, "out of bounds");
  expectReport(kernel("mov.u64 %d0, table; st.global.u32 [%d0], %t;", 32, ".const .align 4 .b32 table[1] = {1};"),
               {0, 0}, "is constant");
}

TEST_F(PTXMemoryTest, ReportsMisalignedAccesses) {
  CUdeviceptr from = upload<uint32_t>({1, 2, 3, 4, 5, 6, 7, 8});
  PTXOutcome outcome = launch(kernel("ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%a+8];"), {from, 0});
  EXPECT_EQ(outcome.result, CUDA_ERROR_MISALIGNED_ADDRESS);
  EXPECT_NE(outcome.report.find("is not a multiple of 16"), std::string::npos) << outcome.report;
}

TEST_F(PTXMemoryTest, ReportsUninitialisedValuesWhereTheyMatter) {
  CUdeviceptr to = allocate(256), unwritten = allocate(256);
  std::string shared = ".shared .align 16 .b8 data[64];\n";
  expectReport(kernel(shared + "ld.shared.u32 %r0, [data]; add.u32 %r0, %r0, 1; st.global.u32 [%a], %r0;"), {to, 0},
               "the uninitialised value of %r0 is stored to device memory");
  to = allocate(256), unwritten = allocate(256);
  expectReport(kernel("ld.global.u32 %r0, [%b]; setp.eq.u32 %p0, %r0, 0; @%p0 bra END; st.global.u32 [%a], %t; END:"),
               {to, unwritten}, "the uninitialised value of %p0 is used as a guard");
  to = allocate(256);
  expectReport(kernel("add.u64 %d1, %a, %d0; st.global.u32 [%d1], %t;"), {to, 0},
               "the uninitialised value of %d1 is used as an address");
  to = allocate(256), unwritten = allocate(256);
  expectReport(kernel("red.global.add.u32 [%b], 1;"), {to, unwritten}, "an atomic reads uninitialised memory");
}

TEST_F(PTXMemoryTest, LetsUnusedUninitialisedValuesBe) {
  CUdeviceptr to = allocate(32 * 4);
  run(kernel(".shared .align 16 .b8 data[64];\nld.shared.u32 %r0, [data]; add.u32 %r1, %r0, %r2; st.shared.u32 "
             "[data+4], %r1;\n"
             "setp.eq.u32 %p0, %t, %t; selp.u32 %r3, %t, %r1, %p0; st.global.u32 [%a], %r3;"),
      {to, 0});
}

TEST_F(PTXMemoryTest, ReportsWhatCannotGoOn) {
  setenv("WEFT_EMULATOR_LIMIT", "100000", 1);
  expectReport(kernel("SPIN: ld.volatile.global.u32 %r0, [%a]; setp.eq.u32 %p0, %r0, 0; @%p0 bra SPIN;"),
               {upload<uint32_t>({0}), 0}, "does not end");
  unsetenv("WEFT_EMULATOR_LIMIT");
  expectReport(kernel("trap;"), {0, 0}, "trap");
  expectReport(kernel("mov.u32 %r0, 0; div.u32 %r1, %t, %r0;"), {0, 0}, "division by zero");
}
