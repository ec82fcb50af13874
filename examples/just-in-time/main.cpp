// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compiles a program for a shape in this process, and runs the kernel on tensors with the axes [batch, tokens, heads,
// head dim].

#include "lib/Compiler/Compiler.h"

#include <cmath>
#include <cstdio>
#include <vector>

int main() {
  weft::CompileRequest request;
  request.source = "attention near(dynamic frames: int = 1) { mask abs(q.t - k.t) <= frames }";
  request.options.queryGrid = request.options.keyGrid = {.t = 5, .h = 12, .w = 13};
  request.options.heads = 2;
  request.options.headDim = 64;

  weft::Compiler compiler; // keeps kernels; one for the whole program
  weft::KernelResult kernel = compiler.compile(request);
  if (!kernel) {
    std::fprintf(stderr, "%s\n", kernel.message().c_str());
    return 1;
  }

  std::vector<int64_t> shape = {1, 5 * 12 * 13, 2, 64};
  std::vector<float> query(shape[1] * shape[2] * shape[3], 0.5f), key(query), value(query.size()), out(query);
  for (size_t i = 0; i < value.size(); ++i)
    value[i] = static_cast<float>(i / (12 * 13 * 2 * 64)); // the token's frame
  auto view = [&](std::vector<float> &data) {
    return weft::rt::Tensor::contiguous(data.data(), weft::rt::DType::F32, shape).permuted({0, 2, 1, 3});
  };
  weft::rt::RunArgs args;
  args.query = view(query), args.key = view(key), args.value = view(value), args.out = view(out);
  // With equal queries and keys the output is the mean of the frames that a token sees.
  for (int64_t frames : {1, 4}) {
    args.parameters = {frames}; // another value needs no compilation
    if (weft::rt::Status status = (*kernel)->run(args); !status) {
      std::fprintf(stderr, "%s\n", status.message().c_str());
      return 1;
    }
    float expected = frames == 1 ? 0.5f : 2.0f;
    std::printf("%lld frames around: the first token sees frame %.2f on average\n", static_cast<long long>(frames),
                out[0]);
    if (std::abs(out[0] - expected) > 1e-5f)
      return 1;
  }
  return compiler.numCompilations() == 1 ? 0 : 1;
}
