// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Driver functions about streams and events. Everything issued to a stream is complete at once.

#include "test/ptx/DriverState.h"

using namespace weft::ptx;

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  if (!stream || flags > 1)
    return CUDA_ERROR_INVALID_VALUE;
  *stream = new CUstream_st;
  driver.streams.insert(*stream);
  return CUDA_SUCCESS;
}

static CUresult checkStream(Driver &driver, CUstream stream) {
  if (CUresult problem = driver.ready())
    return problem;
  return driver.knows(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuStreamSynchronize(CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  return checkStream(driver, stream);
}

CUresult cuStreamQuery(CUstream stream) { return cuStreamSynchronize(stream); }

/// Nothing is ever captured.
CUresult cuStreamIsCapturing(CUstream stream, int *status) {
  *status = 0;
  return cuStreamSynchronize(stream);
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.streams.erase(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  delete stream;
  return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  if (!event || flags > 7)
    return CUDA_ERROR_INVALID_VALUE;
  *event = new CUevent_st;
  driver.events.insert(*event);
  return CUDA_SUCCESS;
}

static CUresult checkEvent(Driver &driver, CUevent event) {
  if (CUresult problem = driver.ready())
    return problem;
  return driver.events.count(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkEvent(driver, event))
    return problem;
  if (!driver.knows(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  event->time = std::chrono::steady_clock::now();
  event->recorded = true;
  return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent event) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  return checkEvent(driver, event);
}

CUresult cuEventQuery(CUevent event) { return cuEventSynchronize(event); }

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkStream(driver, stream))
    return problem;
  return checkEvent(driver, event);
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  for (CUevent event : {from, to}) {
    if (CUresult problem = checkEvent(driver, event))
      return problem;
    if (!event->recorded)
      return CUDA_ERROR_INVALID_HANDLE;
  }
  if (!milliseconds)
    return CUDA_ERROR_INVALID_VALUE;
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.events.erase(event))
    return CUDA_ERROR_INVALID_HANDLE;
  delete event;
  return CUDA_SUCCESS;
}
