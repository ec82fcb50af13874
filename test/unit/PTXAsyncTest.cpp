// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Asynchronous operations of the PTX executor done right: mbarriers, tensor and bulk copies, cp.async, setmaxnreg.

#include "test/unit/PTXFixture.h"

#include <fmt/format.h>

#include <numeric>

using namespace weft::test;

namespace {

/// Waits for a phase of the barrier at an address, in a scope of its own.
std::string waitFor(const std::string &address, const std::string &parity) {
  return fmt::format(
      "{{ .reg .pred done; WAIT: mbarrier.try_wait.parity.shared::cta.b64 done, [{}], {}; @!done bra WAIT; }}\n",
      address, parity);
}

class PTXAsyncTest : public PTXTest {
protected:
  /// %a is the first parameter, %m the address of the first tensor map, %s that of dynamic shared memory, in which an
  /// mbarrier with one arrival is at 0; %p0 is true in thread 0.
  static PTXKernel kernel(const std::string &body, unsigned maps = 0, unsigned threads = 32,
                          const std::string &target = "sm_90a") {
    PTXKernel result;
    result.tensorMaps = maps;
    result.threads = threads;
    result.target = target;
    result.declarations = ".extern .shared .align 1024 .b8 smem[];";
    result.body = ".reg .b64 %a, %m; .reg .b64 %d<9>; .reg .b32 %s, %t; .reg .b32 %r<17>; .reg .pred %p<9>;\n"
                  "ld.param.u64 %a, [p0];\nmov.u32 %t, %tid.x;\nmov.u32 %s, smem;\nsetp.eq.u32 %p0, %t, 0;\n" +
                  std::string(maps ? "mov.b64 %m, t0;\ncvta.param.u64 %m, %m;\nprefetch.tensormap [%m];\n" : "") +
                  "@%p0 mbarrier.init.shared::cta.b64 [%s], 1;\n@%p0 fence.proxy.async;\nbar.sync 0;\n" + body +
                  "\nret;";
    return result;
  }
  /// Stores `words` words of shared memory behind the first kilobyte to %a, by all threads.
  static std::string dump(uint32_t words) {
    return fmt::format(
        "mov.u32 %r15, %t;\nDUMP: shl.b32 %r14, %r15, 2; add.u32 %r13, %s, %r14; ld.shared.u32 %r12, [%r13+1024];\n"
        "cvt.u64.u32 %d8, %r14; add.u64 %d8, %a, %d8; st.global.u32 [%d8], %r12;\n"
        "mov.u32 %r11, %ntid.x; add.u32 %r15, %r15, %r11; setp.lt.u32 %p8, %r15, {}; @%p8 bra DUMP;\n",
        words);
  }
};

/// A bf16 matrix that tells its elements apart.
std::vector<uint16_t> numbered(uint32_t rows, uint32_t columns) {
  std::vector<uint16_t> elements(rows * columns);
  std::iota(elements.begin(), elements.end(), 1);
  return elements;
}

/// The chunk of 16 bytes at which chunk `chunk` of a row stands, for rows as long as the swizzle.
uint32_t swizzled(uint32_t chunk, uint32_t row, int swizzle) {
  return swizzle == 3   ? chunk ^ row % 8
         : swizzle == 2 ? chunk ^ row / 2 % 4
         : swizzle == 1 ? chunk ^ row / 4 % 2
                        : chunk;
}

} // namespace

TEST_F(PTXAsyncTest, CountsPhases) {
  // 64 threads arrive three times; thread 0 sees each phase with both kinds of wait.
  CUdeviceptr to = allocate(16);
  run(kernel("@%p0 mbarrier.init.shared::cta.b64 [%s+8], 64; bar.sync 0;\nmov.u32 %r0, 0;\n"
             "ROUND: mbarrier.arrive.shared::cta.b64 %d0, [%s+8]; and.b32 %r1, %r0, 1;\n" +
                 waitFor("%s+8", "%r1") +
                 "STATE: mbarrier.test_wait.shared::cta.b64 %p1, [%s+8], %d0; @!%p1 bra STATE;\nbar.sync 0;\n"
                 "add.u32 %r0, %r0, 1; setp.lt.u32 %p2, %r0, 3; @%p2 bra ROUND;\n"
                 // Nobody has arrived in the fourth phase, whose parity is 1.
                 "mbarrier.test_wait.parity.shared::cta.b64 %p3, [%s+8], 1; selp.u32 %r2, 1, 0, %p3;\n"
                 "mbarrier.test_wait.parity.shared::cta.b64 %p3, [%s+8], 0; selp.u32 %r3, 1, 0, %p3;\n"
                 "@%p0 st.global.v2.u32 [%a], {%r2, %r3}; bar.sync 0; @%p0 mbarrier.inval.shared::cta.b64 [%s+8];",
             0, 64),
      {to}, 1024);
  EXPECT_EQ(download<uint32_t>(to, 2), (std::vector<uint32_t>{0, 1}));
}

