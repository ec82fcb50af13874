// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What is checked of an image's recognition before anything is on a GPU.

#include "runtime/CUDA/DeviceRecognition.h"

#include <gtest/gtest.h>

using namespace weft;

namespace {

TEST(DeviceRecognitionTest, WordsOfBitsAreCountedInThirtyTwoBits) {
  rt::KernelImage image;
  image.name = "a";
  rt::cuda::RecallLaunch shape;
  shape.words = int64_t{1} << 31;
  auto loaded = rt::cuda::DeviceRecognition::load(nullptr, rt::cuda::Code(), image, shape);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.message(), "kernel 'a': expected probes with at most 2147483647 words of bits on a GPU, but got "
                              "2147483648");
}

} // namespace
