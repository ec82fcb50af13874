// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// wgmma of the PTX executor in all its forms, on operands that the host lays out in shared memory.

#include "test/ptx/FloatFormats.h"
#include "test/unit/PTXFixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <random>

using namespace weft::ptx;
using namespace weft::test;

namespace {

/// Rows along k have 128 bytes.
constexpr uint32_t kSteps = 4;

/// How an operand lies in shared memory.
struct Layout {
  /// 0 none, 1 for 32 bytes, 2 for 64, 3 for 128.
  int swizzle = 3;
  /// Whether elements along k are apart from one another.
  bool transposed = false;
};

struct Form {
  std::string type = "bf16";
  uint32_t columns = 64;
  Layout a, b;
  bool registersA = false, halfOutput = false;
  int scaleA = 1, scaleB = 1;

  uint32_t elementBytes() const { return type == "tf32" ? 4 : 2; }
  uint32_t k() const { return 32 / elementBytes(); }
};

/// An operand's bytes, and what its descriptor says of them.
struct Image {
  std::vector<uint8_t> bytes;
  uint32_t leading = 16, stride = 16, layout = 0;
  /// Where each step along k begins.
  uint32_t steps[kSteps] = {};

  uint64_t descriptor() const {
    return uint64_t(leading / 16) << 16 | uint64_t(stride / 16) << 32 | uint64_t(layout) << 62;
  }
};

class PTXWarpgroupTest : public PTXTest {
protected:
  void SetUp() override {
    PTXTest::SetUp();
    std::mt19937 random(5);
    for (auto &row : a)
      for (int &element : row)
        element = static_cast<int>(random() % 9) - 4;
    for (auto &row : b)
      for (int &element : row)
        element = static_cast<int>(random() % 9) - 4;
  }

  static uint32_t encode(const Form &form, int value) {
    auto real = static_cast<float>(value);
    return form.type == "bf16" ? toBf16(real) : form.type == "f16" ? toF16(real) : std::bit_cast<uint32_t>(real);
  }
  template <typename F> Image image(const Form &form, const Layout &layout, uint32_t outer, F value);
  std::string fragmentsOfA(const Form &form, uint32_t step);
  PTXKernel kernel(const Form &form, const Image &imageA, const Image &imageB);
  void expectProduct(const Form &form);

  /// a[row][k] and b[column][k].
  int a[64][64], b[256][64];
};

} // namespace

/// Where element (o, k) stands, written down for each layout on its own.
template <typename F> Image PTXWarpgroupTest::image(const Form &form, const Layout &layout, uint32_t outer, F value) {
  uint32_t size = form.elementBytes(), depth = kSteps * form.k(), span = 16u << layout.swizzle;
  Image result;
  constexpr uint32_t kLayouts[] = {0, 3, 2, 1};
  result.layout = kLayouts[layout.swizzle];
  auto exchange = [&](uint32_t chunk, uint32_t row) {
    return layout.swizzle == 3   ? chunk ^ row % 8
           : layout.swizzle == 2 ? chunk ^ row / 2 % 4
           : layout.swizzle == 1 ? chunk ^ row / 4 % 2
                                 : chunk;
  };
  auto place = [&](uint32_t o, uint32_t k) {
    uint32_t inner = (layout.transposed ? o : k) * size, row = layout.transposed ? k : o;
    if (!layout.swizzle) {
      // 8 rows of 16 bytes are one block; blocks of all rows, or columns, stand before those of the next 16 bytes of k.
      uint32_t block = layout.transposed ? k / 8 * (outer / 8) + o / 8 : inner / 16 * (outer / 8) + o / 8;
      return block * 128 + row % 8 * 16 + inner % 16;
    }
    uint32_t rows = layout.transposed ? depth : outer;
    return inner / span * rows * span + row * span + exchange(inner % span / 16, row) * 16 + inner % 16;
  };
  uint32_t acrossBlocks = outer / 8 * 128;
  if (!layout.swizzle) {
    result.stride = 128;
    result.leading = acrossBlocks;
    for (uint32_t step = 0; step < kSteps; ++step)
      result.steps[step] = step * 2 * acrossBlocks;
  } else if (layout.transposed) {
    result.stride = 8 * span;
    result.leading = depth * span;
    for (uint32_t step = 0; step < kSteps; ++step)
      result.steps[step] = step * form.k() * span;
  } else {
    result.stride = 8 * span;
    // A step is 32 bytes along a row, or begins the next column of rows.
    for (uint32_t step = 0; step < kSteps; ++step)
      result.steps[step] = step * 32 / span * outer * span + step * 32 % span;
  }
  result.bytes.resize(outer * depth * size);
  for (uint32_t o = 0; o < outer; ++o)
    for (uint32_t k = 0; k < depth; ++k) {
      uint32_t bits = encode(form, value(o, k));
      std::memcpy(&result.bytes[place(o, k)], &bits, size);
    }
  return result;
}

