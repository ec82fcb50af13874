// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arithmetic, conversions, comparisons and moves of the PTX executor: single results, worked out by hand or in C++.

#include "test/unit/PTXFixture.h"

#include <bit>
#include <cmath>
#include <limits>

using namespace weft::test;

namespace {

class PTXArithmeticTest : public PTXTest {
protected:
  /// A 32-bit result in %r7.
  static PTXCase word(const std::string &body, uint64_t input, uint32_t expected) {
    return {body + " cvt.u64.u32 %out, %r7;", input, expected};
  }
  /// A 64-bit result in %out.
  static PTXCase wide(const std::string &body, uint64_t input, uint64_t expected) { return {body, input, expected}; }
  /// A 16-bit result in %h7.
  static PTXCase half(const std::string &body, uint64_t input, uint16_t expected) {
    return {body + " cvt.u64.u16 %out, %h7;", input, expected};
  }
  /// From %f0 to %f7.
  static PTXCase real(const std::string &body, float input, float expected) {
    return {body + " mov.b32 %r7, %f7; cvt.u64.u32 %out, %r7;", std::bit_cast<uint32_t>(input),
            std::bit_cast<uint32_t>(expected)};
  }
  /// From %f0 to a predicate %p1.
  static PTXCase truth(const std::string &body, float input, bool expected) {
    return {body + " selp.b64 %out, 1, 0, %p1;", std::bit_cast<uint32_t>(input), expected};
  }
  /// From %r0 to a predicate %p1.
  static PTXCase holds(const std::string &body, uint64_t input, bool expected) {
    return {body + " selp.b64 %out, 1, 0, %p1;", input, expected};
  }
};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();
/// What the hardware makes of every NaN.
const float kCanonicalNan = std::bit_cast<float>(0x7fffffffu);

} // namespace

TEST_F(PTXArithmeticTest, AddsAndMultipliesIntegers) {
  expectAll({
      word("add.s32 %r7, %r0, -5;", 3, static_cast<uint32_t>(-2)),
      word("add.u32 %r7, %r0, 1;", 0xffffffff, 0),
      wide("add.s64 %out, %in, -1;", 0, ~0ull),
      word("sub.s32 %r7, %r0, 7;", 5, static_cast<uint32_t>(-2)),
      word("mul.lo.s32 %r7, %r0, -3;", 7, static_cast<uint32_t>(-21)),
      word("mul.hi.u32 %r7, %r0, %r0;", 0xffffffff, 0xfffffffe),
      word("mul.hi.s32 %r7, %r0, %r0;", 0xffffffff, 0),
      wide("mul.wide.s32 %out, %r0, -2;", 0x80000000, 0x100000000ull),
      wide("mul.wide.u32 %out, %r0, %r0;", 0xffffffff, 0xfffffffe00000001ull),
      wide("mul.hi.u64 %out, %in, %in;", ~0ull, 0xfffffffffffffffeull),
      wide("mul.hi.s64 %out, %in, 2;", ~0ull, ~0ull),
      wide("mul.lo.s64 %out, %in, -3;", 5, static_cast<uint64_t>(-15)),
      word("mad.lo.s32 %r7, %r0, %r0, 1;", static_cast<uint32_t>(-4), 17),
      wide("mad.wide.u32 %out, %r0, 4, %in;", 0x40000000, 0x140000000ull),
      word("mad.hi.u32 %r7, %r0, 2, 5;", 0x80000000, 6),
      half("add.s16 %h7, %h0, 1;", 0xffff, 0),
      half("mul.lo.u16 %h7, %h0, 3;", 0x8000, 0x8000),
      word("sad.u32 %r7, %r0, 10, 100;", 3, 107),
  });
}

TEST_F(PTXArithmeticTest, DividesIntegers) {
  expectAll({
      word("div.u32 %r7, %r0, 10;", 0xffffffff, 429496729),
      word("div.s32 %r7, %r0, 2;", static_cast<uint32_t>(-7), static_cast<uint32_t>(-3)),
      word("rem.s32 %r7, %r0, 2;", static_cast<uint32_t>(-7), static_cast<uint32_t>(-1)),
      word("rem.u32 %r7, %r0, 10;", 0xffffffff, 5),
      word("div.s32 %r7, %r0, -1;", 0x80000000, 0x80000000),
      wide("div.u64 %out, %in, 3;", ~0ull, ~0ull / 3),
      wide("rem.s64 %out, %in, 5;", static_cast<uint64_t>(-13), static_cast<uint64_t>(-3)),
  });
}

