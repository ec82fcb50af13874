// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Asking the machine, and leaving out what the user does not want.

#include "codegen/CPU/Host.h"

#include "runtime/Tiles.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <cstdio>
#include <cstdlib>

using namespace llvm;
using namespace weft;

std::string Host::featureString() const {
  SmallVector<std::string> parts;
  for (const std::string &feature : features)
    parts.push_back("+" + feature);
  // Last, so that they also take away what implies them.
  for (const std::string &feature : absent)
    parts.push_back("-" + feature);
  return join(parts, ",");
}

bool Host::leaveOut(StringRef text) {
  SmallVector<StringRef> parts;
  text.split(parts, ',');
  for (StringRef &part : parts)
    if (!part.consume_front("-") || !(features.count(part.str()) || absent.count(part.str())))
      return false;
  for (StringRef part : parts) {
    features.erase(part.str());
    absent.insert(part.str());
  }
  return true;
}

static Host askMachine() {
  Host host;
  host.arch = Triple(sys::getProcessTriple()).getArchName().str();
  host.cpu = sys::getHostCPUName().str();
  for (const auto &feature : sys::getHostCPUFeatures())
    (feature.second ? host.features : host.absent).insert(feature.first().str());
  return host;
}

const Host &Host::current() {
  static const Host host = [] {
    Host result = askMachine();
    const char *text = std::getenv("WEFT_CPU_FEATURES");
    if (text && *text && !result.leaveOut(text))
      std::fprintf(stderr,
                   "warning: WEFT_CPU_FEATURES: expected features of this processor to leave out, as "
                   "-avx512f,-amx-tile, but got '%s'\n",
                   text);
    result.permitsTiles = result.has("amx-tile") && rt::requestTiles();
    return result;
  }();
  return host;
}
