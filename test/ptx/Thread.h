// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread: its registers, and what instructions need to read operands, write results and report faults.

#ifndef WEFT_TEST_PTX_THREAD_H
#define WEFT_TEST_PTX_THREAD_H

#include "test/ptx/Instruction.h"

#include <cstring>
#include <string>

namespace weft::ptx {

class Cta;
class Launch;

/// How a launch fails; the driver's numbers.
enum class FaultKind : uint16_t { Illegal = 700, Misaligned = 716, Failed = 719 };

/// What is known about a register: states are combined by &.
enum RegisterState : uint8_t {
  kInitialised = 1,
  /// No asynchronous operation may still read or write it.
  kSettled = 2,
  kPlain = kInitialised | kSettled,
  /// \name Of registers that wgmma names
  ///@{
  /// Not written since the last wgmma.fence.
  kFenced = 4,
  /// Why it is not settled: it is an accumulator, or it holds a part of A.
  kAccumulates = 8,
  kIsOperand = 16,
  ///@}
};

/// Bytes in memory, and whether each was written.
struct Span {
  uint8_t *data = nullptr, *written = nullptr;
  /// They are in device memory, which others see.
  bool isDevice = false;
};

/// One thread of a CTA. Registers are 64-bit slots; a narrower value is in the low bits.
class Thread {
public:
  enum class Status : uint8_t { Ready, Waiting, Collective, Barrier, Done };

  Cta *cta = nullptr;
  uint64_t *bits = nullptr;
  uint8_t *state = nullptr;
  /// The kernel's vector operands.
  const uint32_t *lists = nullptr;
  uint32_t pc = 0;
  uint16_t index = 0;
  Status status = Status::Ready;
  /// An instruction that waits sets this while it does; a try_wait also after it has given up once.
  bool polling = false, gaveUp = false;
  /// The lanes with which this thread waits in a collective.
  uint32_t gather = 0;
  /// The named barrier at which it is parked.
  uint8_t barrier = 0;
  /// Its part of the warp's epoch; see Races.
  uint32_t epoch = 1;

  uint32_t lane() const { return index % 32; }
  uint32_t warp() const { return index / 32; }

  template <typename T> T get(uint32_t slot) const {
    T value;
    std::memcpy(&value, bits + slot, sizeof value);
    return value;
  }
  bool getPredicate(uint32_t slot) const { return bits[slot] & 1; }

  /// Writes a result that depends on registers in these states.
  template <typename T> Outcome put(uint32_t slot, T value, uint8_t sources) {
    uint8_t joined = sources & (state[slot] | kInitialised);
    if (!(joined & kSettled)) [[unlikely]]
      return inFlight();
    state[slot] = joined & kPlain;
    uint64_t raw = 0;
    std::memcpy(&raw, &value, sizeof value);
    bits[slot] = raw;
    return Outcome::Next;
  }
  Outcome putPredicate(uint32_t slot, bool value, uint8_t sources) { return put<uint64_t>(slot, value, sources); }

  /// False, with a fault, unless the operand is initialised and settled: `use` says why that matters.
  bool known(uint32_t slot, const char *use) {
    if ((state[slot] & kPlain) == kPlain) [[likely]]
      return true;
    unknown(slot, use);
    return false;
  }

  /// The address operand in `slot` of an instruction.
  bool address(const Instruction &instruction, uint32_t slot, uint64_t &result) {
    if (!known(slot, "is used as an address"))
      return false;
    result = bits[slot] + static_cast<uint64_t>(instruction.offset);
    return true;
  }

  /// \name Memory
  /// Bytes for an ordinary access through the generic proxy; false with a fault if that is not allowed. A strong access
  /// is one by which threads may wait for each other.
  ///@{
  bool load(Space space, uint64_t address, uint32_t bytes, Span &span, bool isStrong = false);
  bool store(Space space, uint64_t address, uint32_t bytes, Span &span, bool isStrong = false);
  ///@}
  /// Turns a generic or .shared address into one of shared memory that holds `bytes` aligned bytes.
  bool sharedAddress(Space space, uint64_t address, uint32_t bytes, uint32_t alignment, uint32_t &result);
  /// Bytes of device memory for an asynchronous or atomic operation.
  bool globalBytes(Space space, uint64_t address, uint64_t bytes, bool write, Span &span);

  /// Reports the first fault of the launch, at this thread's instruction.
  Outcome fault(FaultKind kind, const std::string &message);
  Outcome fault(const std::string &message) { return fault(FaultKind::Failed, message); }

private:
  Outcome inFlight();
  void unknown(uint32_t slot, const char *use);
  bool locate(Space &space, uint64_t &address, uint32_t bytes, bool write, Span &span);
};

/// \name Windows of the generic address space
///@{
constexpr uint64_t kSharedWindow = 0x0400'0000'0000, kLocalWindow = 0x0401'0000'0000, kParamWindow = 0x0402'0000'0000;
constexpr uint64_t kWindowBytes = 0x0100'0000;
///@}

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_THREAD_H
