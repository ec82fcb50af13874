// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The types of PTX, as they stand in opcodes.

#ifndef WEFT_TEST_PTX_TYPES_H
#define WEFT_TEST_PTX_TYPES_H

#include <cstdint>
#include <iterator>
#include <string_view>

namespace weft::ptx {

enum class Type : uint8_t {
  None,
  Pred,
  B8,
  B16,
  B32,
  B64,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  F16x2,
  BF16,
  BF16x2,
  TF32,
  F32,
  F64
};

/// None if the word, without its dot, is no type.
inline Type typeOf(std::string_view word) {
  constexpr std::string_view kNames[] = {"",    "pred",  "b8",   "b16",    "b32",  "b64", "u8",
                                         "u16", "u32",   "u64",  "s8",     "s16",  "s32", "s64",
                                         "f16", "f16x2", "bf16", "bf16x2", "tf32", "f32", "f64"};
  for (unsigned at = 1; at < std::size(kNames); ++at)
    if (word == kNames[at])
      return static_cast<Type>(at);
  return Type::None;
}

inline uint32_t bytesOf(Type type) {
  constexpr uint8_t kBytes[] = {0, 1, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 2, 4, 4, 4, 8};
  return kBytes[static_cast<int>(type)];
}

inline bool isSigned(Type type) { return type >= Type::S8 && type <= Type::S64; }
inline bool isFloat(Type type) { return type >= Type::F16; }
inline bool isInteger(Type type) { return type >= Type::B8 && type <= Type::S64; }

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_TYPES_H