TEST_F(PTXArithmeticTest, OrdersIntegers) {
  expectAll({
      word("min.s32 %r7, %r0, 3;", static_cast<uint32_t>(-1), static_cast<uint32_t>(-1)),
      word("min.u32 %r7, %r0, 3;", static_cast<uint32_t>(-1), 3),
      word("max.s32 %r7, %r0, 3;", static_cast<uint32_t>(-1), 3),
      wide("max.u64 %out, %in, 3;", ~0ull, ~0ull),
      word("max.relu.s32 %r7, %r0, -3;", static_cast<uint32_t>(-5), 0),
      word("max.relu.s32 %r7, %r0, 3;", 5, 5),
      word("min.relu.s32 %r7, %r0, 3;", static_cast<uint32_t>(-5), 0),
      word("min.relu.s32 %r7, %r0, 3;", 2, 2),
      word("neg.s32 %r7, %r0;", 5, static_cast<uint32_t>(-5)),
      word("abs.s32 %r7, %r0;", static_cast<uint32_t>(-5), 5),
      half("min.s16 %h7, %h0, 2;", 0x8000, 0x8000),
  });
}

TEST_F(PTXArithmeticTest, CombinesBits) {
  expectAll({
      word("and.b32 %r7, %r0, 0xff00;", 0x1234, 0x1200),
      word("or.b32 %r7, %r0, 0xff00;", 0x1234, 0xff34),
      word("xor.b32 %r7, %r0, 0xff00;", 0x1234, 0xed34),
      word("not.b32 %r7, %r0;", 0x1234, 0xffffedcb),
      word("cnot.b32 %r7, %r0;", 0, 1),
      // a & b | c has the table 0xea; a ^ b ^ c has 0x96.
      word("lop3.b32 %r7, %r0, 0x00ff, 0x0f00, 0xea;", 0x1234, 0x0f34),
      word("lop3.b32 %r7, %r0, 0x00ff, 0x0f00, 0x96;", 0x1234, 0x1234 ^ 0xff ^ 0xf00),
      word("popc.b32 %r7, %r0;", 0xf0f0, 8),
      word("popc.b64 %r7, %in;", ~0ull, 64),
      word("clz.b32 %r7, %r0;", 0x00010000, 15),
      word("clz.b64 %r7, %in;", 1, 63),
      word("brev.b32 %r7, %r0;", 0x80000001, 0x80000001),
      word("brev.b32 %r7, %r0;", 0x00000006, 0x60000000),
      word("bfind.u32 %r7, %r0;", 0x00010000, 16),
      word("bfind.s32 %r7, %r0;", static_cast<uint32_t>(-2), 0),
      word("bfind.shiftamt.u32 %r7, %r0;", 0x00010000, 15),
      word("prmt.b32 %r7, %r0, 0x88776655, 0x7250;", 0x44332211, 0x88336611),
      word("prmt.b32 %r7, %r0, 0, 0x888b;", 0x80332211, 0x000000ff),
      holds("setp.ne.b32 %p2, %r0, 0; setp.ne.b32 %p3, %r0, 1; and.pred %p1, %p2, %p3;", 1, false),
      holds("setp.ne.b32 %p2, %r0, 0; not.pred %p1, %p2;", 0, true),
      holds("setp.ne.b32 %p2, %r0, 0; setp.ne.b32 %p3, %r0, 1; xor.pred %p1, %p2, %p3;", 1, true),
  });
}

TEST_F(PTXArithmeticTest, Shifts) {
  expectAll({
      word("shl.b32 %r7, %r0, 4;", 0x12345678, 0x23456780),
      word("shl.b32 %r7, 1, %r0;", 32, 0),
      word("shr.u32 %r7, %r0, 4;", 0x82345678, 0x08234567),
      word("shr.s32 %r7, %r0, 4;", 0x82345678, 0xf8234567),
      word("shr.s32 %r7, %r0, 99;", 0x82345678, 0xffffffff),
      wide("shl.b64 %out, %in, 63;", 3, 1ull << 63),
      wide("shr.u64 %out, %in, 64;", ~0ull, 0),
      word("shf.l.wrap.b32 %r7, %r0, 0x12345678, 8;", 0xabcdef01, 0x345678ab),
      word("shf.r.wrap.b32 %r7, %r0, 0x12345678, 8;", 0xabcdef01, 0x78abcdef),
      word("shf.r.wrap.b32 %r7, %r0, 0x12345678, 40;", 0xabcdef01, 0x78abcdef),
      word("shf.r.clamp.b32 %r7, %r0, 0x12345678, 40;", 0xabcdef01, 0x12345678),
  });
}

