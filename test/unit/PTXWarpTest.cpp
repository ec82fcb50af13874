// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What warps do together in the PTX executor: shuffles, votes, named barriers, matrices, and the reports about them.

#include "test/ptx/FloatFormats.h"
#include "test/unit/PTXFixture.h"

#include <fmt/format.h>

#include <bit>
#include <functional>
#include <random>

using namespace weft::ptx;
using namespace weft::test;

namespace {

class PTXWarpTest : public PTXTest {
protected:
  /// Statements with the thread in %t that leave a word in %r7; what each thread left.
  std::vector<uint32_t> words(const std::string &body, unsigned threads = 32, const std::string &target = "sm_90a") {
    CUdeviceptr to = allocate(threads * 4);
    run(kernel(body, threads, target), {to});
    return download<uint32_t>(to, threads);
  }
  static PTXKernel kernel(const std::string &body, unsigned threads = 32, const std::string &target = "sm_90a") {
    PTXKernel result;
    result.threads = threads;
    result.target = target;
    result.body = ".reg .b64 %a; .reg .b64 %d<9>; .reg .b32 %t; .reg .b32 %r<33>; .reg .f32 %f<33>; .reg .pred %p<9>;\n"
                  "ld.param.u64 %a, [p0];\nmov.u32 %t, %tid.x;\n" +
                  body + "\nmul.wide.u32 %d8, %t, 4; add.u64 %d8, %a, %d8; st.global.u32 [%d8], %r7;\nret;";
    return result;
  }
  void expectLanes(const std::string &body, const std::function<uint32_t(uint32_t)> &expected) {
    std::vector<uint32_t> out = words(body);
    for (uint32_t lane = 0; lane < 32; ++lane)
      EXPECT_EQ(out[lane], expected(lane)) << body << " in lane " << lane;
  }
};

} // namespace

//===-- Values --------------------------------------------------------------===//

TEST_F(PTXWarpTest, Shuffles) {
  expectLanes("shfl.sync.idx.b32 %r7, %t, 5, 31, -1;", [](uint32_t) { return 5u; });
  expectLanes("shfl.sync.bfly.b32 %r7, %t, 3, 31, -1;", [](uint32_t lane) { return lane ^ 3; });
  expectLanes("shfl.sync.up.b32 %r7, %t, 2, 0, -1;", [](uint32_t lane) { return lane < 2 ? lane : lane - 2; });
  expectLanes("shfl.sync.down.b32 %r7, %t, 2, 31, -1;", [](uint32_t lane) { return lane > 29 ? lane : lane + 2; });
  // Segments of eight lanes: the mask in bits 8 to 12 is 24.
  expectLanes("shfl.sync.idx.b32 %r7, %t, 1, 0x181f, -1;", [](uint32_t lane) { return lane / 8 * 8 + 1; });
  expectLanes("shfl.sync.down.b32 %r7|%p0, %t, 3, 0x181f, -1; @!%p0 mov.u32 %r7, 99;",
              [](uint32_t lane) { return lane % 8 > 4 ? 99u : lane + 3; });
  expectLanes("shfl.sync.up.b32 %r7|%p0, %t, 3, 0x1800, -1; @!%p0 mov.u32 %r7, 99;",
              [](uint32_t lane) { return lane % 8 < 3 ? 99u : lane - 3; });
}

TEST_F(PTXWarpTest, ShufflesAmongMembers) {
  expectLanes(
      "mov.u32 %r7, 77; setp.lt.u32 %p0, %t, 16; @!%p0 bra END; shfl.sync.bfly.b32 %r7, %t, 8, 31, 0xffff; END:",
      [](uint32_t lane) { return lane < 16 ? lane ^ 8 : 77u; });
}