TEST_F(PTXAsyncTest, CountsArrivalsAndBytes) {
  CUdeviceptr to = allocate(16);
  run(kernel("mbarrier.init.shared::cta.b64 [%s+8], 4;\nmbarrier.arrive.shared::cta.b64 _, [%s+8], 2;\n"
             "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s+8], 64;\nmbarrier.expect_tx.relaxed.cta.shared::cta.b64 "
             "[%s+8], 16;\n"
             "mbarrier.arrive.shared::cta.b64 _, [%s+8];\nmbarrier.test_wait.parity.shared::cta.b64 %p1, [%s+8], 0;\n"
             "selp.u32 %r0, 1, 0, %p1;\nmbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%s+8], 80;\n"
             "mbarrier.test_wait.parity.shared::cta.b64 %p1, [%s+8], 0; selp.u32 %r1, 1, 0, %p1; st.global.v2.u32 "
             "[%a], {%r0, %r1};",
             0, 1),
      {to}, 1024);
  EXPECT_EQ(download<uint32_t>(to, 2), (std::vector<uint32_t>{0, 1}));
}

TEST_F(PTXAsyncTest, CopiesTensorsWithEverySwizzle) {
  constexpr uint32_t kRows = 16;
  for (int swizzle = 0; swizzle < 4; ++swizzle) {
    uint32_t columns = swizzle ? 8u << swizzle : 24, matrixColumns = 80, matrixRows = 40;
    CUdeviceptr from = upload(numbered(matrixRows, matrixColumns)), to = allocate(kRows * columns * 2);
    run(kernel(fmt::format("@!%p0 bra READY; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s], {};\n"
                           "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                           "[%s+1024], [%m, {{8, 5}}], [%s];\n"
                           "READY:\n",
                           kRows * columns * 2) +
                   waitFor("%s", "0") + dump(kRows * columns / 2),
               1),
        {to}, 1024 + 8192, 1, {tensorMap(from, matrixColumns, matrixRows, columns, kRows, swizzle)});
    std::vector<uint16_t> out = download<uint16_t>(to, kRows * columns);
    for (uint32_t row = 0; row < kRows; ++row)
      for (uint32_t column = 0; column < columns; ++column) {
        uint32_t place = row * columns + swizzled(column / 8, row, swizzle) * 8 + column % 8;
        EXPECT_EQ(out[place], 1 + (row + 5) * matrixColumns + column + 8) << swizzle << " " << row << " " << column;
      }
  }
}

TEST_F(PTXAsyncTest, FillsWhatIsOutsideOfATensor) {
  // The box begins left of and above the matrix and reaches beyond its other edges.
  constexpr uint32_t kColumns = 24, kRows = 10;
  CUdeviceptr from = upload(numbered(kRows, kColumns)), to = allocate(16 * 32 * 2);
  run(kernel("@!%p0 bra READY; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s], 1024;\nmov.u32 %r0, -4; mov.u32 %r1, "
             "-3;\n"
             "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%s+1024], [%m, {%r0, "
             "%r1}], [%s];\n"
             "READY:\n" +
                 waitFor("%s", "0") + dump(256),
             1),
      {to}, 4096, 1, {tensorMap(from, kColumns, kRows, 32, 16, 0)});
  std::vector<uint16_t> out = download<uint16_t>(to, 16 * 32);
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 32; ++column) {
      int y = row - 3, x = column - 4;
      bool inside = y >= 0 && y < int(kRows) && x >= 0 && x < int(kColumns);
      EXPECT_EQ(out[row * 32 + column], inside ? 1 + y * kColumns + x : 0) << row << " " << column;
    }
}

