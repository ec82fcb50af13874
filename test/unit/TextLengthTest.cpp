// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Text of a length that is known at run time, as examples/prompt.weft has it.

#include "lib/Compiler/Compiler.h"
#include "lib/Frontend/SourceFile.h"
#include "test/unit/Differential.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace weft;
using namespace weft::test;

namespace {

constexpr GridShape kVideo = {4, 5, 6, 0, false};
constexpr int64_t kRoom = 50;

CompileRequest makeRequest(int64_t text, bool textFirst) {
  std::string error;
  std::optional<SourceFile> file = SourceFile::read(WEFT_SOURCE_DIR "/examples/prompt.weft", error);
  EXPECT_TRUE(file) << error;
  CompileRequest request;
  request.source = file->text();
  GridShape grid = kVideo;
  grid.text = text, grid.textFirst = textFirst && text;
  request.options.queryGrid = request.options.keyGrid = grid;
  request.options.heads = 2, request.options.headDim = 32, request.options.block = 32;
  return request;
}

/// A prompt of some length in room for `kRoom` tokens, and the same prompt in a sequence of its own.
struct Prompt {
  Case padded, exact;
  int64_t length, first;

  Prompt(int64_t length, bool textFirst) : length(length), first(textFirst ? 0 : kVideo.tokens()) {
    padded.program.request = makeRequest(kRoom, textFirst);
    exact.program.request = makeRequest(length, textFirst);
    padded.program.parameters = exact.program.parameters = {length};
    Random random(length);
    for (Case *test : {&padded, &exact}) {
      test->allocateInputs([] { return TensorLayout::BHSD; });
      test->allocateResults([] { return TensorLayout::BHSD; });
    }
    for (auto operand : {&Operands::query, &Operands::key, &Operands::value}) {
      (padded.operands.*operand).fill([&](auto...) { return random.normal(); });
      (exact.operands.*operand).fill([&](int64_t b, int64_t h, int64_t s, int64_t c) {
        return (padded.operands.*operand).at(b, h, place(s), c);
      });
    }
  }

  /// Where a token of the exact sequence is in the padded one.
  int64_t place(int64_t token) const { return token < first + length ? token : token + kRoom - length; }
};

/// One compilation serves every length, and gives what a kernel for that length alone gives; what the padding holds is of
/// no consequence.
void checkLengths(bool textFirst) {
  Compiler compiler;
  for (int64_t length : {int64_t{0}, int64_t{1}, int64_t{31}, int64_t{32}, int64_t{33}, kRoom}) {
    Prompt prompt(length, textFirst);
    for (int64_t token = prompt.first + length; token < prompt.first + kRoom; ++token)
      for (int64_t c = 0; c < 32; ++c)
        prompt.padded.operands.key.set(0, 1, token, c, std::nan(""));
    auto kernel = compiler.compile(prompt.padded.program.request);
    ASSERT_TRUE(kernel) << kernel.message();
    rt::RunArgs args = prompt.padded.operands.args(2);
    args.parameters = {length};
    rt::Status status = (*kernel)->run(args);
    ASSERT_TRUE(status) << status.message();
    EXPECT_EQ(compareWithInterpreter(prompt.padded), "");
    auto exact = prompt.exact.interpret({});
    ASSERT_TRUE(exact) << exact.message();
    Operands results = prompt.exact.operands;
    results.out.fill([&](int64_t b, int64_t h, int64_t s, int64_t c) {
      return prompt.padded.operands.out.at(b, h, prompt.place(s), c);
    });
    results.lse.fill([&](int64_t b, int64_t h, int64_t s, int64_t) {
      return prompt.padded.operands.lse.at(b, h, prompt.place(s));
    });
    std::vector<int64_t> rows(prompt.exact.queryShape()[2]);
    for (size_t i = 0; i < rows.size(); ++i)
      rows[i] = i;
    EXPECT_EQ(compareRows(results, *exact, rows, toleranceOf(ElementType::F32)), "") << "length " << length;
  }
  EXPECT_EQ(compiler.numCompilations(), 1);
}

TEST(TextLengthTest, TextAfterTheVideo) { checkLengths(false); }

TEST(TextLengthTest, TextBeforeTheVideo) { checkLengths(true); }

/// Blocks of text beyond the prompt are not visited, and only the block with its end asks the predicate.
TEST(TextLengthTest, ListsFollowTheLength) {
  auto kernel = compileKernel(makeRequest(128, false));
  ASSERT_TRUE(kernel) << kernel.message();
  const rt::KernelImage &image = (*kernel)->image();
  ASSERT_EQ(image.key.count(), 4 + 4);
  auto lastQuery = [&](int64_t length) {
    rt::RunArgs args;
    args.parameters = {length};
    auto lists = (*kernel)->resolveLists(args);
    EXPECT_TRUE(lists);
    const int32_t *offsets = (*lists)->offsets.data() + image.query.count() - 1;
    return std::vector<int32_t>((*lists)->entries.begin() + offsets[0], (*lists)->entries.begin() + offsets[1]);
  };
  EXPECT_EQ(lastQuery(0), (std::vector<int32_t>{0, 4, 8, 12}));
  EXPECT_EQ(lastQuery(32), (std::vector<int32_t>{0, 4, 8, 12, 16}));
  EXPECT_EQ(lastQuery(40), (std::vector<int32_t>{0, 4, 8, 12, 16, 21}));
  EXPECT_EQ(lastQuery(128), (std::vector<int32_t>{0, 4, 8, 12, 16, 20, 24, 28}));
}

} // namespace