TEST_F(PTXWarpTest, Votes) {
  expectLanes("setp.lt.u32 %p0, %t, 5; vote.sync.ballot.b32 %r7, %p0, -1;", [](uint32_t) { return 31u; });
  expectLanes(
      "setp.lt.u32 %p0, %t, 5; vote.sync.any.pred %p1, %p0, -1; vote.sync.all.pred %p2, !%p0, -1;\n"
      "vote.sync.uni.pred %p3, %p0, -1; selp.u32 %r7, 1, 0, %p1; @%p2 add.u32 %r7, %r7, 2; @%p3 add.u32 %r7, %r7, 4;",
      [](uint32_t) { return 1u; });
  expectLanes("and.b32 %r0, %t, 3; match.any.sync.b32 %r7, %r0, -1;",
              [](uint32_t lane) { return 0x11111111u << lane % 4; });
  expectLanes("mov.u32 %r0, 3; match.all.sync.b32 %r7|%p0, %r0, -1; @!%p0 mov.u32 %r7, 0;",
              [](uint32_t) { return ~0u; });
  expectLanes("mov.u32 %r7, 99; setp.lt.u32 %p1, %t, 4; @%p1 bra END; elect.sync %r0|%p0, 0xfffffff0; selp.u32 %r7, "
              "%r0, 99, %p0; END:",
              [](uint32_t lane) { return lane == 4 ? 4u : 99u; });
}

TEST_F(PTXWarpTest, Reduces) {
  expectLanes("redux.sync.add.u32 %r7, %t, -1;", [](uint32_t) { return 496u; });
  expectLanes("sub.u32 %r0, %t, 5; redux.sync.min.s32 %r7, %r0, -1;",
              [](uint32_t) { return static_cast<uint32_t>(-5); });
  expectLanes("sub.u32 %r0, %t, 5; redux.sync.max.u32 %r7, %r0, -1;",
              [](uint32_t) { return static_cast<uint32_t>(-1); });
  expectLanes("redux.sync.xor.b32 %r7, %t, -1;", [](uint32_t) { return 0u; });
}

//===-- Named barriers ------------------------------------------------------===//

TEST_F(PTXWarpTest, MeetsAtNamedBarriers) {
  // Warps 1 and 2 produce, warp 0 arrives when it has consumed; three rounds with two barriers.
  std::vector<uint32_t> out =
      words(".shared .align 16 .b8 data[256];\nmov.u32 %r7, 0; mov.u32 %r0, 0; shl.b32 %r1, %t, 2; mov.u32 %r2, data;\n"
            "add.u32 %r2, %r2, %r1; setp.lt.u32 %p0, %t, 32;\n"
            "ROUND: @%p0 bra CONSUME;\nbar.sync 2, 96; mul.lo.u32 %r3, %r0, 1000; add.u32 %r3, %r3, %t;\n"
            "st.shared.u32 [%r2+-128], %r3; bar.arrive 1, 96; bra NEXT;\n"
            "CONSUME: bar.arrive 2, 96; bar.sync 1, 96; ld.shared.u32 %r3, [%r2]; ld.shared.u32 %r4, [%r2+128];\n"
            "add.u32 %r7, %r7, %r3; add.u32 %r7, %r7, %r4;\n"
            "NEXT: add.u32 %r0, %r0, 1; setp.lt.u32 %p1, %r0, 3; @%p1 bra ROUND;",
            96);
  for (uint32_t lane = 0; lane < 32; ++lane)
    EXPECT_EQ(out[lane], 3 * (2 * lane + 96) + 2 * 3000);
}

TEST_F(PTXWarpTest, WaitsForLivingThreadsOnly) {
  words("mov.u32 %r7, 0; setp.ge.u32 %p0, %t, 32; @%p0 bra END; bar.sync 0; END:", 96);
  words("mov.u32 %r7, 0; setp.eq.u32 %p0, %t, 0; @%p0 bra END; bar.warp.sync 0xfffffffe; END: barrier.sync 3, 32;");
}

//===-- Matrices ------------------------------------------------------------===//

