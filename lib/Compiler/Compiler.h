// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The just-in-time compiler: from a request to a kernel, once per request.

#ifndef WEFT_LIB_COMPILER_COMPILER_H
#define WEFT_LIB_COMPILER_COMPILER_H

#include "lib/Compiler/OnceCache.h"
#include "lib/Compiler/Stages.h"
#include "runtime/CUDA/GPUKernel.h"
#include "runtime/Kernel.h"

#include <cstdint>
#include <memory>
#include <string>

namespace weft {

using KernelResult = rt::Result<std::shared_ptr<const rt::Kernel>>;

/// Compiles one request for this machine, without a cache.
KernelResult compileKernel(const CompileRequest &request);

using GPUKernelResult = rt::Result<std::shared_ptr<const rt::cuda::GPUKernel>>;

/// Compiles one request for a device, without a cache. The target is `native` or one of CUDATarget::names().
GPUKernelResult compileGPUKernel(const CompileRequest &request, std::shared_ptr<const rt::cuda::Device> device);

/// Compiles requests and keeps the kernels. Thread-safe: when several threads ask for the same kernel at once, one
/// compiles and the others wait for its result. Errors are not kept.
class Compiler {
public:
  /// The kernel for a request, from memory if it was compiled before.
  KernelResult compile(const CompileRequest &request);
  /// The same for a GPU.
  GPUKernelResult compileForGPU(const CompileRequest &request, std::shared_ptr<const rt::cuda::Device> device);

  /// Compilations so far.
  int64_t numCompilations() const { return kernels.numMade() + gpuKernels.numMade(); }
  /// Forgets all kernels; those in use live on with their users.
  void clear();

private:
  OnceCache<rt::Kernel> kernels;
  OnceCache<rt::cuda::GPUKernel> gpuKernels;
};

/// Everything that a kernel depends on, as one string.
std::string cacheKey(const CompileRequest &request);

} // namespace weft

#endif // WEFT_LIB_COMPILER_COMPILER_H