TEST_F(PTXArithmeticTest, ExtractsAndInsertsFields) {
  expectAll({
      word("bfe.u32 %r7, %r0, 8, 8;", 0x12345678, 0x56),
      word("bfe.s32 %r7, %r0, 4, 4;", 0x12345698, 0xfffffff9),
      word("bfe.s32 %r7, %r0, 28, 8;", 0x92345678, 0xfffffff9),
      word("bfe.u32 %r7, %r0, 8, 0;", 0x12345678, 0),
      wide("bfe.u64 %out, %in, 60, 8;", ~0ull, 15),
      word("bfi.b32 %r7, %r0, 0xffffffff, 8, 8;", 0x12, 0xffff12ff),
      word("bfi.b32 %r7, %r0, 5, 32, 8;", 0x12, 5),
      wide("bfi.b64 %out, %in, 0, 32, 16;", 0xabcd, 0xabcd00000000ull),
  });
}

TEST_F(PTXArithmeticTest, ComputesInSinglePrecision) {
  float third = 1.0f / 3;
  expectAll({
      real("add.f32 %f7, %f0, 0f3F800000;", 2.5f, 3.5f),
      real("add.rn.ftz.f32 %f7, %f0, 0f00000000;", 1e-40f, 0.0f),
      real("sub.f32 %f7, %f0, 1.5;", 2.5f, 1.0f),
      real("mul.rn.f32 %f7, %f0, %f0;", third, third * third),
      real("mul.sat.f32 %f7, %f0, %f0;", 3.0f, 1.0f),
      real("fma.rn.f32 %f7, %f0, %f0, 0fBDE38E39;", third, std::fma(third, third, std::bit_cast<float>(0xBDE38E39u))),
      real("mad.rn.f32 %f7, %f0, 2.0, 1.0;", 4.0f, 9.0f),
      real("div.rn.f32 %f7, %f0, 3.0;", 1.0f, third),
      real("rcp.rn.f32 %f7, %f0;", 3.0f, third),
      real("sqrt.rn.f32 %f7, %f0;", 2.0f, std::sqrt(2.0f)),
      real("rsqrt.approx.f32 %f7, %f0;", 4.0f, 0.5f),
      real("ex2.approx.ftz.f32 %f7, %f0;", 3.0f, 8.0f),
      real("ex2.approx.ftz.f32 %f7, %f0;", -kInfinity, 0.0f),
      real("ex2.approx.ftz.f32 %f7, %f0;", -140.0f, 0.0f),
      real("lg2.approx.f32 %f7, %f0;", 0.125f, -3.0f),
      real("lg2.approx.f32 %f7, %f0;", 0.0f, -kInfinity),
      real("tanh.approx.f32 %f7, %f0;", 0.0f, 0.0f),
      real("sin.approx.f32 %f7, %f0;", 0.0f, 0.0f),
      real("cos.approx.f32 %f7, %f0;", 0.0f, 1.0f),
      real("neg.f32 %f7, %f0;", 2.5f, -2.5f),
      real("abs.f32 %f7, %f0;", -2.5f, 2.5f),
      real("copysign.f32 %f7, %f0, 2.0;", -1.0f, -2.0f),
      real("add.f32 %f7, %f0, %f0;", kNan, kCanonicalNan),
  });
}

TEST_F(PTXArithmeticTest, OrdersNumbersAndNan) {
  expectAll({
      real("min.f32 %f7, %f0, 1.0;", kNan, 1.0f),
      real("max.f32 %f7, %f0, 1.0;", kNan, 1.0f),
      real("max.NaN.f32 %f7, %f0, 1.0;", kNan, kCanonicalNan),
      real("min.NaN.f32 %f7, 1.0, %f0;", kNan, kCanonicalNan),
      real("max.f32 %f7, %f0, 0f80000000;", 0.0f, 0.0f),
      real("min.f32 %f7, %f0, 0f80000000;", 0.0f, -0.0f),
      real("max.ftz.f32 %f7, %f0, 0f80000000;", -1e-40f, -0.0f),
      real("max.f32 %f7, %f0, 2.0;", -kInfinity, 2.0f),
  });
}

