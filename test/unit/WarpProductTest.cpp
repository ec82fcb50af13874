// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "codegen/CUDA/WarpProduct.h"

#include "test/unit/EmitterFixture.h"

#include <cmath>
#include <random>

using namespace weft;
using namespace weft::test;
using cuda::Fragment;
using cuda::Values;
using mlir::Value;

namespace {

/// C (16 x 8) += A (16 x depth) * B (depth x 8) by one warp, whose operands lie row by row: A's rows and B's columns.
class WarpProductTest : public EmitterTest {
protected:
  /// The greatest error of the product of random numbers in [-1, 1], relative to the sum of the products' sizes.
  double errorOf(const std::string &type) {
    bool isF32 = type == "f32";
    int64_t depth = isF32 ? 8 : 16;
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1, 1);
    auto make = [&](int64_t count) {
      std::vector<float> values(count);
      for (float &value : values)
        value = isF32 ? uniform(random) : std::round(64 * uniform(random)) / 64;
      return values;
    };
    std::vector<float> left = make(16 * depth), right = make(8 * depth), start = make(16 * 8);
    std::vector<float> result = product(left, right, start, type);
    double error = 0;
    for (int64_t row = 0; row < 16; ++row)
      for (int64_t column = 0; column < 8; ++column) {
        double sum = start[8 * row + column], size = std::abs(sum);
        for (int64_t i = 0; i < depth; ++i) {
          double product = double(left[row * depth + i]) * right[column * depth + i];
          sum += product, size += std::abs(product);
        }
        error = std::max(error, std::abs(result[8 * row + column] - sum) / size);
      }
    return error;
  }

  std::vector<float> product(const std::vector<float> &left, const std::vector<float> &right,
                             const std::vector<float> &start, const std::string &type) {
    CUdeviceptr out = upload(start);
    int64_t depth = static_cast<int64_t>(left.size()) / 16;
    EmittedKernel kernel{"ppp", 32, 0, [&](cuda::StageKernel &k) { emit(k, type, depth); }, "sm_80"};
    runEmitted(kernel, {upload(packed(left, type)), upload(packed(right, type)), out});
    return download<float>(out, start.size());
  }

private:
  /// The numbers, which are multiples of 1/64 below 1 in bf16 and f16, as 32-bit words of memory.
  static std::vector<uint32_t> packed(const std::vector<float> &values, const std::string &type) {
    std::vector<uint32_t> words;
    if (type == "f32") {
      words.resize(values.size());
      std::memcpy(words.data(), values.data(), 4 * values.size());
      return words;
    }
    for (size_t i = 0; i < values.size(); i += 2)
      words.push_back(bits(values[i], type) | bits(values[i + 1], type) << 16);
    return words;
  }

  static uint32_t bits(float value, const std::string &type) {
    uint32_t word;
    std::memcpy(&word, &value, 4);
    if (type == "bf16")
      return word >> 16;
    _Float16 half = static_cast<_Float16>(value);
    uint16_t narrow;
    std::memcpy(&narrow, &half, 2);
    return narrow;
  }

  /// Registers as the instruction takes them: lane l has row or column l / 4, and words l mod 4 and 4 beyond.
  static void emit(cuda::StageKernel &k, const std::string &type, int64_t depth) {
    cuda::Emitter &e = k.e;
    int64_t words = type == "f32" ? depth : depth / 2;
    Value line = e.shiftRight(k.lane, 2), within = e.bitAnd(k.lane, 3);
    auto word = [&](unsigned operand, Value row, int64_t offset) {
      Value index = e.add(e.mul(row, words), e.add(within, offset));
      return e.loadAt(k.i32(), k.argument(operand), index);
    };
    Value lower = e.add(line, 8);
    Values left = {word(0, line, 0), word(0, lower, 0), word(0, line, 4), word(0, lower, 4)};
    Values right = {word(1, line, 0), word(1, line, 4)};
    auto place = [&](int64_t i) {
      return e.add(e.shiftLeft(i < 2 ? line : lower, 3), e.add(e.shiftLeft(within, 1), i % 2));
    };
    Values accumulator;
    for (int64_t i = 0; i < 4; ++i)
      accumulator.push_back(e.loadAt(k.f32(), k.argument(2), place(i)));
    cuda::WarpProduct product(e, type);
    Fragment first = product.fragment(left), second = product.fragment(right);
    product.multiply(accumulator, first, second, 0);
    for (int64_t i = 0; i < 4; ++i)
      e.storeAt(accumulator[i], k.argument(2), place(i));
  }
};

