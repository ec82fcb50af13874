// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Encodes tensor maps.

#include "runtime/CUDA/TensorMaps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

using namespace weft::rt;
using namespace weft::rt::cuda;

bool cuda::joinsBatchAndHead(const Tensor &tensor) {
  return tensor.shape[0] == 1 || tensor.shape[1] == 1 ||
         tensor.strides[0] == tensor.shape[1] * tensor.strides[1];
}

namespace {

/// One axis of a map.
struct Axis {
  int64_t extent, stride, box;
};

/// Axis 0 are the channels, whose stride is 1.
Result<TensorMap> encode(const Driver &driver, const Tensor &tensor, int64_t firstToken, std::vector<Axis> axes) {
  TensorMap map;
  uint64_t extents[5], strides[4];
  uint32_t box[5], ones[5] = {1, 1, 1, 1, 1};
  int64_t size = static_cast<int64_t>(sizeOf(tensor.dtype));
  for (size_t i = 0; i < axes.size(); ++i) {
    extents[i] = axes[i].extent, box[i] = axes[i].box;
    // The stride of an axis of one element is never used, but must be a legal one.
    if (i > 0)
      strides[i - 1] = axes[i].extent == 1 ? 16 : axes[i].stride * size;
  }
  auto *base = static_cast<std::byte *>(tensor.data) + firstToken * tensor.strides[2] * size;
  int code = driver.encodeTensorMap(&map, tensor.dtype == DType::BF16 ? kTensorBF16 : kTensorF16, axes.size(), base,
                                    extents, strides, box, ones, /*interleave=*/0, kSwizzle128, kPromoteL2To256,
                                    /*fill=*/0);
  if (code)
    return Status::error(fmt::format("{} of {}", driver.check(code, "cuTensorMapEncodeTiled").message(),
                                     tensor.describe()));
  return map;
}

Result<TensorMap> mapRuns(const Driver &driver, const Tensor &tensor, int64_t first, int64_t count, int64_t rows) {
  return encode(driver, tensor, first,
                {{tensor.shape[3], 1, 64},
                 {count, tensor.strides[2], rows},
                 {tensor.shape[1], tensor.strides[1], 1},
                 {tensor.shape[0], tensor.strides[0], 1}});
}

} // namespace

Result<TensorMap> cuda::mapVideo(const Driver &driver, const Tensor &tensor, const SequenceLayout &layout,
                                 int64_t rows) {
  int64_t first = layout.textFirst ? layout.text : 0;
  if (!layout.tiled)
    return mapRuns(driver, tensor, first, layout.video(), rows);
  int64_t token = tensor.strides[2], pairs = tensor.shape[0] * tensor.shape[1];
  int64_t pair = tensor.shape[1] > 1 ? tensor.strides[1] : tensor.strides[0];
  return encode(driver, tensor, first,
                {{tensor.shape[3], 1, 64},
                 {layout.w, token, layout.box[2]},
                 {layout.h, token * layout.w, layout.box[1]},
                 {layout.t, token * layout.w * layout.h, layout.box[0]},
                 {pairs, pair, 1}});
}

Result<TensorMap> cuda::mapText(const Driver &driver, const Tensor &tensor, const SequenceLayout &layout,
                                int64_t rows) {
  return mapRuns(driver, tensor, layout.textFirst ? 0 : layout.video(), layout.text, rows);
}

Result<TensorMap> cuda::mapApart(const Driver &driver, const Tensor &tensor, const SequenceLayout &layout,
                                 int64_t rows) {
  return mapRuns(driver, tensor, layout.textFirst ? layout.text : 0, layout.apart, rows);
}