TEST_F(PTXAsyncTest, CopiesBoxesOfFiveDimensions) {
  // A tensor [2][3][4][5][16] of bf16, and a box [1][2][3][2][16] that reaches out of the fourth dimension.
  std::vector<uint16_t> elements = numbered(2 * 3 * 4 * 5, 16);
  CUdeviceptr from = upload(elements), to = allocate(12 * 16 * 2);
  CUtensorMap map = {};
  uint64_t extents[] = {16, 5, 4, 3, 2}, strides[] = {32, 160, 640, 1920};
  uint32_t box[] = {16, 2, 3, 2, 1}, ones[] = {1, 1, 1, 1, 1};
  ASSERT_EQ(cuTensorMapEncodeTiled(&map, 9, 5, reinterpret_cast<void *>(from), extents, strides, box, ones, 0, 0, 0, 0),
            CUDA_SUCCESS);
  run(kernel("@!%p0 bra READY; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s], 384;\n"
             "cp.async.bulk.tensor.5d.shared::cta.global.tile.mbarrier::complete_tx::bytes [%s+1024], [%m, {0, 3, 2, "
             "1, 1}], [%s];\n"
             "READY:\n" +
                 waitFor("%s", "0") + dump(96),
             1),
      {to}, 4096, 1, {map});
  std::vector<uint16_t> out = download<uint16_t>(to, 12 * 16);
  for (uint32_t at = 0; at < out.size(); ++at) {
    uint32_t x = at % 16, w = at / 16 % 2 + 3, h = at / 32 % 3 + 2, t = at / 96 + 1;
    EXPECT_EQ(out[at], h < 4 ? 1 + (((1 * 3 + t) * 4 + h) * 5 + w) * 16 + x : 0) << at;
  }
}

TEST_F(PTXAsyncTest, StoresTensors) {
  // Two boxes of 8 rows; the second reaches beyond the last row, and there nothing is written.
  constexpr uint32_t kColumns = 64, kRows = 12;
  CUdeviceptr to = upload(std::vector<uint16_t>(16 * kColumns, 0xffff));
  run(kernel(
          "mov.u32 %r0, %t;\nFILL: shl.b32 %r1, %r0, 2; add.u32 %r1, %s, %r1; mad.lo.u32 %r2, %r0, 0x20002, 0x20001;\n"
          "st.shared.u32 [%r1+1024], %r2; add.u32 %r0, %r0, 32; setp.lt.u32 %p1, %r0, 512; @%p1 bra FILL;\n"
          "fence.proxy.async.shared::cta; bar.warp.sync -1; @!%p0 bra END;\n"
          "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%m, {0, 0}], [%s+1024];\n"
          "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%m, {0, 8}], [%s+2048];\n"
          "cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0; cp.async.bulk.wait_group 0; END:",
          1),
      {to}, 8192, 1, {tensorMap(to, kColumns, kRows, 64, 8, 3)});
  std::vector<uint16_t> out = download<uint16_t>(to, 16 * kColumns);
  for (uint32_t row = 0; row < 16; ++row)
    for (uint32_t column = 0; column < kColumns; ++column) {
      uint32_t place = row * kColumns + swizzled(column / 8, row, 3) * 8 + column % 8;
      EXPECT_EQ(out[row * kColumns + column], row < kRows ? place + 1 : 0xffff) << row << " " << column;
    }
}

TEST_F(PTXAsyncTest, CopiesConsecutiveBytes) {
  std::vector<uint32_t> words(2048);
  std::iota(words.begin(), words.end(), 7);
  CUdeviceptr memory = upload(words);
  // In by an mbarrier, out by a bulk group, 64 words further on.
  run(kernel(
          "@!%p0 bra END; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%s], 4096; cvta.to.global.u64 %d0, %a;\n"
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s+1024], [%d0], 4096, [%s];\n" +
              waitFor("%s", "0") +
              "cp.async.bulk.global.shared::cta.bulk_group [%d0+4352], [%s+1024], 1024; cp.async.bulk.commit_group;\n"
              "cp.async.bulk.wait_group 0; END:",
          0),
      {memory}, 8192);
  std::vector<uint32_t> out = download<uint32_t>(memory, 2048);
  for (uint32_t at = 0; at < 256; ++at)
    EXPECT_EQ(out[1088 + at], at + 7);
  EXPECT_EQ(out[1087], 1087u + 7);
  EXPECT_EQ(out[1344], 1344u + 7);
}

