// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Driver functions about memory. Copies are complete when they return.

#include "test/ptx/DriverState.h"

#include <cstdlib>
#include <cstring>

using namespace weft::ptx;

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  if (!address || !bytes)
    return CUDA_ERROR_INVALID_VALUE;
  if (driver.isCapturing())
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  *address = driver.memory.allocate(bytes);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream stream) {
  return Driver::get().knows(stream) ? cuMemAlloc_v2(address, bytes) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = driver.ready())
    return problem;
  return !address || driver.memory.release(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  return Driver::get().knows(stream) ? cuMemFree_v2(address) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuMemAllocHost_v2(void **pointer, size_t bytes) {
  if (CUresult problem = Driver::get().ready())
    return problem;
  if (!pointer || !bytes)
    return CUDA_ERROR_INVALID_VALUE;
  *pointer = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  return *pointer ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemFreeHost(void *pointer) {
  std::free(pointer);
  return CUDA_SUCCESS;
}

/// Finds the device memory of a copy.
static CUresult locate(Driver &driver, CUdeviceptr address, size_t bytes, Span &span) {
  if (CUresult problem = driver.ready())
    return problem;
  Allocation *allocation = driver.memory.find(address, bytes);
  if (!allocation)
    return CUDA_ERROR_INVALID_VALUE;
  span = {allocation->data + (address - allocation->address), allocation->written + (address - allocation->address)};
  return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!bytes)
    return driver.ready();
  Span span;
  if (CUresult problem = locate(driver, to, bytes, span))
    return problem;
  if (!from)
    return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(span.data, from, bytes);
  std::memset(span.written, 1, bytes);
  return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!bytes)
    return driver.ready();
  Span span;
  if (CUresult problem = locate(driver, from, bytes, span))
    return problem;
  if (!to)
    return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(to, span.data, bytes);
  // What was never written is noticeably so.
  auto *bytesOut = static_cast<uint8_t *>(to);
  if (std::memchr(span.written, 0, bytes))
    for (size_t at = 0; at < bytes; ++at)
      bytesOut[at] = span.written[at] ? bytesOut[at] : 0xcb;
  return CUDA_SUCCESS;
}

CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!bytes)
    return driver.ready();
  Span source, target;
  CUresult problem = locate(driver, from, bytes, source);
  if (problem == CUDA_SUCCESS)
    problem = locate(driver, to, bytes, target);
  if (problem != CUDA_SUCCESS)
    return problem;
  std::memmove(target.data, source.data, bytes);
  std::memmove(target.written, source.written, bytes);
  return CUDA_SUCCESS;
}

template <typename T> static CUresult fill(CUdeviceptr to, T value, size_t count) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!count)
    return driver.ready();
  Span span;
  if (CUresult problem = locate(driver, to, count * sizeof(T), span))
    return problem;
  if (to % sizeof(T))
    return CUDA_ERROR_INVALID_VALUE;
  for (size_t at = 0; at < count; ++at)
    std::memcpy(span.data + at * sizeof(T), &value, sizeof(T));
  std::memset(span.written, 1, count * sizeof(T));
  return CUDA_SUCCESS;
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) { return fill(to, value, count); }
CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count) { return fill(to, value, count); }

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return Driver::get().knows(stream) ? fill(to, value, count) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.knows(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  return driver.issue(stream, [=] { return fill(to, value, count); });
}

/// Copies from and to memory of the host are not captured: it may be gone when a graph runs.
static CUresult checkCopy(CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.knows(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  return stream && stream->capture ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  CUresult problem = checkCopy(stream);
  return problem ? problem : cuMemcpyHtoD_v2(to, from, bytes);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  CUresult problem = checkCopy(stream);
  return problem ? problem : cuMemcpyDtoH_v2(to, from, bytes);
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!driver.knows(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  return driver.issue(stream, [=] { return cuMemcpyDtoD_v2(to, from, bytes); });
}

CUresult cuPointerGetAttribute(void *result, int attribute, CUdeviceptr address) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!result)
    return CUDA_ERROR_INVALID_VALUE;
  const Allocation *allocation = driver.memory.find(address, 1);
  if (!allocation)
    return CUDA_ERROR_INVALID_VALUE;
  constexpr int kContext = 1, kMemoryType = 2, kDevicePointer = 3, kIsManaged = 8, kOrdinal = 9, kRangeStart = 11,
                kRangeSize = 12;
  switch (attribute) {
  case kContext:
    *static_cast<CUcontext *>(result) = &driver.context;
    return CUDA_SUCCESS;
  case kMemoryType:
    // Device memory.
    *static_cast<unsigned *>(result) = 2;
    return CUDA_SUCCESS;
  case kDevicePointer:
    *static_cast<CUdeviceptr *>(result) = address;
    return CUDA_SUCCESS;
  case kIsManaged:
    *static_cast<unsigned *>(result) = 0;
    return CUDA_SUCCESS;
  case kOrdinal:
    *static_cast<int *>(result) = 0;
    return CUDA_SUCCESS;
  case kRangeStart:
    *static_cast<CUdeviceptr *>(result) = allocation->address;
    return CUDA_SUCCESS;
  case kRangeSize:
    *static_cast<size_t *>(result) = allocation->size;
    return CUDA_SUCCESS;
  default:
    return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult cuPointerGetAttributes(unsigned count, int *attributes, void **results, CUdeviceptr address) {
  Driver &driver = Driver::get();
  if (!attributes || !results)
    return CUDA_ERROR_INVALID_VALUE;
  // An address that the driver does not know has memory type 0 and no other attribute.
  bool isKnown = driver.memory.find(address, 1);
  for (unsigned at = 0; at < count; ++at) {
    if (!isKnown && attributes[at] == 2)
      *static_cast<unsigned *>(results[at]) = 0;
    else if (isKnown)
      if (CUresult problem = cuPointerGetAttribute(results[at], attributes[at], address))
        return problem;
  }
  return CUDA_SUCCESS;
}