TEST_F(PTXArithmeticTest, ComputesInDoublePrecision) {
  auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
  expectAll({
      wide("fma.rn.f64 %g1, %g0, %g0, 0dBFF0000000000000; mov.b64 %out, %g1;", bits(1.5), bits(1.25)),
      wide("div.rn.f64 %g1, %g0, 3.0; mov.b64 %out, %g1;", bits(1.0), bits(1.0 / 3)),
      wide("max.f64 %g1, %g0, 3.0; mov.b64 %out, %g1;", bits(1.0), bits(3.0)),
      wide("cvt.rn.f64.s32 %g1, %r0; mov.b64 %out, %g1;", static_cast<uint32_t>(-7), bits(-7.0)),
      wide("cvt.f64.f32 %g1, %f0; mov.b64 %out, %g1;", std::bit_cast<uint32_t>(0.1f), bits(0.1f)),
  });
}

TEST_F(PTXArithmeticTest, ComputesInHalfPrecision) {
  // f16: 1 is 0x3c00, 1.5 is 0x3e00, 2 is 0x4000, 0.5 is 0x3800. bf16: 1 is 0x3f80, 1.5 is 0x3fc0, 2 is 0x4000.
  expectAll({
      half("add.f16 %h7, %h0, %h0;", 0x3c00, 0x4000),
      half("mul.rn.f16 %h7, %h0, %h0;", 0x3e00, 0x4080),
      half("fma.rn.f16 %h7, %h0, %h0, %h0;", 0x3e00, 0x4380),
      half("fma.rn.bf16 %h7, %h0, %h0, %h0;", 0x3fc0, 0x4070),
      half("ex2.approx.f16 %h7, %h0;", 0x3c00, 0x4000),
      half("ex2.approx.ftz.bf16 %h7, %h0;", 0x3f80, 0x4000),
      half("mov.b16 %h1, 0x3f80; max.bf16 %h7, %h0, %h1;", 0x4000, 0x4000),
      half("mov.b16 %h1, 0x3c00; min.NaN.f16 %h7, %h0, %h1;", 0x7e00, 0x7fff),
      word("fma.rn.bf16x2 %r7, %r0, %r0, %r0;", 0x3fc03f80, 0x40704000),
      word("mov.b32 %r1, 0x3fc03fc0; max.bf16x2 %r7, %r0, %r1;", 0x3f804000, 0x3fc04000),
      word("add.f16x2 %r7, %r0, %r0;", 0x3c003e00, 0x40004200),
      word("ex2.approx.ftz.bf16x2 %r7, %r0;", 0x3f804000, 0x40004080),
      word("ex2.approx.f16x2 %r7, %r0;", 0x3c000000, 0x40003c00),
      word("neg.f16x2 %r7, %r0;", 0x3c00bc00, 0xbc003c00),
      half("tanh.approx.bf16 %h7, %h0;", 0x0000, 0x0000),
  });
}

TEST_F(PTXArithmeticTest, ConvertsIntegers) {
  expectAll({
      wide("cvt.s64.s32 %out, %r0;", 0xfffffffe, ~1ull),
      wide("cvt.u64.u32 %out, %r0;", 0xfffffffe, 0xfffffffe),
      word("cvt.u32.u64 %r7, %in;", 0x123456789abcdef0, 0x9abcdef0),
      word("cvt.s32.s8 %r7, %r0;", 0x1280, 0xffffff80),
      word("cvt.u32.u16 %r7, %h0;", 0xffff, 0xffff),
      word("cvt.s32.s16 %r7, %h0;", 0xffff, 0xffffffff),
      word("cvt.sat.u8.s32 %r7, %r0;", 300, 255),
      word("cvt.sat.u8.s32 %r7, %r0;", static_cast<uint32_t>(-3), 0),
      word("cvt.sat.s8.s32 %r7, %r0;", static_cast<uint32_t>(-300), static_cast<uint32_t>(-128)),
  });
}

