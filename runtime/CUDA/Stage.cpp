// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finds and launches functions.

#include "runtime/CUDA/Stage.h"

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<Stage> Stage::find(const Device &device, const Code &code, const std::string &name) {
  Stage stage;
  stage.driver = &device.driver, stage.name = name, stage.mayOverlap = code.waits && device.chains;
  if (int error = device.driver.moduleGetFunction(&stage.function, code.module, name.c_str()))
    return device.driver.check(error, ("cuModuleGetFunction of " + name).c_str());
  return stage;
}

Status Stage::launch(std::array<int64_t, 3> grid, int64_t threads, int64_t sharedBytes, Stream stream,
                     void **arguments) const {
  const LaunchAttribute overlap{kProgrammaticSerialization, 0, {1}};
  const LaunchConfig config{static_cast<unsigned>(grid[0]),
                            static_cast<unsigned>(grid[1]),
                            static_cast<unsigned>(grid[2]),
                            static_cast<unsigned>(threads),
                            1,
                            1,
                            static_cast<unsigned>(sharedBytes),
                            stream,
                            &overlap,
                            mayOverlap ? 1u : 0u};
  return driver->check(driver->launch(&config, function, arguments, nullptr), ("cuLaunchKernelEx of " + name).c_str());
}

Status Stage::reserveShared(int64_t bytes) const {
  return driver->check(driver->functionSetAttribute(function, kMaxDynamicShared, static_cast<int>(bytes)),
                       ("cuFuncSetAttribute of " + name).c_str());
}
