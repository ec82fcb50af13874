// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Launches that a CUDA graph captures and repeats, of everything that runs on the device. On a GPU, or on the executor that
// WEFT_CUDA_DRIVER names.

#include "test/unit/GPUProblem.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include <dlfcn.h>

using namespace weft;
using namespace weft::test;

namespace {

/// The driver's functions that only graphs need.
struct GraphFunctions {
  int (*createStream)(rt::cuda::Stream *, unsigned);
  int (*destroyStream)(rt::cuda::Stream);
  int (*beginCapture)(rt::cuda::Stream, int mode);
  int (*endCapture)(rt::cuda::Stream, void **graph);
  int (*instantiate)(void **executable, void *graph, unsigned long long flags);
  int (*launch)(void *executable, rt::cuda::Stream);
  int (*destroyGraph)(void *);
  int (*destroyExecutable)(void *);

  GraphFunctions() {
    const char *name = std::getenv("WEFT_CUDA_DRIVER");
    void *library = dlopen(name && *name ? name : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    auto find = [&](auto &function, const char *symbol) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(library ? dlsym(library, symbol) : nullptr);
      EXPECT_NE(function, nullptr) << symbol;
    };
    find(createStream, "cuStreamCreate"), find(destroyStream, "cuStreamDestroy_v2");
    find(beginCapture, "cuStreamBeginCapture_v2"), find(endCapture, "cuStreamEndCapture");
    find(instantiate, "cuGraphInstantiateWithFlags"), find(launch, "cuGraphLaunch");
    find(destroyGraph, "cuGraphDestroy"), find(destroyExecutable, "cuGraphExecDestroy");
  }
};

/// A stream that is not the default one, and what was captured from it.
class Capture {
public:
  Capture() : scope(**device()) {
    EXPECT_TRUE(scope.status) << scope.status.message();
    EXPECT_EQ(graphs.createStream(&stream, /*nonBlocking=*/1), 0);
  }
  ~Capture() {
    if (executable)
      graphs.destroyExecutable(executable);
    graphs.destroyStream(stream);
  }

  rt::Status record(const std::function<rt::Status(rt::cuda::Stream)> &work) {
    void *graph = nullptr;
    EXPECT_EQ(graphs.beginCapture(stream, /*global=*/0), 0);
    rt::Status status = work(stream);
    int code = graphs.endCapture(stream, &graph);
    if (!status)
      return status;
    EXPECT_EQ(code, 0);
    EXPECT_EQ(graphs.instantiate(&executable, graph, 0), 0);
    EXPECT_EQ(graphs.destroyGraph(graph), 0);
    return rt::Status::ok();
  }

  void replay() {
    EXPECT_EQ(graphs.launch(executable, stream), 0);
    wait();
  }
  void wait() { EXPECT_EQ((*device())->driver.streamSynchronize(stream), 0); }

  rt::cuda::Stream stream = nullptr;

private:
  rt::cuda::Device::Scope scope;
  GraphFunctions graphs;
  void *executable = nullptr;
};

const Shape kShape{{3, 6, 10, 7, false}, 2, 32, 64, 1, ElementType::BF16};

class GPUCaptureTest : public GPUTest {
protected:
  /// Captures a call's launch, and replays it with other queries, as a launch computes them.
  static void compareReplay(GPUProblem &problem, void (GPUProblem::*fill)(uint64_t) = &GPUProblem::fillNeighbours) {
    (problem.*fill)(5);
    DeviceOperands call;
    ASSERT_TRUE(problem.upload(call));
    Capture capture;
    rt::Status first = problem.onDevice->launch(call.args, capture.stream);
    ASSERT_TRUE(first) << first.message();
    capture.wait();
    rt::Status captured = capture.record(
        [&](rt::cuda::Stream stream) { return problem.onDevice->launch(call.args, stream); });
    ASSERT_TRUE(captured) << captured.message();

    (problem.*fill)(99);
    DeviceOperands changed;
    ASSERT_TRUE(problem.upload(changed));
    copyInputs(changed.args, call.args, problem);
    capture.replay();
    Operands replayed = problem.operands(), launched = problem.operands();
    rt::Status fetched = call.download(replayed);
    ASSERT_TRUE(fetched) << fetched.message();
    ASSERT_TRUE(problem.onDevice->launch(changed.args, nullptr));
    ASSERT_TRUE(changed.download(launched));
    EXPECT_TRUE(replayed.out.storage == launched.out.storage);
    EXPECT_TRUE(replayed.lse.storage == launched.lse.storage);
  }

  /// What a call's launch says while the stream is captured.
  static std::string messageOfCapture(Capture &capture, const GPUProblem &problem, const DeviceOperands &call) {
    return capture.record([&](rt::cuda::Stream stream) { return problem.onDevice->launch(call.args, stream); }).message();
  }

