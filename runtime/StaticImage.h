// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The image of a kernel in an object file that was compiled ahead of time.

#ifndef WEFT_RUNTIME_STATICIMAGE_H
#define WEFT_RUNTIME_STATICIMAGE_H

#include "runtime/Kernel.h"

namespace weft::rt {

/// One partition; see TokenBlocks.
struct StaticBlocks {
  int64_t tokens, blocks;
  const int32_t *offsets, *table;
};

/// Classified block lists; see BlockLists::fromClassified.
struct StaticLists {
  int64_t lists, numEntries;
  const int32_t *offsets, *entries;
};

/// A dynamic parameter.
struct StaticParameter {
  const char *name;
  int64_t isBool, hasDefault, defaultValue;
};

/// What `weftc --emit=obj` writes as `weft_NAME_image`. Every field takes 8 bytes.
struct StaticImage {
  static constexpr int64_t kVersion = 3;

  int64_t version;
  const char *name;
  int64_t heads, headDim, dtype;
  StaticBlocks query, key;
  int64_t keyTileBytes, valueTileBytes, biasTileBytes, scratchBytes, hasGiven, hasBias, hasRows, usesTiles;
  int64_t numParameters;
  const StaticParameter *parameters;
  int64_t numLists;
  const StaticLists *lists;
  void (*pack)(const PackArgs *);
  void (*attend)(const AttendArgs *);
};

/// A kernel from an image that is linked into the program; an error if the image is of another version.
Result<std::shared_ptr<const Kernel>> loadStatic(const StaticImage &image);

} // namespace weft::rt

#endif // WEFT_RUNTIME_STATICIMAGE_H
