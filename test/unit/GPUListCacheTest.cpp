// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which lists stay on the device. On a GPU, or on the executor that WEFT_CUDA_DRIVER names.

#include "runtime/CUDA/ListCache.h"
#include "test/unit/GPUProblem.h"

#include <gtest/gtest.h>

using namespace weft;
using namespace weft::test;

namespace {

/// Room for four sets of lists with bits of 100 bytes.
constexpr int64_t kMostBytes = 400;

class GPUListCacheTest : public GPUTest {
protected:
  void SetUp() override {
    GPUTest::SetUp();
    if (IsSkipped())
      return;
    cache.emplace(*device(), /*heads=*/1, kMostBytes);
    for (int32_t i = 0; i < 70; ++i)
      sources.push_back(std::make_shared<rt::BlockLists>(
          rt::BlockLists::fromClassified(1, 1, 70, {0, 1}, {2 * i + 1}, /*given=*/false)));
  }

  /// The device's copy of list `number`.
  std::shared_ptr<const rt::cuda::DeviceLists> get(int64_t number, bool isCaptured = false) {
    rt::cuda::Device::Scope scope(**device());
    auto found = cache->get(sources[number], 0, 1, nullptr, isCaptured,
                            [&](const std::vector<rt::cuda::MaskSource> &lists, rt::cuda::PairMasks &masks) {
                              EXPECT_EQ(lists.size(), 1u);
                              EXPECT_EQ(lists.front().lists, sources[number].get());
                              masks.bytes = bytes, ++made;
                              return rt::Status::ok();
                            });
    EXPECT_TRUE(found || isCaptured) << found.message();
    if (!found)
      return nullptr;
    EXPECT_EQ((*found)->source, sources[number]);
    return *found;
  }

  /// Whether list `number` is on the device.
  bool isKnown(int64_t number) {
    int64_t before = made;
    get(number);
    return made == before;
  }

  std::optional<rt::cuda::ListCache> cache;
  std::vector<std::shared_ptr<const rt::BlockLists>> sources;
  /// Of the bits of lists that are made.
  int64_t bytes = 100;
  int64_t made = 0;
};

TEST_F(GPUListCacheTest, TheOldestBitsAreDropped) {
  for (int64_t number : {0, 1, 2, 3, 0, 3})
    get(number);
  EXPECT_EQ(made, 4);
  get(4);
  for (int64_t number : {0, 2, 3, 4})
    EXPECT_TRUE(isKnown(number)) << number;
  EXPECT_FALSE(isKnown(1));
  EXPECT_FALSE(isKnown(0)) << "number 1 came back for it";
}

TEST_F(GPUListCacheTest, LargeBitsTakeThePlaceOfMany) {
  for (int64_t number : {0, 1, 2, 3})
    get(number);
  bytes = 250;
  get(4);
  EXPECT_TRUE(isKnown(3));
  EXPECT_FALSE(isKnown(2));
  bytes = kMostBytes + 1;
  get(5);
  EXPECT_TRUE(isKnown(5)) << "the newest stays";
  EXPECT_FALSE(isKnown(3));
}

TEST_F(GPUListCacheTest, ListsWithoutBitsAreCounted) {
  bytes = 0;
  auto most = static_cast<int64_t>(rt::cuda::ListCache::kMaxLists);
  for (int64_t number = 0; number < most; ++number)
    get(number);
  EXPECT_TRUE(isKnown(0));
  get(most);
  EXPECT_TRUE(isKnown(0));
  EXPECT_FALSE(isKnown(1));
}

TEST_F(GPUListCacheTest, ListsOfGraphsStay) {
  EXPECT_EQ(get(0, /*isCaptured=*/true), nullptr) << "a captured stream cannot copy them";
  for (int64_t number = 0; number < 4; ++number) {
    get(number);
    ASSERT_NE(get(number, /*isCaptured=*/true), nullptr) << number;
  }
  for (int64_t number = 4; number < 70; ++number)
    get(number);
  for (int64_t number = 0; number < 4; ++number)
    EXPECT_TRUE(isKnown(number)) << number;
  get(4);
  EXPECT_FALSE(isKnown(5)) << "beside those of graphs there is room for the newest alone";
  EXPECT_FALSE(isKnown(4));
}

/// Nor do lists that are new take the place of all that graphs use.
TEST_F(GPUListCacheTest, MoreListsOfGraphsThanAreKept) {
  bytes = 0;
  for (int64_t number = 0; number < 69; ++number) {
    get(number);
    ASSERT_NE(get(number, /*isCaptured=*/true), nullptr) << number;
  }
  get(69);
  EXPECT_TRUE(isKnown(69));
  EXPECT_TRUE(isKnown(0));
}

} // namespace
