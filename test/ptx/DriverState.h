// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the driver functions share: one device with one context.

#ifndef WEFT_TEST_PTX_DRIVERSTATE_H
#define WEFT_TEST_PTX_DRIVERSTATE_H

#include "test/ptx/Driver.h"
#include "test/ptx/Launch.h"

#include <chrono>
#include <functional>
#include <mutex>
#include <set>
#include <string>

struct CUctx_st {};
struct CUfunc_st {
  const weft::ptx::Kernel *kernel = nullptr;
  /// What cuFuncSetAttribute allows beyond 48 KiB.
  int mostDynamicShared = 0;
};
struct CUmod_st {
  std::unique_ptr<weft::ptx::Module> module;
  std::map<std::string, std::unique_ptr<CUfunc_st>> functions;
};
struct CUgraph_st {
  /// What was issued to the stream, in its order.
  std::vector<std::function<CUresult()>> nodes;
};
struct CUgraphExec_st {
  CUgraph_st graph;
};
struct CUstream_st {
  /// While the stream is captured.
  std::unique_ptr<CUgraph_st> capture;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};

namespace weft::ptx {

/// Everything behind the driver's interface. Its functions hold the lock.
class Driver {
public:
  static Driver &get();

  std::recursive_mutex lock;
  bool initialised = false;
  int capability = 90;
  Machine machine;
  DeviceMemory memory;
  CUctx_st context;
  int retained = 0;
  /// Sticky: the fault of a kernel, until the context is gone.
  CUresult failure = CUDA_SUCCESS;
  std::set<std::unique_ptr<CUmod_st>> modules;
  std::set<CUfunction> functions;
  std::set<CUstream> streams;
  std::set<CUevent> events;
  std::set<CUgraph> graphs;
  std::set<CUgraphExec> executables;

  /// What the environment says of the device, and of the launches to come.
  void readDevice();
  void readLaunch();
  /// Success if there is a current context that has not failed.
  CUresult ready() const;
  bool knows(CUstream stream) const;
  /// Whether some stream is captured: nothing may then be allocated, freed or waited for.
  bool isCapturing() const;
  /// Runs work, or keeps it for the graph that the stream is captured into.
  CUresult issue(CUstream stream, std::function<CUresult()> work);
  /// Frees everything that belongs to the context.
  void destroyContext();

private:
  Driver() = default;
};

/// The contexts that this thread has made current.
std::vector<CUcontext> &currentContexts();

constexpr int kSharedLimit = 49152, kSharedOptIn = 232448;
int sharedOptIn(int capability);

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_DRIVERSTATE_H