TEST_F(PTXArithmeticTest, ConvertsBetweenIntegersAndFloats) {
  auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  expectAll({
      real("mov.b32 %r1, %f0; cvt.rn.f32.s32 %f7, %r1;", std::bit_cast<float>(0xfffffff0u), -16.0f),
      real("mov.b32 %r1, %f0; cvt.rn.f32.u32 %f7, %r1;", std::bit_cast<float>(0x01000001u), 16777216.0f),
      real("mov.b32 %r1, %f0; cvt.rp.f32.u32 %f7, %r1;", std::bit_cast<float>(0x01000001u), 16777218.0f),
      real("mov.b32 %r1, %f0; cvt.rz.f32.u32 %f7, %r1;", std::bit_cast<float>(0x01000003u), 16777218.0f),
      word("cvt.rzi.s32.f32 %r7, %f0;", bits(-2.7f), static_cast<uint32_t>(-2)),
      word("cvt.rni.s32.f32 %r7, %f0;", bits(2.5f), 2),
      word("cvt.rmi.s32.f32 %r7, %f0;", bits(-2.1f), static_cast<uint32_t>(-3)),
      word("cvt.rpi.s32.f32 %r7, %f0;", bits(2.1f), 3),
      word("cvt.rzi.s32.f32 %r7, %f0;", bits(1e20f), 0x7fffffff),
      word("cvt.rzi.u32.f32 %r7, %f0;", bits(-1.0f), 0),
      word("cvt.rzi.s32.f32 %r7, %f0;", bits(kNan), 0),
      real("cvt.rni.f32.f32 %f7, %f0;", 3.5f, 4.0f),
      real("cvt.sat.f32.f32 %f7, %f0;", -3.5f, 0.0f),
  });
}

TEST_F(PTXArithmeticTest, ConvertsBetweenFloats) {
  auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  expectAll({
      half("cvt.rn.f16.f32 %h7, %f0;", bits(1.0f + 0x1p-11f), 0x3c00),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(1.0f + 0x3p-11f), 0x3c02),
      half("cvt.rz.f16.f32 %h7, %f0;", bits(1.0f + 0x3p-11f), 0x3c01),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(65520.0f), 0x7c00),
      half("cvt.rz.f16.f32 %h7, %f0;", bits(65520.0f), 0x7bff),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(0x1p-24f), 0x0001),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(-0x1p-26f), 0x8000),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(0x1.ff8p-15f), 0x03ff),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(0x1.fffp-15f), 0x0400),
      half("cvt.rn.f16.f32 %h7, %f0;", bits(kNan), 0x7fff),
      half("cvt.rn.bf16.f32 %h7, %f0;", bits(1.0f + 0x1p-8f), 0x3f80),
      half("cvt.rn.bf16.f32 %h7, %f0;", bits(1.0f + 0x3p-8f), 0x3f82),
      word("mov.b32 {%h1, %h2}, %r0; cvt.f32.f16 %f7, %h1; mov.b32 %r7, %f7;", 0x0001, bits(0x1p-24f)),
      word("mov.b32 {%h1, %h2}, %r0; cvt.f32.f16 %f7, %h1; mov.b32 %r7, %f7;", 0xfc00, bits(-kInfinity)),
      word("mov.b32 {%h1, %h2}, %r0; cvt.f32.bf16 %f7, %h2; mov.b32 %r7, %f7;", 0x40490000, bits(3.140625f)),
      word("cvt.rn.bf16x2.f32 %r7, %f0, 2.0;", bits(1.0f), 0x3f804000),
      word("cvt.rn.f16x2.f32 %r7, %f0, 2.0;", bits(1.0f), 0x3c004000),
      word("cvt.rn.relu.bf16x2.f32 %r7, %f0, 2.0;", bits(-1.0f), 0x00004000),
      word("cvt.rna.tf32.f32 %r7, %f0;", bits(1.0f + 0x1p-11f), bits(1.0f + 0x1p-10f)),
      word("cvt.rna.tf32.f32 %r7, %f0;", bits(1.0f + 0x1.fp-12f), bits(1.0f)),
      real("cvt.f64.f32 %g1, %f0; cvt.rn.f32.f64 %f7, %g1;", 0.1f, 0.1f),
  });
}