TEST_F(PTXWarpTest, LoadsAndStoresMatrices) {
  // Row r of tile m has the elements 64 m + 8 r + column. Lane l holds two of row l / 4, or of column l / 4.
  std::string fill =
      ".shared .align 16 .b8 data[512]; .shared .align 16 .b8 copy[512];\nmov.u32 %r0, data; shl.b32 %r1, %t, 4;\n"
      "add.u32 %r0, %r0, %r1; shl.b32 %r2, %t, 3; mad.lo.u32 %r2, %r2, 0x10001, 0x10000;\n"
      "add.u32 %r3, %r2, 0x20002; add.u32 %r4, %r2, 0x40004; add.u32 %r5, %r2, 0x60006;\n"
      "st.shared.v4.b32 [%r0], {%r2, %r3, %r4, %r5}; bar.warp.sync -1;\n";
  auto element = [](uint32_t tile, uint32_t row, uint32_t column) { return 64 * tile + 8 * row + column; };
  expectLanes(fill + "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r7}, [%r0];", [&](uint32_t lane) {
    return element(3, lane / 4, lane % 4 * 2) | element(3, lane / 4, lane % 4 * 2 + 1) << 16;
  });
  expectLanes(fill + "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r10, %r7}, [%r0];", [&](uint32_t lane) {
    return element(1, lane % 4 * 2, lane / 4) | element(1, lane % 4 * 2 + 1, lane / 4) << 16;
  });
  expectLanes(
      fill + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, [%r0]; movmatrix.sync.aligned.m8n8.trans.b16 %r7, %r10;",
      [&](uint32_t lane) { return element(0, lane % 4 * 2, lane / 4) | element(0, lane % 4 * 2 + 1, lane / 4) << 16; });
  std::string store =
      fill +
      "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r10, %r11}, [%r0];\nmov.u32 %r9, copy; add.u32 %r9, %r9, %r1;\n";
  std::string read =
      " bar.warp.sync -1; mov.u32 %r9, copy; shl.b32 %r1, %t, 2; add.u32 %r9, %r9, %r1; ld.shared.b32 %r7, [%r9+128];";
  expectLanes(store + "stmatrix.sync.aligned.m8n8.x2.shared.b16 [%r9], {%r10, %r11};" + read, [&](uint32_t lane) {
    return element(1, lane / 4, lane % 4 * 2) | element(1, lane / 4, lane % 4 * 2 + 1) << 16;
  });
  expectLanes(store + "stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%r9], {%r10, %r11};" + read, [&](uint32_t lane) {
    return element(1, lane % 4 * 2, lane / 4) | element(1, lane % 4 * 2 + 1, lane / 4) << 16;
  });
}

namespace {

/// Small integers, so that every product and sum is exact.
struct MatrixCase {
  uint32_t k;
  std::vector<int> a, b, c;

  explicit MatrixCase(uint32_t k) : k(k) {
    std::mt19937 random(k);
    for (std::vector<int> *matrix : {&a, &b, &c})
      for (uint32_t at = 0; at < 16 * 16; ++at)
        matrix->push_back(static_cast<int>(random() % 9) - 4);
  }
  int atA(uint32_t row, uint32_t at) const { return a[row * 16 + at]; }
  int atB(uint32_t at, uint32_t column) const { return b[at * 8 + column]; }
  int atC(uint32_t row, uint32_t column) const { return c[row * 8 + column]; }
  float result(uint32_t row, uint32_t column) const {
    int sum = atC(row, column);
    for (uint32_t at = 0; at < k; ++at)
      sum += atA(row, at) * atB(at, column);
    return static_cast<float>(sum);
  }
};

} // namespace

/// The fragments of a lane as words, in the order A, B, C, by the layouts in the manual of PTX.
static std::vector<uint32_t> fragments(const MatrixCase &matrices, uint32_t lane, const std::string &type, bool halfC) {
  uint32_t group = lane / 4, quad = lane % 4;
  auto encode = [&](int value) -> uint32_t {
    auto real = static_cast<float>(value);
    return type == "bf16" ? toBf16(real) : type == "f16" ? toF16(real) : std::bit_cast<uint32_t>(real);
  };
  auto pair = [&](int low, int high) { return encode(low) | encode(high) << 16; };
  std::vector<uint32_t> words;
  if (type == "tf32") {
    for (uint32_t k = 0; k < matrices.k; k += 4)
      for (uint32_t row : {group, group + 8})
        words.push_back(encode(matrices.atA(row, quad + k)));
    for (uint32_t k = 0; k < matrices.k; k += 4)
      words.push_back(encode(matrices.atB(quad + k, group)));
  } else {
    for (uint32_t k = 0; k < matrices.k; k += 8)
      for (uint32_t row : {group, group + 8})
        words.push_back(pair(matrices.atA(row, k + 2 * quad), matrices.atA(row, k + 2 * quad + 1)));
    for (uint32_t k = 0; k < matrices.k; k += 8)
      words.push_back(pair(matrices.atB(k + 2 * quad, group), matrices.atB(k + 2 * quad + 1, group)));
  }
  for (uint32_t row : {group, group + 8}) {
    float low = static_cast<float>(matrices.atC(row, 2 * quad)),
          high = static_cast<float>(matrices.atC(row, 2 * quad + 1));
    if (halfC)
      words.push_back(toF16(low) | uint32_t(toF16(high)) << 16);
    else
      words.insert(words.end(), {std::bit_cast<uint32_t>(low), std::bit_cast<uint32_t>(high)});
  }
  return words;
}

