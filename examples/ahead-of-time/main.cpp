// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A program with a kernel that was compiled ahead of time: it links WeftRuntime and the object, no compiler.
//
//   weftc examples/window.weft --grid=4x10x18 --heads=2 --head-dim=64 --target=x86-64-v3 --emit=obj -o window.o

#include "runtime/StaticImage.h"

#include <cmath>
#include <cstdio>
#include <vector>

extern "C" const weft::rt::StaticImage weft_window_image;

int main() {
  auto kernel = weft::rt::loadStatic(weft_window_image);
  if (!kernel) {
    std::fprintf(stderr, "%s\n", kernel.message().c_str());
    return 1;
  }
  const weft::rt::KernelImage &image = (*kernel)->image();
  std::vector<int64_t> shape = {1, image.heads, image.query.tokens, image.headDim};
  std::vector<float> query(shape[1] * shape[2] * shape[3]), key(query), value(query), out(query);
  for (size_t i = 0; i < query.size(); ++i) {
    query[i] = std::sin(0.37f * i), key[i] = std::cos(0.11f * i);
    value[i] = 1.0f; // any average of ones is one
  }
  auto view = [&](std::vector<float> &data) {
    return weft::rt::Tensor::contiguous(data.data(), weft::rt::DType::F32, shape);
  };
  weft::rt::RunArgs args;
  args.query = view(query), args.key = view(key), args.value = view(value), args.out = view(out);
  if (weft::rt::Status status = (*kernel)->run(args); !status) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  float worst = 0;
  for (float element : out)
    worst = std::max(worst, std::abs(element - 1.0f));
  std::printf("%s: %lld tokens, largest deviation from 1: %.1e\n", image.name.c_str(),
              static_cast<long long>(image.query.tokens), worst);
  return worst < 1e-5f ? 0 : 1;
}
