// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches the stages that select rows, and those behind the attention.

#include "runtime/CUDA/DeviceRowSelection.h"

#include "runtime/CUDA/StageShapes.h"

using namespace weft::rt;
using namespace weft::rt::cuda;

/// 0 where one set of rows serves all batch elements.
static int64_t batchStride(const Tensor &tensor) { return tensor.shape[0] == 1 ? 0 : tensor.strides[0]; }

/// A bit per token, in words of 32, with zeros for tokens that the stage adds.
static std::vector<int32_t> bitsOf(const std::vector<int32_t> &tokens, int64_t count) {
  std::vector<uint32_t> words(count / 32);
  for (int32_t token : tokens)
    words[token / 32] |= uint32_t{1} << token % 32;
  return std::vector<int32_t>(words.begin(), words.end());
}

Result<DeviceRowSelection> DeviceRowSelection::load(std::shared_ptr<const Device> device, const Code &code,
                                                    const KernelImage &image) {
  DeviceRowSelection result;
  result.selection = *image.rowSelection, result.tokens = image.query.tokens;
  std::string name = "weft_" + image.name + "_";
  for (auto [stage, suffix] : {std::pair{&result.importance, "importance"}, std::pair{&result.selectRows, "select_rows"},
                               std::pair{&result.growAges, "grow_ages"}, std::pair{&result.resetAges, "reset_ages"},
                               std::pair{&result.drift, "measure_drift"}, std::pair{&result.keep, "keep_inputs"}}) {
    auto found = Stage::find(*device, code, name + suffix);
    if (!found)
      return found.status();
    *stage = *found;
  }
  std::vector<int32_t> words = bitsOf(result.selection.always, RowSelectionShape{result.tokens}.padded());
  auto table = DeviceMemory::upload(device, ageExponentials().data(), sizeof(ageExponentials()), nullptr);
  auto always = DeviceMemory::upload(device, words.data(), words.size() * sizeof(int32_t), nullptr);
  if (!table || !always)
    return table ? always.status() : table.status();
  result.exponentials = std::move(*table), result.always = std::move(*always);
  return result;
}

DeviceRowSelection::Memory DeviceRowSelection::layOut(ScratchLayout &layout, int64_t batch) const {
  Memory memory;
  memory.orders = layout.add(2 * batch * RowSelectionShape{tokens}.padded());
  memory.indices = layout.add(batch * tokens);
  memory.counts = layout.add(batch);
  return memory;
}

Result<RowLists> DeviceRowSelection::select(const RunArgs &args, const std::vector<int64_t> &parameters,
                                            DevicePointer scratch, const Memory &memory, Stream stream) const {
  const Tensor &lse = *args.lse, &drift = *args.drift, &age = *args.age;
  int64_t batch = lse.shape[0], parts = RowSelectionShape{tokens}.padded() / RowSelectionShape::kThreads;
  DevicePointer orders = scratch + memory.orders, indices = scratch + memory.indices, counts = scratch + memory.counts;
  Status status = importance.launch({parts, batch, 1}, RowSelectionShape::kThreads, 0, stream, lse.data, lse.strides[0],
                                    lse.strides[1], lse.strides[2], drift.data, drift.strides[0], drift.strides[1],
                                    age.data, age.strides[0], age.strides[1], exponentials.get(),
                                    selection.ageWeight.resolve(parameters), orders);
  auto count = static_cast<int32_t>(selection.count(selection.keep.resolve(parameters), tokens));
  if (status)
    status = selectRows.launch({batch, 1, 1}, RowSelectionShape::kSelectThreads, RowSelectionShape::kSelectBytes,
                               stream, orders, count, always.get(), indices, counts);
  if (!status)
    return status;
  return RowLists{Tensor::contiguous(reinterpret_cast<void *>(indices), DType::I32, {batch, 1, tokens}),
                  Tensor::contiguous(reinterpret_cast<void *>(counts), DType::I32, {batch, 1})};
}

Status DeviceRowSelection::advanceAges(const RowLists &rows, const Tensor &age, Stream stream) const {
  int64_t batch = age.shape[0], capacity = rows.indices.shape[2];
  auto parts = [](int64_t count) { return (count + RowSelectionShape::kThreads - 1) / RowSelectionShape::kThreads; };
  Status status = growAges.launch({parts(tokens), batch, 1}, RowSelectionShape::kThreads, 0, stream, age.data,
                                  age.strides[0], age.strides[1]);
  if (!status || capacity == 0)
    return status;
  return resetAges.launch({parts(capacity), batch, 1}, RowSelectionShape::kThreads, 0, stream, age.data,
                          age.strides[0], age.strides[1], rows.indices.data, batchStride(rows.indices),
                          rows.indices.strides[2], rows.counts.data, batchStride(rows.counts),
                          static_cast<int32_t>(capacity));
}

/// 16-byte chunks of a token.
static int32_t chunksOf(const Tensor &x) {
  return static_cast<int32_t>(x.shape[2] * static_cast<int64_t>(sizeOf(x.dtype)) / 16);
}

Status DeviceRowSelection::measureDrift(const Tensor &x, const Tensor &last, const Tensor &result,
                                        Stream stream) const {
  int64_t batch = x.shape[0], count = x.shape[1], ctas = (count + DriftShape::kWarps - 1) / DriftShape::kWarps;
  if (batch == 0 || count == 0)
    return Status::ok();
  return drift.launch({ctas, batch, 1}, DriftShape::kThreads, 0, stream, x.data, x.strides[0], x.strides[1], last.data,
                      last.strides[0], last.strides[1], chunksOf(x), result.data, result.strides[0], result.strides[1],
                      static_cast<int32_t>(count));
}

Status DeviceRowSelection::keepInputs(const Tensor &x, const RowLists &rows, const Tensor &last, Stream stream) const {
  const Tensor &indices = rows.indices, &counts = rows.counts;
  int64_t batch = x.shape[0], capacity = indices.shape[2];
  if (batch == 0 || capacity == 0)
    return Status::ok();
  return keep.launch({(capacity + DriftShape::kWarps - 1) / DriftShape::kWarps, batch, 1}, DriftShape::kThreads, 0,
                     stream, x.data, x.strides[0], x.strides[1], last.data, last.strides[0], last.strides[1],
                     chunksOf(x), indices.data, batchStride(indices), indices.strides[2], counts.data,
                     batchStride(counts), static_cast<int32_t>(capacity), static_cast<int32_t>(x.shape[1]));
}