TEST_F(PTXAsyncTest, CopiesElements) {
  std::vector<uint32_t> words(256);
  std::iota(words.begin(), words.end(), 1);
  CUdeviceptr memory = upload(words);
  // Two groups; of the second only 8 of 16 bytes are given. Then thread t reads what thread 31 - t has copied.
  std::string body = "shl.b32 %r0, %t, 4; cvt.u64.u32 %d0, %r0; add.u64 %d0, %a, %d0; add.u32 %r1, %s, %r0;\n"
                     "cp.async.cg.shared.global [%r1+1024], [%d0], 16; cp.async.commit_group;\nmov.u32 %r2, 8;\n"
                     "cp.async.cg.shared.global.L2::128B [%r1+2048], [%d0+512], 16, %r2; cp.async.commit_group;\n"
                     "cp.async.wait_group 1; bar.warp.sync -1; sub.u32 %r3, 496, %r0; add.u32 %r3, %s, %r3; "
                     "ld.shared.u32 %r4, [%r3+1024];\n"
                     "cp.async.wait_all; bar.warp.sync -1; ld.shared.v4.u32 {%r5, %r6, %r7, %r8}, [%r3+2048];\n"
                     "cp.async.ca.shared.global [%r1+1024], [%d0+4], 4; cp.async.wait_all; ld.shared.u32 %r9, "
                     "[%r1+1024]; add.u32 %r9, %r9, %r7;\n"
                     "add.u32 %r9, %r9, %r8; st.global.v4.u32 [%d0+0], {%r4, %r5, %r6, %r9};";
  PTXKernel copying = kernel(body, 0, 32, "sm_80");
  size_t init = copying.body.find("@%p0 mbarrier.init");
  copying.body.erase(init, copying.body.find("bar.sync 0;") - init);
  run(copying, {memory}, 4096);
  std::vector<uint32_t> out = download<uint32_t>(memory, 128);
  for (uint32_t thread = 0; thread < 32; ++thread) {
    uint32_t other = 4 * (31 - thread);
    EXPECT_EQ(out[4 * thread], other + 1);
    EXPECT_EQ(out[4 * thread + 1], other + 129);
    EXPECT_EQ(out[4 * thread + 2], other + 130);
    EXPECT_EQ(out[4 * thread + 3], 4 * thread + 2);
  }
}

TEST_F(PTXAsyncTest, SignalsTheEndOfElementCopies) {
  CUdeviceptr memory = upload<uint32_t>({5, 6, 7, 8});
  run(kernel("@%p0 mbarrier.init.shared::cta.b64 [%s+8], 1; bar.sync 0; @!%p0 bra READY; cvta.to.global.u64 %d0, %a;\n"
             "cp.async.ca.shared.global [%s+1024], [%d0], 8; cp.async.mbarrier.arrive.noinc.shared::cta.b64 "
             "[%s+8];\nREADY:\n" +
             waitFor("%s+8", "0") + "ld.shared.u32 %r0, [%s+1028]; bar.sync 0; @%p0 st.global.u32 [%a], %r0;"),
      {memory}, 4096);
  EXPECT_EQ(download<uint32_t>(memory, 1)[0], 6u);
}

TEST_F(PTXAsyncTest, MovesRegistersBetweenWarpgroups) {
  // 65536 / 384 is 168 registers a thread: 504 together.
  CUdeviceptr to = allocate(4);
  std::string body = "setp.lt.u32 %p1, %t, 128; @%p1 bra PRODUCER; setmaxnreg.inc.sync.aligned.u32 240; bra END;\n"
                     "PRODUCER: setmaxnreg.dec.sync.aligned.u32 {}; END:";
  run(kernel(fmt::format(fmt::runtime(body), 24), 0, 384), {to}, 1024);
  expectReport(kernel(fmt::format(fmt::runtime(body), 32), 0, 384), {to}, "setmaxnreg.inc", 1024);
}
