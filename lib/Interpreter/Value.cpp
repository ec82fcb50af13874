// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Row access to callers' tensors, and lookup in given block lists.

#include "lib/Interpreter/Value.h"

#include <algorithm>
#include <functional>
#include <numeric>

using namespace weft;
using namespace weft::interp;

int64_t Tensor::getWidth() const {
  return std::accumulate(shape.begin() + 3, shape.end(), int64_t{1}, std::multiplies<>());
}

Tensor interp::makeTensor(const rt::Tensor &view) {
  if (view.rank() == 2)
    return makeTensor({view.data, view.dtype, {view.shape[0], 1, view.shape[1]}, {view.strides[0], 0, view.strides[1]}});
  assert((view.rank() == 3 || view.rank() == 4) && "expected [batch, heads, tokens], and head dim");
  int64_t width = view.rank() == 4 ? view.shape[3] : 1, step = view.rank() == 4 ? view.strides[3] : 0;
  return Tensor(view.shape, [view, width, step](int64_t batch, int64_t head, int64_t token) {
    const std::vector<int64_t> &strides = view.strides;
    int64_t first = batch * strides[0] + head * strides[1] + token * strides[2];
    Row row(width);
    for (int64_t c = 0; c < width; ++c)
      row[c] = rt::loadAsDouble(view.data, view.dtype, first + c * step);
    return row;
  });
}

bool interp::holds(const rt::GivenLists &lists, const Pair &pair) {
  int64_t list = (pair.batch * pair.heads + pair.head) % lists.lists;
  const int64_t *bounds = &lists.offsets[list * (lists.queryBlocks + 1) + pair.queryBlock];
  auto begin = lists.keyBlocks.begin();
  return std::binary_search(begin + bounds[0], begin + bounds[1], pair.keyBlock);
}