TEST_F(PTXWarpTest, MultipliesMatrices) {
  struct Form {
    std::string shape, type, output, target;
    uint32_t k;
  };
  for (const Form &form : {Form{"m16n8k16", "bf16", "f32", "sm_80", 16}, Form{"m16n8k16", "f16", "f32", "sm_80", 16},
                           Form{"m16n8k16", "f16", "f16", "sm_80", 16}, Form{"m16n8k8", "bf16", "f32", "sm_80", 8},
                           Form{"m16n8k8", "f16", "f32", "sm_80", 8}, Form{"m16n8k8", "tf32", "f32", "sm_80", 8},
                           Form{"m16n8k4", "tf32", "f32", "sm_80", 4}}) {
    MatrixCase matrices(form.k);
    bool halfC = form.output == "f16";
    std::vector<uint32_t> inputs;
    for (uint32_t lane = 0; lane < 32; ++lane) {
      std::vector<uint32_t> words = fragments(matrices, lane, form.type, halfC);
      words.resize(16);
      inputs.insert(inputs.end(), words.begin(), words.end());
    }
    uint32_t perWord = form.type == "tf32" ? 1 : 2, next = 10;
    auto list = [&](uint32_t count) {
      std::string text;
      for (uint32_t at = 0; at < count; ++at)
        text += fmt::format("{}%r{}", at ? ", " : "", next++);
      return "{" + text + "}";
    };
    uint32_t countC = halfC ? 2 : 4;
    std::string a = list(16 * form.k / 32 / perWord), b = list(8 * form.k / 32 / perWord), c = list(countC);
    uint32_t total = next - 10;
    std::string body = "mul.wide.u32 %d0, %t, 64; add.u64 %d0, %a, %d0;\n";
    for (uint32_t at = 0; at < total; ++at)
      body += fmt::format("ld.global.b32 %r{}, [%d0+{}];\n", 10 + at, 4 * at);
    body += fmt::format("{{ .reg .b32 %x<4>; mma.sync.aligned.{}.row.col.{}.{}.{}.{} {}, {}, {}, {};\n", form.shape,
                        form.output, form.type, form.type, form.output, halfC ? "{%x0, %x1}" : "{%x0, %x1, %x2, %x3}",
                        a, b, c);
    for (uint32_t at = 0; at < countC; ++at)
      body += fmt::format("st.global.b32 [%d0+{}], %x{};\n", 4 * at, at);
    PTXKernel kernel;
    kernel.target = form.target;
    kernel.body = ".reg .b64 %a, %d0; .reg .b32 %t; .reg .b32 %r<32>;\nld.param.u64 %a, [p0];\nmov.u32 %t, %tid.x;\n" +
                  body + "}\nret;";
    CUdeviceptr memory = upload(inputs);
    // C and D are f32 registers in PTX's eyes, which .b32 registers may hold.
    run(kernel, {memory});
    std::vector<uint32_t> out = download<uint32_t>(memory, 32 * 16);
    for (uint32_t lane = 0; lane < 32; ++lane)
      for (uint32_t at = 0; at < 4; ++at) {
        float got = halfC ? fromF16(static_cast<uint16_t>(out[16 * lane + at / 2] >> 16 * (at % 2)))
                          : std::bit_cast<float>(out[16 * lane + at]);
        EXPECT_EQ(got, matrices.result(lane / 4 + 8 * (at / 2), lane % 4 * 2 + at % 2))
            << form.shape << form.type << lane;
      }
  }
}