TEST_F(PTXArithmeticTest, Compares) {
  expectAll({
      holds("setp.lt.s32 %p1, %r0, 0;", 0xffffffff, true),
      holds("setp.lt.u32 %p1, %r0, 1;", 0xffffffff, false),
      holds("setp.hi.u32 %p1, %r0, 1;", 0xffffffff, true),
      holds("setp.ge.s64 %p1, %in, -1;", ~0ull, true),
      holds("setp.eq.b32 %p1, %r0, 7;", 7, true),
      holds("setp.ne.s16 %p1, %h0, 7;", 7, false),
      holds("setp.gt.s32 %p2, %r0, 0; setp.lt.and.s32 %p1, %r0, 10, %p2;", 5, true),
      holds("setp.gt.s32 %p2, %r0, 0; setp.lt.and.s32 %p1, %r0, 10, !%p2;", 5, false),
      holds("setp.gt.s32 %p2, %r0, 9; setp.lt.or.s32 %p1, %r0, 1, %p2;", 5, false),
      holds("setp.gt.s32 %p2, %r0, 0; setp.lt.xor.s32 %p1, %r0, 10, %p2;", 5, false),
      holds("setp.lt.s32 %p2|%p1, %r0, 10;", 5, false),
      holds("setp.gt.s32 %p3, %r0, 0; setp.lt.and.s32 %p2|%p1, %r0, 10, %p3;", 50, true),
      word("set.lt.u32.s32 %r7, %r0, 10;", 5, 0xffffffff),
      word("set.lt.f32.s32 %f7, %r0, 10; mov.b32 %r7, %f7;", 5, 0x3f800000),
      truth("setp.lt.f32 %p1, %f0, 1.0;", kNan, false),
      truth("setp.ltu.f32 %p1, %f0, 1.0;", kNan, true),
      truth("setp.ne.f32 %p1, %f0, %f0;", kNan, false),
      truth("setp.neu.f32 %p1, %f0, %f0;", kNan, true),
      truth("setp.nan.f32 %p1, %f0, %f0;", kNan, true),
      truth("setp.num.f32 %p1, %f0, %f0;", 1.0f, true),
      truth("setp.geu.f32 %p1, %f0, 1.0;", 0.5f, false),
      truth("setp.gt.ftz.f32 %p1, %f0, 0.0;", 1e-40f, false),
      holds("mov.b16 %h1, 0xbc00; setp.gt.f16 %p1, %h0, %h1;", 0x3c00, true),
  });
}

TEST_F(PTXArithmeticTest, Selects) {
  expectAll({
      word("setp.ne.s32 %p1, %r0, 0; selp.b32 %r7, 5, 6, %p1;", 1, 5),
      real("setp.gt.f32 %p1, %f0, 0.0; selp.f32 %f7, %f0, 0fFF800000, %p1;", -1.0f, -kInfinity),
      word("slct.b32.s32 %r7, 5, 6, %r0;", static_cast<uint32_t>(-1), 6),
      word("mov.b32 %r7, 1; setp.ne.s32 %p1, %r0, 0; @%p1 mov.b32 %r7, 2; @!%p1 mov.b32 %r7, 3;", 0, 3),
  });
}

TEST_F(PTXArithmeticTest, MovesAndPacks) {
  expectAll({
      word("mov.b32 %r7, {%h0, 0x1234};", 0xabcd, 0x1234abcd),
      word("mov.b32 {%h1, %h2}, %r0; mov.b32 %r7, {%h2, %h1};", 0x12345678, 0x56781234),
      wide("mov.b64 %out, {%r0, 7};", 0x12345678, 0x712345678),
      word("mov.b64 {%r1, %r7}, %in;", 0x1234567800000001, 0x12345678),
      word("mov.b64 {_, %r7}, %in;", 0x1234567800000001, 0x12345678),
      word("{ .reg .b32 %r7; mov.b32 %r7, 1; } mov.b32 %r7, %r0;", 9, 9),
      word("mov.u32 %r7, %laneid; mov.u32 %r1, %tid.x; sub.u32 %r7, %r7, %r1;", 0, 0),
      word("mov.u32 %r7, %ntid.x;", 0, 32),
      word("mov.u32 %r7, %nctaid.x;", 0, 1),
      word("mov.u32 %r7, WARP_SZ;", 0, 32),
      word("mov.u32 %r1, %lanemask_lt; mov.u32 %r2, %lanemask_ge; not.b32 %r2, %r2; xor.b32 %r7, %r1, %r2;", 0, 0),
  });
}
