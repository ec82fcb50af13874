// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The CUDA driver, opened at run time: the few functions that Weft calls.

#ifndef WEFT_RUNTIME_CUDA_DRIVER_H
#define WEFT_RUNTIME_CUDA_DRIVER_H

#include "runtime/Status.h"

#include <cstddef>
#include <cstdint>

namespace weft::rt::cuda {

using DevicePointer = uint64_t;
using Context = struct ContextOpaque *;
using Module = struct ModuleOpaque *;
using Function = struct FunctionOpaque *;
/// A stream of the driver or of CUDA's runtime library; null is the default stream.
using Stream = struct StreamOpaque *;
using Event = struct EventOpaque *;

/// A tensor map, as the driver encodes it and kernels take it.
struct alignas(64) TensorMap {
  uint64_t words[16];
};

/// Values of the driver's enumerations.
enum DeviceAttribute : int {
  kMultiprocessorCount = 16,
  kCapabilityMajor = 75,
  kCapabilityMinor = 76,
  kMaxSharedPerBlockOptIn = 97,
};
/// CTAs may come to the multiprocessors once all of the launch before have let them, or have ended.
enum LaunchAttributeKind : int { kProgrammaticSerialization = 6 };
/// The driver's version from which on streams with such launches can be captured.
inline constexpr int kCapturesChains = 12030;
enum FunctionAttribute : int { kMaxDynamicShared = 8 };
enum JITOption : int { kErrorLogBuffer = 5, kErrorLogBufferBytes = 6 };
enum CaptureStatus : int { kCaptureNone = 0 };
enum TensorMapType : int { kTensorF16 = 6, kTensorBF16 = 9 };
enum TensorMapSwizzle : int { kSwizzle128 = 3 };
enum TensorMapPromotion : int { kPromoteL2To256 = 3 };

struct alignas(8) LaunchAttribute {
  int kind;
  int padding = 0;
  /// What it says, of at most 64 bytes.
  int value[16];
};

struct LaunchConfig {
  unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes;
  Stream stream;
  const LaunchAttribute *attributes;
  unsigned numAttributes;
};

/// The driver's functions; a code other than 0 is an error.
struct Driver {
  int (*init)(unsigned flags);
  int (*driverGetVersion)(int *version);
  int (*getErrorString)(int code, const char **text);
  int (*deviceGetCount)(int *count);
  int (*deviceGet)(int *device, int ordinal);
  int (*deviceGetName)(char *name, int size, int device);
  int (*deviceGetAttribute)(int *value, int attribute, int device);
  int (*primaryContextRetain)(Context *context, int device);
  int (*primaryContextRelease)(int device);
  int (*contextPush)(Context context);
  int (*contextPop)(Context *context);
  int (*moduleLoad)(Module *module, const void *image, unsigned count, int *options, void **values);
  int (*moduleUnload)(Module module);
  int (*moduleGetFunction)(Function *function, Module module, const char *name);
  int (*functionSetAttribute)(Function function, int attribute, int value);
  int (*allocate)(DevicePointer *pointer, size_t bytes);
  int (*release)(DevicePointer pointer);
  int (*copyToDevice)(DevicePointer to, const void *from, size_t bytes, Stream stream);
  int (*copyToHost)(void *to, DevicePointer from, size_t bytes, Stream stream);
  int (*fill32)(DevicePointer to, unsigned value, size_t count, Stream stream);
  int (*streamSynchronize)(Stream stream);
  int (*streamIsCapturing)(Stream stream, int *status);
  int (*eventCreate)(Event *event, unsigned flags);
  int (*eventDestroy)(Event event);
  int (*eventRecord)(Event event, Stream stream);
  int (*eventSynchronize)(Event event);
  int (*eventElapsedTime)(float *milliseconds, Event begin, Event end);
  int (*launch)(const LaunchConfig *config, Function function, void **arguments, void **extra);
  int (*encodeTensorMap)(TensorMap *map, int type, unsigned rank, void *address, const uint64_t *extents,
                         const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides,
                         int interleave, int swizzle, int promotion, int fill);

  /// The process's driver: the library that WEFT_CUDA_DRIVER names, else libcuda.so.1. Opened once.
  static Result<const Driver *> get();

  /// Turns a code into a status that says what was tried.
  Status check(int code, const char *what) const;
};

} // namespace weft::rt::cuda

#endif // WEFT_RUNTIME_CUDA_DRIVER_H