TEST_F(PTXWarpTest, PropagatesUninitialisedElementsOfMatrices) {
  // Only row 1 of A is not initialised, and so only row 1 of the product.
  std::string body =
      "setp.eq.u32 %p0, %t, 4; mov.b32 %r1, 0; @!%p0 mov.b32 %r0, 0; mov.f32 %f0, 0f00000000;\n"
      "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, {%r0, %r1}, {%r1}, {%f0, %f0, "
      "%f0, %f0};\nmov.b32 %r7, %f1; shr.u32 %r8, %t, 2; setp.eq.u32 %p1, %r8, 1;\n";
  words(body + "@%p1 mov.b32 %r7, 0;", 32, "sm_80");
  expectReport(kernel(body, 32, "sm_80"), {allocate(128)}, "uninitialised value of %r7");
}

//===-- Reports -------------------------------------------------------------===//

TEST_F(PTXWarpTest, ReportsDivergentShuffles) {
  expectReport(kernel("setp.lt.u32 %p0, %t, 16; @%p0 bra OTHER; shfl.sync.bfly.b32 %r7, %t, 1, 31, -1; bra END;\n"
                      "OTHER: shfl.sync.bfly.b32 %r7, %t, 1, 31, -1; END:"),
               {allocate(128)}, "divergent warp");
  expectReport(kernel("setp.eq.u32 %p0, %t, 3; @%p0 ret; shfl.sync.bfly.b32 %r7, %t, 1, 31, -1;"), {allocate(128)},
               "lanes");
  expectReport(kernel("shfl.sync.bfly.b32 %r7, %t, 1, 31, 0xff;"), {allocate(128)},
               "member mask 0xff does not name the executing lane");
  // A lane that does not take part gives nothing that may be used.
  expectReport(
      kernel("mov.u32 %r7, 0; setp.ge.u32 %p0, %t, 16; @%p0 bra END; shfl.sync.idx.b32 %r7, %t, 20, 31, 0xffff; END:"),
      {allocate(128)}, "uninitialised value of %r7");
}

TEST_F(PTXWarpTest, ReportsDivergentBarriers) {
  PTXOutcome outcome = launch(
      kernel("mov.u32 %r7, 0; setp.lt.u32 %p0, %t, 7; @%p0 bra OTHER; bar.sync 0; bra END; OTHER: bar.sync 0; END:",
             64),
      {allocate(256)});
  EXPECT_EQ(outcome.result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_NE(outcome.report.find("divergent warp"), std::string::npos) << outcome.report;
  EXPECT_NE(outcome.report.find("threads 0 to 6 wait for the other lanes"), std::string::npos) << outcome.report;
}

TEST_F(PTXWarpTest, ReportsDeadlocks) {
  PTXOutcome outcome =
      launch(kernel("mov.u32 %r7, 0; setp.lt.u32 %p0, %t, 32; @%p0 bar.sync 1, 64; @!%p0 bar.sync 2, 64;", 64),
             {allocate(256)});
  EXPECT_EQ(outcome.result, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_NE(outcome.report.find("dead-lock"), std::string::npos) << outcome.report;
  EXPECT_NE(outcome.report.find("threads 0 to 31 wait at a barrier"), std::string::npos) << outcome.report;
  EXPECT_NE(outcome.report.find("[barrier 2: 32 of 64 threads]"), std::string::npos) << outcome.report;
}

TEST_F(PTXWarpTest, ReportsWrongThreadCounts) {
  expectReport(kernel("mov.u32 %r7, 0; setp.lt.u32 %p0, %t, 32; @%p0 bar.sync 1, 64; @!%p0 bar.sync 1, 96;", 64),
               {allocate(256)}, "barrier 1 already expects");
  expectReport(kernel("mov.u32 %r7, 33; bar.sync 1, %r7;"), {allocate(128)}, "positive multiple of 32");
}
