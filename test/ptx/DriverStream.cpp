// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Driver functions about streams, events and graphs. Everything issued to a stream is complete at once, unless the stream
// is captured.

#include "test/ptx/DriverState.h"

#include <algorithm>

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

bool Driver::isCapturing() const {
  return std::any_of(streams.begin(), streams.end(), [](CUstream stream) { return stream->capture != nullptr; });
}

CUresult Driver::issue(CUstream stream, std::function<CUresult()> work) {
  if (!stream || !stream->capture)
    return work();
  stream->capture->nodes.push_back(std::move(work));
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkStream(driver, stream))
    return problem;
  return driver.isCapturing() ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream stream) { return cuStreamSynchronize(stream); }

CUresult cuStreamIsCapturing(CUstream stream, int *status) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkStream(driver, stream))
    return problem;
  *status = stream && stream->capture ? 1 : 0;
  return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkStream(driver, stream))
    return problem;
  // The default stream cannot be captured.
  if (mode < 0 || mode > 2 || !stream)
    return CUDA_ERROR_INVALID_VALUE;
  if (stream->capture)
    return CUDA_ERROR_ILLEGAL_STATE;
  stream->capture = std::make_unique<CUgraph_st>();
  return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkStream(driver, stream))
    return problem;
  if (!stream || !stream->capture || !graph)
    return CUDA_ERROR_INVALID_VALUE;
  *graph = stream->capture.release();
  driver.graphs.insert(*graph);
  return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!executable || flags || !driver.graphs.count(graph))
    return CUDA_ERROR_INVALID_VALUE;
  *executable = new CUgraphExec_st{*graph};
  driver.executables.insert(*executable);
  return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (CUresult problem = checkStream(driver, stream))
    return problem;
  if (!driver.executables.count(executable))
    return CUDA_ERROR_INVALID_HANDLE;
  for (const auto &node : executable->graph.nodes)
    if (CUresult problem = driver.issue(stream, node))
      return problem;
  return CUDA_SUCCESS;
}

/// Destroys what a set has.
template <typename Handle> static CUresult destroy(std::set<Handle> Driver::*known, Handle handle) {
  Driver &driver = Driver::get();
  std::lock_guard guard(driver.lock);
  if (!(driver.*known).erase(handle))
    return CUDA_ERROR_INVALID_HANDLE;
  delete handle;
  return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) { return destroy(&Driver::graphs, graph); }

CUresult cuGraphExecDestroy(CUgraphExec executable) { return destroy(&Driver::executables, executable); }

CUresult cuStreamDestroy_v2(CUstream stream) { return destroy(&Driver::streams, stream); }

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

CUresult cuEventDestroy_v2(CUevent event) { return destroy(&Driver::events, event); }
