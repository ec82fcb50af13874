// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Finds and launches functions.

#include "runtime/CUDA/Stage.h"

using namespace weft::rt;
using namespace weft::rt::cuda;

Result<Stage> Stage::find(const Device &device, Module module, const std::string &name) {
  Stage stage;
  stage.driver = &device.driver, stage.name = name;
  if (int code = device.driver.moduleGetFunction(&stage.function, module, name.c_str()))
    return device.driver.check(code, ("cuModuleGetFunction of " + name).c_str());
  return stage;
}

Status Stage::launch(std::array<int64_t, 3> grid, int64_t threads, int64_t sharedBytes, Stream stream,
                     void **arguments) const {
  int code = driver->launch(function, static_cast<unsigned>(grid[0]), static_cast<unsigned>(grid[1]),
                            static_cast<unsigned>(grid[2]), static_cast<unsigned>(threads), 1, 1,
                            static_cast<unsigned>(sharedBytes), stream, arguments, nullptr);
  return driver->check(code, ("cuLaunchKernel of " + name).c_str());
}

Status Stage::reserveShared(int64_t bytes) const {
  return driver->check(driver->functionSetAttribute(function, kMaxDynamicShared, static_cast<int>(bytes)),
                       ("cuFuncSetAttribute of " + name).c_str());
}
