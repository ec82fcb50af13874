// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the tests of recognized heads share: masks, operands of known types, and agreement of recalls.

#ifndef WEFT_TEST_UNIT_RECOGNITIONCASES_H
#define WEFT_TEST_UNIT_RECOGNITIONCASES_H

#include "test/unit/CompiledProblem.h"

#include <cmath>
#include <functional>

namespace weft::test {

inline const char *const kRecognizingMasks[] = {
    "{ mask recognize(abs(q.h - k.h) <= 1 and abs(q.w - k.w) <= 1 on local, abs(q.t - k.t) <= 1 on global) }",
    "{ order tiles mask recognize(abs(q.w - k.w) <= 2 on local, q.t == k.t on global, k.h mod 2 == k.w mod 2, "
    "recall: 0.6) or q.text or k.text or k.t == 0 }",
    "{ order tiles(t: 2, h: 3, w: 4) mask recognize(abs(q.h - k.h) <= 1 on global, abs(q.h - k.h) <= 2 on global, "
    "abs(q.h - k.h) <= 3 on global, recall: 0.7) }",
    "{ mask not recognize(q.h == k.h on local, q.w == k.w on local, head mod 2 == 0 on global) or q.index == k.index }",
    "{ mask recognize(q.t == k.t on global, true, recall: 0.8) and not (k.text and not q.text) }",
};

/// Fills the operands: video tokens have the score `peak` where `place` is equal, and 0 elsewhere. There are at most as
/// many places as channels.
inline void fillPlaces(CompiledProblem &problem, double peak,
                       const std::function<int64_t(int64_t head, int64_t t, int64_t h, int64_t w)> &place) {
  const GridShape &grid = problem.shape.grid;
  double value = std::sqrt(peak * std::sqrt(static_cast<double>(problem.shape.headDim)));
  auto oneHot = [&](int64_t, int64_t head, int64_t token, int64_t c) {
    token -= grid.textFirst ? grid.text : 0;
    if (token < 0 || token >= grid.t * grid.h * grid.w)
      return 0.0;
    int64_t at = place(head, token / (grid.h * grid.w), token / grid.w % grid.h, token % grid.w);
    return c == at ? value : 0.0;
  };
  problem.operands().query.fill(oneHot), problem.operands().key.fill(oneHot);
  Random random(1);
  problem.operands().value.fill([&](auto...) { return random.normal(); });
}

/// The interpreter's recalls and choices.
inline rt::Choices interpretChoices(const Case &test) {
  auto result = test.interpret({0});
  EXPECT_TRUE(result) << result.status().message();
  EXPECT_EQ(result->recognized.size(), 1u);
  return result->recognized.front();
}

/// Recalls agree to the rounding of f32, and choices do where no recall is that near to another or to the bound.
inline void expectAgreement(const rt::Choices &actual, const rt::Choices &expected, double tolerance = 2e-5) {
  ASSERT_EQ(actual.recalls.size(), expected.recalls.size());
  for (size_t i = 0; i < actual.recalls.size(); ++i) {
    if (std::isnan(expected.recalls[i]))
      EXPECT_TRUE(std::isnan(actual.recalls[i])) << "recall " << i;
    else
      EXPECT_NEAR(actual.recalls[i], expected.recalls[i], tolerance) << "recall " << i;
  }
  EXPECT_EQ(actual.candidates, expected.candidates);
}

} // namespace weft::test

#endif // WEFT_TEST_UNIT_RECOGNITIONCASES_H