/// Statements that build A's four registers of a step from a table [row][k] in %a.
std::string PTXWarpgroupTest::fragmentsOfA(const Form &form, uint32_t step) {
  std::string text;
  uint32_t depth = kSteps * form.k();
  for (uint32_t at = 0; at < 4; ++at) {
    // Row t / 128 * 64 + warp * 16 + lane / 4 + 8 (at % 2), column (lane % 4 + 4 (at / 2)) * perRegister.
    text += fmt::format("add.u32 %r20, %r18, {}; mad.lo.u32 %r21, %r20, {}, 0; add.u32 %r22, %r19, {};\n", 8 * (at % 2),
                        depth * form.elementBytes(), 4 * (at / 2));
    text += fmt::format("shl.b32 %r22, %r22, 2; add.u32 %r21, %r21, %r22; cvt.u64.u32 %d1, %r21; add.u64 %d1, %a, %d1; "
                        "ld.global.b32 %r{}, [%d1+{}];\n",
                        8 + at, step * form.k() * form.elementBytes());
  }
  return text;
}

PTXKernel PTXWarpgroupTest::kernel(const Form &form, const Image &imageA, const Image &imageB) {
  uint32_t registers = form.columns / (form.halfOutput ? 4 : 2),
           bytesA = form.registersA ? 0 : static_cast<uint32_t>(imageA.bytes.size());
  auto bytesB = static_cast<uint32_t>(imageB.bytes.size());
  const char *kind = form.halfOutput ? "b32" : "f32";
  std::string accumulators;
  for (uint32_t at = 0; at < registers; ++at)
    accumulators += fmt::format("{}%c{}", at ? ", " : "", at);
  PTXKernel result;
  result.parameters = 3;
  result.threads = 128;
  result.declarations = ".extern .shared .align 1024 .b8 smem[];";
  std::string &body = result.body;
  // The barrier is behind the operands.
  body = fmt::format(
      ".reg .b64 %a, %b, %o; .reg .b64 %d<9>; .reg .b32 %s, %t; .reg .b32 %r<24>; .reg .{} %c<{}>; .reg .pred %p<9>;\n"
      "ld.param.u64 %a, [p0]; ld.param.u64 %b, [p1]; ld.param.u64 %o, [p2]; mov.u32 %t, %tid.x; mov.u32 %s, smem;\n"
      "setp.ne.u32 %p0, %t, 0; add.u32 %r0, %s, {}; @%p0 bra READY; mbarrier.init.shared::cta.b64 [%r0], 1;\n"
      "fence.proxy.async; mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r0], {};\n",
      kind, registers, bytesA + bytesB, bytesA + bytesB);
  if (bytesA)
    body += fmt::format("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s], [%a], {}, [%r0];\n",
                        bytesA);
  body +=
      fmt::format("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%s+{}], [%b], {}, [%r0];\n"
                  "READY: bar.sync 0;\nWAIT: mbarrier.try_wait.parity.shared::cta.b64 %p1, [%r0], 0; @!%p1 bra WAIT;\n"
                  "shr.u32 %r1, %s, 4; cvt.u64.u32 %d0, %r1;\n"
                  // Of registers for A: row and quad.
                  "shr.u32 %r18, %t, 5; shl.b32 %r18, %r18, 4; and.b32 %r19, %t, 31; shr.u32 %r20, %r19, 2; add.u32 "
                  "%r18, %r18, %r20; and.b32 %r19, %r19, 3;\n",
                  bytesA, bytesB);
  for (uint32_t step = 0; step < kSteps; ++step) {
    std::string operandA = "{%r8, %r9, %r10, %r11}", transposeA;
    if (form.registersA)
      body += (step ? "wgmma.wait_group.sync.aligned 0;\n" : "") + fragmentsOfA(form, step);
    else {
      body += fmt::format("add.u64 %d2, %d0, {};\n", (imageA.descriptor() & ~0x3fffull) + imageA.steps[step] / 16);
      operandA = "%d2";
      transposeA = fmt::format(", {}", int(form.a.transposed));
    }
    std::string transposes = form.type == "tf32" ? "" : fmt::format("{}, {}", transposeA, int(form.b.transposed));
    body += fmt::format("add.u64 %d3, %d0, {};\nsetp.ne.u32 %p2, {}, 0;\nwgmma.fence.sync.aligned;\n"
                        "wgmma.mma_async.sync.aligned.m64n{}k{}.{}.{}.{} {{{}}}, {}, %d3, %p2, {}, "
                        "{}{};\nwgmma.commit_group.sync.aligned;\n",
                        (imageB.descriptor() & ~0x3fffull) + (bytesA + imageB.steps[step]) / 16, step, form.columns,
                        form.k(), form.halfOutput ? "f16" : "f32", form.type, form.type, accumulators, operandA,
                        form.scaleA, form.scaleB, transposes);
  }
  body +=
      fmt::format("wgmma.wait_group.sync.aligned 0;\nmul.wide.u32 %d4, %t, {}; add.u64 %d4, %o, %d4;\n", registers * 4);
  for (uint32_t at = 0; at < registers; ++at)
    body += fmt::format("st.global.{} [%d4+{}], %c{};\n", kind, 4 * at, at);
  body += "ret;";
  return result;
}