TEST_F(WarpProductTest, HalvesAreExact) {
  EXPECT_LE(errorOf("bf16"), 1e-7);
  EXPECT_LE(errorOf("f16"), 1e-7);
}

/// Three products of 11 bits each: what is left out is the product of both remainders, and what the lower number loses.
TEST_F(WarpProductTest, FloatsLoseTheirLastBitsAlone) {
  double error = errorOf("f32");
  EXPECT_LE(error, 1e-6);
  EXPECT_GT(error, 0);
}

/// The split of an f32 adds to its bits, which must lose no NaN.
TEST_F(WarpProductTest, EveryNaNShows) {
  for (uint32_t bits : {0x7FFFFFFFu, 0x7FC00000u, 0x7F800001u, 0xFFFFFFFFu, 0xFFC00000u, 0xFF800001u}) {
    std::vector<float> left(16 * 8, 1), right(8 * 8, 1), start(16 * 8, 0);
    std::memcpy(&left[3 * 8 + 2], &bits, 4);
    std::memcpy(&right[5 * 8 + 6], &bits, 4);
    std::vector<float> result = product(left, right, start, "f32");
    for (int64_t row = 0; row < 16; ++row)
      for (int64_t column = 0; column < 8; ++column)
        EXPECT_EQ(std::isnan(result[8 * row + column]), row == 3 || column == 5) << std::hex << bits;
  }
}

/// ldmatrix: each lane's register i has a row's pair of numbers of matrix i, or of its transpose.
TEST_F(WarpProductTest, MatricesFromSharedMemory) {
  constexpr int64_t kHalves = 4 * 64;
  std::vector<uint16_t> numbers(kHalves);
  for (int64_t i = 0; i < kHalves; ++i)
    numbers[i] = static_cast<uint16_t>(i);
  for (bool transposed : {false, true}) {
    CUdeviceptr out = allocate(4 * 32 * 4);
    EmittedKernel kernel{"pp", 32, kHalves * 2, [&](cuda::StageKernel &k) {
      cuda::Emitter &e = k.e;
      e.loop(k.lane, e.i32(kHalves / 2), e.i32(32), [&](Value word) {
        e.store(e.loadAt(k.i32(), k.argument(0), word), e.shared(e.shiftLeft(word, 2)), 4);
      });
      k.meet();
      // Lane l says where row l mod 8 of matrix l / 8 is: 16 bytes each.
      Values loaded = cuda::loadMatrices(e, e.sharedAddress(e.shiftLeft(k.lane, 4)), 0, transposed);
      for (auto [i, value] : llvm::enumerate(loaded))
        e.storeAt(value, k.argument(1), e.add(k.lane, 32 * static_cast<int64_t>(i)));
    }, "sm_80"};
    ASSERT_NO_FATAL_FAILURE(runEmitted(kernel, {upload(numbers), out}));
    std::vector<uint32_t> registers = download<uint32_t>(out, 4 * 32);
    for (int64_t matrix = 0; matrix < 4; ++matrix)
      for (int64_t lane = 0; lane < 32; ++lane) {
        auto number = [&](int64_t i) {
          int64_t row = lane / 4, column = 2 * (lane % 4) + i;
          return static_cast<uint32_t>(64 * matrix + (transposed ? 8 * column + row : 8 * row + column));
        };
        EXPECT_EQ(registers[32 * matrix + lane], number(0) | number(1) << 16) << matrix << " " << lane;
      }
  }
}

} // namespace
