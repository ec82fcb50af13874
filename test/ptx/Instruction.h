// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A decoded instruction, and the kernel and module that hold it: no text is looked at while a kernel runs.

#ifndef WEFT_TEST_PTX_INSTRUCTION_H
#define WEFT_TEST_PTX_INSTRUCTION_H

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft::ptx {

class Thread;
class Warp;
struct Instruction;

/// What a thread does after its handler.
enum class Outcome : uint8_t {
  Next,       ///< Goes on with the next instruction.
  Jump,       ///< Goes on at the pc that the handler set.
  Wait,       ///< Could not proceed: runs the same instruction again later.
  Yield,      ///< Goes on, but lets others run first.
  Collective, ///< Waits at this instruction for its fellow lanes; then the instruction's collective runs.
  Parked,     ///< Waits until somebody else moves it on.
  Exit,
  Fault,
};
using Handler = Outcome (*)(Thread &, const Instruction &);
/// Runs a collective for the lanes of a warp: Next, Parked (the handler set each lane's state), Wait or Fault.
using Collective = Outcome (*)(Warp &, uint32_t lanes, const Instruction &);

/// Where an address points.
enum class Space : uint8_t { Generic, Global, Shared, Param, Const, Local };

/// Register operands are slots of the thread's register file. Immediates and special registers have slots as well.
struct Instruction {
  Handler run = nullptr;
  Collective collective = nullptr;
  std::array<uint32_t, 5> slot = {};
  static constexpr uint32_t kNone = ~0u;
  uint32_t guard = kNone;
  bool guardNegated = false;
  Space space = Space::Generic;
  /// Small facts whose meaning the handler knows.
  std::array<uint8_t, 8> mode = {};
  /// Added to the address.
  int64_t offset = 0;
  /// The operands between braces: kernel.lists[list] and following.
  uint32_t list = 0, listSize = 0;
  /// A branch's destination.
  uint32_t target = 0;
  uint32_t line = 0;
  /// Participants: 0 the live lanes of the warp, else the slot that holds the member mask.
  uint32_t memberMask = 0;
};

/// A kernel parameter.
struct Parameter {
  std::string name;
  uint32_t offset = 0, size = 0;
};

/// Special registers that have one value per thread.
enum class Special : uint8_t {
  TidX,
  TidY,
  TidZ,
  CtaX,
  CtaY,
  CtaZ,
  NtidX,
  NtidY,
  NtidZ,
  NctaX,
  NctaY,
  NctaZ,
  LaneId,
  WarpId,
  NWarpId,
  SmId,
  NSmId,
  DynamicShared,
  TotalShared,
  MaskEq,
  MaskLt,
  MaskLe,
  MaskGt,
  MaskGe,
  GridId
};

struct Module;

/// A decoded entry.
struct Kernel {
  std::string name;
  const Module *module = nullptr;
  std::vector<Parameter> parameters;
  uint32_t parameterBytes = 0;
  std::vector<Instruction> code;
  std::vector<uint32_t> lists;
  /// One per slot; empty for constants.
  std::vector<std::string> slotNames;
  /// Slots with the same value in every thread, and those with a value of their own.
  std::vector<std::pair<uint32_t, uint64_t>> constants;
  std::vector<std::pair<uint32_t, Special>> specials;
  /// Shared memory begins at kSharedStart: static variables, then the dynamic part at dynamicBase.
  uint32_t staticShared = 0, dynamicBase = 0;
  uint32_t localBytes = 0;
  /// From .maxntid and .reqntid; 0 where absent.
  std::array<uint32_t, 3> maxThreads = {}, requiredThreads = {};
  /// CTAs between which a multiprocessor's registers are divided, from .minnctapersm.
  uint32_t minCtas = 1;
  bool usesSetmaxnreg = false;
  /// Whether some thread may wait for earlier launches.
  bool waitsForLaunches = false;
  /// The registers that wgmma names.
  std::vector<uint32_t> productSlots;

  uint32_t slots() const { return static_cast<uint32_t>(slotNames.size()); }
};

/// Hardware keeps the first kilobyte of shared memory for itself.
constexpr uint32_t kSharedStart = 1024;
/// Slots that every kernel has: where results that nobody wants go, and constant zero.
constexpr uint32_t kSinkSlot = 0, kZeroSlot = 1;

/// A loaded module.
struct Module {
  std::string text;
  /// The text's lines.
  std::vector<std::string_view> lines;
  /// 90 for sm_90 and sm_90a.
  int target = 0;
  bool architectureSpecific = false;
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  /// Addresses and sizes of the .global and .const variables.
  std::map<std::string, std::pair<uint64_t, uint64_t>> variables;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_INSTRUCTION_H