void PTXWarpgroupTest::expectProduct(const Form &form) {
  uint32_t depth = kSteps * form.k(), registers = form.columns / (form.halfOutput ? 4 : 2);
  Image imageA = image(form, form.a, 64, [&](uint32_t row, uint32_t k) { return a[row][k]; });
  Image imageB = image(form, form.b, form.columns, [&](uint32_t column, uint32_t k) { return b[column][k]; });
  if (form.registersA)
    for (uint32_t row = 0; row < 64; ++row)
      for (uint32_t k = 0; k < depth; ++k) {
        uint32_t bits = encode(form, a[row][k]);
        std::memcpy(&imageA.bytes[(row * depth + k) * form.elementBytes()], &bits, form.elementBytes());
      }
  CUdeviceptr to = allocate(128 * registers * 4);
  auto shared = static_cast<unsigned>(imageA.bytes.size() + imageB.bytes.size() + 16);
  run(kernel(form, imageA, imageB), {upload(imageA.bytes), upload(imageB.bytes), to}, shared);
  std::vector<uint32_t> out = download<uint32_t>(to, 128 * registers);
  for (uint32_t thread = 0; thread < 128; ++thread)
    for (uint32_t at = 0; at < form.columns / 2; ++at) {
      uint32_t row = thread / 32 * 16 + thread % 32 / 4 + 8 * (at / 2 % 2),
               column = at / 4 * 8 + thread % 4 * 2 + at % 2;
      int expected = 0;
      for (uint32_t k = 0; k < depth; ++k)
        expected += form.scaleA * form.scaleB * a[row][k] * b[column][k];
      float got = form.halfOutput ? fromF16(static_cast<uint16_t>(out[thread * registers + at / 2] >> 16 * (at % 2)))
                                  : std::bit_cast<float>(out[thread * registers + at]);
      ASSERT_EQ(got, static_cast<float>(expected)) << form.type << " row " << row << " column " << column;
    }
}

TEST_F(PTXWarpgroupTest, MultipliesWithEverySwizzle) {
  for (int swizzle = 0; swizzle < 4; ++swizzle)
    for (bool transposeA : {false, true})
      for (bool transposeB : {false, true}) {
        SCOPED_TRACE(fmt::format("swizzle {} transposes {} {}", swizzle, transposeA, transposeB));
        Form form;
        form.a = {swizzle, transposeA};
        form.b = {swizzle, transposeB};
        expectProduct(form);
      }
}

TEST_F(PTXWarpgroupTest, MultipliesWithAnyNumberOfColumns) {
  for (uint32_t columns : {8u, 24u, 176u, 256u}) {
    Form form;
    form.columns = columns;
    form.a.swizzle = form.b.swizzle = 2;
    expectProduct(form);
    form.registersA = true;
    expectProduct(form);
  }
}

TEST_F(PTXWarpgroupTest, TakesAFromRegisters) {
  for (const char *type : {"bf16", "f16", "tf32"})
    for (bool transposed : {false, true}) {
      Form form;
      form.type = type;
      form.registersA = true;
      form.b.transposed = transposed && form.type != "tf32";
      expectProduct(form);
    }
}

TEST_F(PTXWarpgroupTest, KnowsOtherTypesAndScales) {
  Form form;
  form.type = "f16";
  expectProduct(form);
  form.halfOutput = true;
  expectProduct(form);
  form.halfOutput = false;
  form.scaleA = -1;
  expectProduct(form);
  form.scaleB = -1;
  expectProduct(form);
  form = Form();
  form.type = "tf32";
  for (int swizzle : {0, 1, 2, 3}) {
    form.a.swizzle = form.b.swizzle = swizzle;
    expectProduct(form);
  }
}
