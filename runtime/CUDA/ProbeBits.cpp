// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finds bits for the same parameters once.

#include "runtime/CUDA/ProbeBits.h"

#include "runtime/CUDA/StageShapes.h"

#include <algorithm>

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<std::shared_ptr<const DeviceMemory>> ProbeBits::get(const std::vector<int64_t> &parameters,
                                                           DevicePointer coordinates, Stream stream, bool isCaptured) {
  std::vector<int32_t> values;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (!image->parameters[i].isFloat)
      values.push_back(static_cast<int32_t>(parameters[i]));
  std::lock_guard lock(mutex);
  auto found = std::find_if(known.begin(), known.end(), [&](const Known &entry) { return entry.values == values; });
  if (found != known.end()) {
    known.splice(known.begin(), known, found);
    known.front().isCaptured |= isCaptured;
    return known.front().bits;
  }
  if (isCaptured)
    return Status::error("recognition: expected parameters of an earlier launch that has recognized heads, since the "
                         "stream is being captured");
  auto made = make(values, coordinates, stream);
  if (!made)
    return made.status();
  known.push_front({std::move(values), *made, false});
  dropOldest();
  return *made;
}

Result<std::shared_ptr<const DeviceMemory>> ProbeBits::make(std::vector<int32_t> values, DevicePointer coordinates,
                                                            Stream stream) const {
  auto memory = DeviceMemory::allocate(device, std::max<int64_t>(1, shape.words) * sizeof(int32_t));
  if (!memory)
    return memory.status();
  auto bits = std::make_shared<const DeviceMemory>(std::move(*memory));
  if (shape.words == 0)
    return bits;
  DevicePointer words = bits->get();
  std::vector<void *> arguments = {&coordinates, &words};
  for (int32_t &value : values)
    arguments.push_back(&value);
  constexpr int64_t threads = RecognitionShape::kBitThreads;
  Status status = stage.launch({(shape.mostWords + threads - 1) / threads, shape.heads, image->recognition->measured()},
                               threads, 0, stream, arguments);
  if (!status)
    return status;
  // Another stream may use the bits next.
  if (int code = device->driver.streamSynchronize(stream))
    return device->driver.check(code, "cuStreamSynchronize");
  return bits;
}

void ProbeBits::dropOldest() {
  if (known.size() <= kMostParameters)
    return;
  auto oldest = std::find_if(known.rbegin(), std::prev(known.rend()), [](const Known &entry) { return !entry.isCaptured; });
  if (oldest != std::prev(known.rend()))
    known.erase(std::prev(oldest.base()));
}