  /// Everything that a call reads and writes, into the memory of another call.
  static void copyInputs(const rt::RunArgs &from, const rt::RunArgs &to, GPUProblem &problem) {
    auto copy = [&](const rt::Tensor &source, const rt::Tensor &target, const TestTensor &tensor) {
      std::vector<std::byte> bytes(tensor.storage.size() - tensor.start());
      const rt::cuda::Driver &driver = (*device())->driver;
      auto at = [](const rt::Tensor &view) { return reinterpret_cast<rt::cuda::DevicePointer>(view.data); };
      ASSERT_EQ(driver.copyToHost(bytes.data(), at(source), bytes.size(), nullptr), 0);
      ASSERT_EQ(driver.copyToDevice(at(target), bytes.data(), bytes.size(), nullptr), 0);
      ASSERT_EQ(driver.streamSynchronize(nullptr), 0);
    };
    Operands &operands = problem.operands();
    copy(from.query, to.query, operands.query), copy(from.key, to.key, operands.key);
    copy(from.value, to.value, operands.value);
    copy(from.out, to.out, operands.out), copy(*from.lse, *to.lse, operands.lse);
    if (operands.drift)
      copy(*from.drift, *to.drift, *operands.drift);
    if (operands.age)
      copy(*from.age, *to.age, *operands.age);
  }
};

TEST_F(GPUCaptureTest, MasksAndPredictions) {
  for (const char *source : {"{}", "{ mask abs(q.w - k.w) <= 3 or q.text }", "{ mask topk(block_mean, keep: 0.5) or k.t == 0 }",
                             "{ order tiles(first: 1, h: 4, w: 5) mask topp(block_mean, mass: 0.4) }"})
    for (const char *target : {"native", "sm_80"}) {
      SCOPED_TRACE(std::string(source) + target);
      GPUProblem problem(source, kShape, {}, target);
      compareReplay(problem);
    }
}

/// A few items are cut along their lists, and the weights of their pieces round differently than those of whole items; a
/// captured launch whose stream left no memory for pieces keeps them whole. Both are right. (Of the log-sum-exps, which round
/// less, most are the same.)
TEST_F(GPUCaptureTest, WithoutMemoryItemsStayWhole) {
  Shape shape{{1, 6, 10, 0, false}, 1, 32, 128, 1, ElementType::BF16};
  shape.keyGrid = {6, 20, 25, 0, false};
  GPUProblem problem("{}", shape);
  if (!problem.onDevice->cutsItems())
    GTEST_SKIP() << "this device's generator cuts no items";
  problem.fillNormal(7);
  auto clearResults = [&] { problem.test.allocateResults([] { return TensorLayout::BHSD; }); };
  clearResults();
  EXPECT_EQ(problem.compare(), "");
  Operands cut = problem.operands();
  clearResults();
  DeviceOperands call;
  ASSERT_TRUE(problem.upload(call));
  Capture capture;
  rt::Status captured =
      capture.record([&](rt::cuda::Stream stream) { return problem.onDevice->launch(call.args, stream); });
  ASSERT_TRUE(captured) << captured.message();
  capture.replay();
  ASSERT_TRUE(call.download(problem.operands()));
  EXPECT_EQ(compareWithInterpreter(problem.test, nullptr, nullptr), "");
  ASSERT_EQ(cut.out.storage.size(), problem.operands().out.storage.size());
  EXPECT_FALSE(cut.out.storage == problem.operands().out.storage) << "no item was cut";
}

TEST_F(GPUCaptureTest, Reuse) {
  for (const char *source : {"{ reuse neighbours(channel, threshold: 0.15) }", "{ reuse neighbours(token, threshold: 0.15) }",
                             "{ mask topk(block_mean, keep: 0.5) reuse neighbours(token, threshold: 0.15) }"}) {
    SCOPED_TRACE(source);
    GPUProblem problem(source, kShape);
    compareReplay(problem);
  }
}

TEST_F(GPUCaptureTest, SelectedRows) {
  GPUProblem problem("{ rows topk(importance, keep: 0.4) }", kShape);
  problem.test.program.selectsRows = true;
  Random random(3);
  problem.test.makeRowState(random);
  problem.test.allocateResults([] { return TensorLayout::BHSD; });
  compareReplay(problem, &GPUProblem::fillNormal);
}

TEST_F(GPUCaptureTest, RecognizedHeads) {
  for (const char *reuse : {"", " reuse neighbours(token, threshold: 0.15)"}) {
    GPUProblem problem(std::string("{ mask recognize(abs(q.w - k.w) <= 2 on local, q.t == k.t on global, recall: 0.5) or k.t == 0") +
                           reuse + " }",
                       kShape);
    compareReplay(problem);
  }
}

TEST_F(GPUCaptureTest, WhatNoLaunchPrepared) {
  GPUProblem problem("{ mask topk(block_mean, keep: 0.5) }", kShape);
  problem.fillNeighbours(5);
  DeviceOperands call;
  ASSERT_TRUE(problem.upload(call));
  Capture capture;
  std::string message = messageOfCapture(capture, problem, call);
  EXPECT_NE(message.find("captured"), std::string::npos) << message;
}

/// A launch with choices of the caller finds no bits of probes.
TEST_F(GPUCaptureTest, WhatNoLaunchRecognized) {
  GPUProblem problem("{ mask recognize(abs(q.w - k.w) <= 2 on local, q.t == k.t on global, recall: 0.5) }", kShape);
  problem.fillNeighbours(5);
  DeviceOperands call;
  ASSERT_TRUE(problem.upload(call));
  Capture capture;
  rt::Choices choices{{0, 1}, {}};
  call.args.choices = &choices;
  ASSERT_EQ(problem.onDevice->launch(call.args, capture.stream).message(), "");
  capture.wait();
  call.args.choices = nullptr;
  EXPECT_EQ(messageOfCapture(capture, problem, call),
            "recognition: expected parameters of an earlier launch that has recognized heads, since the stream "
            "is being captured");
}

} // namespace
