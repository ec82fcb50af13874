// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "codegen/CUDA/TileCopy.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include "test/unit/EmitterFixture.h"

#include <numeric>

using namespace weft;
using namespace weft::test;
using cuda::TileCopy;
using mlir::Value;

namespace {

/// A tensor of one batch and three heads, in whose element i of 16 bits is i + 1; tiles of 32 rows by 64 threads.
class TileCopyTest : public EmitterTest {
protected:
  static constexpr int64_t kThreads = 64, kRows = 32, kHeads = 3, kPair = 2;

  /// What the tile holds afterwards, from shared memory that was all ones.
  std::vector<uint16_t> copy(int64_t headDim, const std::vector<int32_t> &tokens, int64_t sequence) {
    int64_t groups = (headDim * 2 + TileCopy::kRowBytes - 1) / TileCopy::kRowBytes;
    int64_t bytes = groups * kRows * TileCopy::kRowBytes, tokenStride = kHeads * headDim;
    std::vector<uint16_t> tensor(sequence * tokenStride);
    std::iota(tensor.begin(), tensor.end(), 1);
    CUdeviceptr result = allocate(bytes);
    EmittedKernel kernel{"plllpp", kThreads, static_cast<unsigned>(bytes), [&](cuda::StageKernel &k) {
      cuda::Emitter &e = k.e;
      auto words = [&](llvm::function_ref<void(Value)> body) {
        e.loop(e.mul(k.thread, 4), e.i32(bytes), e.i32(4 * kThreads), body);
      };
      words([&](Value at) { e.store(e.i32(-1), e.shared(at), 4); });
      k.meet();
      TileCopy copies(e, k.thread, kThreads, headDim, 2);
      cuda::TokenTensor source{k.argument(0), k.argument(1), k.argument(2), k.argument(3)};
      Value address = copies.headAddress(source, e.i32(kPair), kHeads);
      copies.copy(e.sharedAddress(e.i32(0)), kRows, source, address, copies.loadTokens(k.argument(4), kRows));
      cuda::waitForCopies(e);
      k.meet();
      words([&](Value at) { e.store(e.load(k.i32(), e.shared(at), 4), e.advance(k.argument(5), e.extend(at)), 4); });
    }};
    runEmitted(kernel, {upload(tensor), static_cast<uint64_t>(sequence * tokenStride), static_cast<uint64_t>(headDim),
                        static_cast<uint64_t>(tokenStride), upload(tokens), result});
    return download<uint16_t>(result, bytes / 2);
  }

  /// What a channel of a row should be; 0 beyond the head dim and where there is no token.
  static uint16_t expected(int64_t headDim, int64_t token, int64_t channel) {
    return token < 0 || channel >= headDim ? 0 : token * kHeads * headDim + kPair * headDim + channel + 1;
  }
};

/// Channel c of row r is in group c / 64, in the 16 bytes c / 8 mod 8 xor r mod 8 of its row there.
TEST_F(TileCopyTest, RowsAreSwizzledAndPadded) {
  std::vector<int32_t> tokens(kRows);
  for (int64_t row = 0; row < kRows; ++row)
    tokens[row] = row % 5 == 3 ? -1 : 7 * row % 40;
  for (int64_t headDim : {8, 40, 64, 72, 128}) {
    std::vector<uint16_t> tile = copy(headDim, tokens, 40);
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t channel = 0; channel < static_cast<int64_t>(tile.size()) / kRows; ++channel) {
        int64_t chunk = (channel / 8 % 8) ^ (row % 8), group = channel / 64;
        int64_t at = (group * kRows + row) * TileCopy::kRowBytes / 2 + 8 * chunk + channel % 8;
        ASSERT_EQ(tile[at], expected(headDim, tokens[row], channel)) << headDim << " " << row << " " << channel;
      }
  }
}

TEST_F(TileCopyTest, NumbersGoWithTheirTokens) {
  std::vector<float> numbers(80);
  std::iota(numbers.begin(), numbers.end(), 1.0f);
  std::vector<int32_t> tokens(kRows);
  for (int64_t row = 0; row < kRows; ++row)
    tokens[row] = row % 4 == 1 ? -1 : 39 - row;
  CUdeviceptr result = allocate(kRows * 4);
  EmittedKernel kernel{"plpp", kThreads, kRows * 4, [&](cuda::StageKernel &k) {
    cuda::Emitter &e = k.e;
    TileCopy copies(e, k.thread, kThreads, 64, 2);
    copies.copyNumbers(e.sharedAddress(e.i32(0)), k.argument(0), k.argument(1), copies.loadTokens(k.argument(2), kRows));
    cuda::waitForCopies(e);
    k.meet();
    e.when(e.below(k.thread, e.i32(kRows)), [&] {
      e.storeAt(e.load(k.f32(), e.shared(e.shiftLeft(k.thread, 2)), 4), k.argument(3), k.thread);
    });
  }};
  runEmitted(kernel, {upload(numbers), 2, upload(tokens), result});
  std::vector<float> copied = download<float>(result, kRows);
  for (int64_t row = 0; row < kRows; ++row)
    EXPECT_EQ(copied[row], tokens[row] < 0 ? 0 : 2 * tokens[row] + 1) << row;
}

} // namespace
