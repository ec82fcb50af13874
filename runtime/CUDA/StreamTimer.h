// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Times work on a stream.

#ifndef WEFT_RUNTIME_CUDA_STREAMTIMER_H
#define WEFT_RUNTIME_CUDA_STREAMTIMER_H

#include "runtime/CUDA/Driver.h"

namespace weft::rt::cuda {

/// The time between two points of the default stream, in milliseconds; its device is current.
class StreamTimer {
public:
  explicit StreamTimer(const Driver &driver) : driver(driver) {
    driver.eventCreate(&begin, 0), driver.eventCreate(&end, 0);
  }
  ~StreamTimer() { driver.eventDestroy(begin), driver.eventDestroy(end); }

  void start() { driver.eventRecord(begin, nullptr); }
  /// Waits for what was enqueued since start().
  Result<double> stop() {
    driver.eventRecord(end, nullptr);
    if (int code = driver.eventSynchronize(end))
      return driver.check(code, "cuEventSynchronize");
    float milliseconds = 0;
    if (int code = driver.eventElapsedTime(&milliseconds, begin, end))
      return driver.check(code, "cuEventElapsedTime");
    return static_cast<double>(milliseconds);
  }

private:
  const Driver &driver;
  Event begin = nullptr, end = nullptr;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_STREAMTIMER_H
