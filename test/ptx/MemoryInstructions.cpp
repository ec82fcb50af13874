// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Loads, stores, atomics and fences.
//
// Threads run one at a time, so every access is ordered as strongly as any fence could: scopes and orders are read and
// ignored. Only the fence between the generic and the asynchronous proxy matters.

#include "test/ptx/FloatFormats.h"
#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::ptx;

//===-- Loads and stores ----------------------------------------------------===//

template <typename T> static uint8_t stateOf(const uint8_t *written) {
  uint64_t all = 0, ones = 0x0101010101010101u >> (64 - 8 * sizeof(T));
  std::memcpy(&all, written, sizeof(T));
  return all == ones ? kPlain : kSettled;
}

template <typename T> static uint64_t extend(T value) {
  if constexpr (std::is_signed_v<T>)
    return static_cast<uint64_t>(static_cast<int64_t>(value));
  else
    return value;
}

template <typename T> static Outcome loadOne(Thread &thread, const Instruction &i) {
  uint64_t address;
  Span span;
  if (!thread.address(i, i.slot[1], address) || !thread.load(i.space, address, sizeof(T), span, i.mode[7]))
    return Outcome::Fault;
  T value;
  std::memcpy(&value, span.data, sizeof(T));
  return thread.put<uint64_t>(i.slot[0], extend(value), stateOf<T>(span.written));
}

template <typename T> static Outcome loadVector(Thread &thread, const Instruction &i) {
  uint64_t address;
  Span span;
  if (!thread.address(i, i.slot[1], address) ||
      !thread.load(i.space, address, static_cast<uint32_t>(sizeof(T) * i.listSize), span, i.mode[7]))
    return Outcome::Fault;
  for (uint32_t at = 0; at < i.listSize; ++at) {
    T value;
    std::memcpy(&value, span.data + at * sizeof(T), sizeof(T));
    if (thread.put<uint64_t>(thread.lists[i.list + at], extend(value), stateOf<T>(span.written + at * sizeof(T))) !=
        Outcome::Next)
      return Outcome::Fault;
  }
  return Outcome::Next;
}

/// Stores what `slot` holds. Memory of the device may not be given uninitialised values.
template <typename T> static bool storeValue(Thread &thread, uint32_t slot, const Span &span, uint32_t at) {
  uint8_t state = thread.state[slot] & kPlain;
  if (state != kPlain && (span.isDevice || !(state & kSettled))) {
    thread.known(slot, "is stored to device memory");
    return false;
  }
  T value = thread.get<T>(slot);
  std::memcpy(span.data + at * sizeof(T), &value, sizeof(T));
  std::memset(span.written + at * sizeof(T), state & kInitialised, sizeof(T));
  return true;
}

template <typename T> static Outcome storeOne(Thread &thread, const Instruction &i) {
  uint64_t address;
  Span span;
  if (!thread.address(i, i.slot[0], address) || !thread.store(i.space, address, sizeof(T), span, i.mode[7]) ||
      !storeValue<T>(thread, i.slot[1], span, 0))
    return Outcome::Fault;
  return Outcome::Next;
}

template <typename T> static Outcome storeVector(Thread &thread, const Instruction &i) {
  uint64_t address;
  Span span;
  if (!thread.address(i, i.slot[0], address) ||
      !thread.store(i.space, address, static_cast<uint32_t>(sizeof(T) * i.listSize), span, i.mode[7]))
    return Outcome::Fault;
  for (uint32_t at = 0; at < i.listSize; ++at)
    if (!storeValue<T>(thread, thread.lists[i.list + at], span, at))
      return Outcome::Fault;
  return Outcome::Next;
}

/// The raw integer of a type's width, signed only where a wider register shows the difference.
template <typename F> static bool withStorage(Type type, F f) {
  switch (bytesOf(type)) {
  case 1:
    return isSigned(type) ? f(int8_t()) : f(uint8_t());
  case 2:
    return isSigned(type) ? f(int16_t()) : f(uint16_t());
  case 4:
    return isSigned(type) ? f(int32_t()) : f(uint32_t());
  case 8:
    return f(uint64_t());
  default:
    return false;
  }
}

static bool takeAccess(Decoder &d, Type &type, int &vector) {
  for (std::string_view word : {"volatile", "relaxed", "acquire", "release", "mmio"})
    d.instruction.mode[7] |= d.take(word);
  // A cache policy is an operand more.
  d.takeHints();
  d.instruction.space = d.takeSpace();
  vector = d.takeOneOf({"v2", "v4", "v8"});
  type = d.takeLastType();
  return type != Type::None && type != Type::Pred && d.count(2, 3);
}

static bool decodeLoad(Decoder &d) {
  Type type;
  int vector;
  if (!takeAccess(d, type, vector) || !d.address(1, 1))
    return false;
  if (vector < 0)
    return withStorage(type, [&](auto t) {
      d.instruction.run = loadOne<decltype(t)>;
      return d.destination(0, 0);
    });
  return withStorage(type, [&](auto t) {
    d.instruction.run = loadVector<decltype(t)>;
    return d.vector(0, type, true) && d.instruction.listSize == 2u << vector;
  });
}

static bool decodeStore(Decoder &d) {
  Type type;
  int vector;
  if (!takeAccess(d, type, vector) || !d.address(0, 0))
    return false;
  if (vector < 0)
    return withStorage(type, [&](auto t) {
      d.instruction.run = storeOne<decltype(t)>;
      return d.source(1, 1, type);
    });
  return withStorage(type, [&](auto t) {
    d.instruction.run = storeVector<decltype(t)>;
    return d.vector(1, type, false) && d.instruction.listSize == 2u << vector;
  });
}

//===-- Atomics -------------------------------------------------------------===//

namespace {

enum AtomicOp : uint8_t { kAdd, kMin, kMax, kExchange, kCompare, kAnd, kOr, kXor, kIncrement, kDecrement };

template <typename T> T combine(uint8_t op, T old, T value, T swap) {
  switch (op) {
  case kAdd:
    return static_cast<T>(old + value);
  case kMin:
    return std::min(old, value);
  case kMax:
    return std::max(old, value);
  case kExchange:
    return value;
  case kCompare:
    return old == value ? swap : old;
  default:
    break;
  }
  if constexpr (std::is_integral_v<T>) {
    switch (op) {
    case kAnd:
      return old & value;
    case kOr:
      return old | value;
    case kXor:
      return old ^ value;
    case kIncrement:
      return old >= value ? T(0) : static_cast<T>(old + 1);
    case kDecrement:
      return old == 0 || old > value ? value : static_cast<T>(old - 1);
    default:
      break;
    }
  }
  return old;
}

/// Two 16-bit floats, of which only sums exist.
template <bool IsBf16> struct Pair {
  uint16_t part[2];
  bool operator==(const Pair &) const = default;
  bool operator<(const Pair &) const { return false; }
  Pair operator+(const Pair &other) const {
    auto add = [](uint16_t a, uint16_t b) {
      return IsBf16 ? toBf16(fromBf16(a) + fromBf16(b)) : toF16(fromF16(a) + fromF16(b));
    };
    return {add(part[0], other.part[0]), add(part[1], other.part[1])};
  }
};

} // namespace

/// slot: result, address, value, swap.
template <typename T> static Outcome atomic(Thread &thread, const Instruction &i) {
  uint64_t address;
  Span span;
  if (!thread.address(i, i.slot[1], address) || !thread.known(i.slot[2], "is an operand of an atomic") ||
      (i.mode[0] == kCompare && !thread.known(i.slot[3], "is an operand of an atomic")) ||
      !thread.store(i.space, address, sizeof(T), span, true))
    return Outcome::Fault;
  if (i.mode[0] != kExchange && stateOf<T>(span.written) != kPlain)
    return thread.fault(fmt::format("an atomic reads uninitialised memory at {:#x}", address));
  T old;
  std::memcpy(&old, span.data, sizeof(T));
  uint8_t state = stateOf<T>(span.written);
  T value = combine<T>(i.mode[0], old, thread.get<T>(i.slot[2]), thread.get<T>(i.slot[3]));
  std::memcpy(span.data, &value, sizeof(T));
  std::memset(span.written, 1, sizeof(T));
  return thread.put<T>(i.slot[0], old, state);
}

static bool chooseAtomic(Decoder &d, Type type) {
  Instruction &i = d.instruction;
  switch (type) {
  case Type::F32:
    i.run = atomic<float>;
    return true;
  case Type::F64:
    i.run = atomic<double>;
    return true;
  case Type::F16x2:
    i.run = atomic<Pair<false>>;
    return i.mode[0] == kAdd;
  case Type::BF16x2:
    i.run = atomic<Pair<true>>;
    return i.mode[0] == kAdd;
  default:
    return bytesOf(type) >= 2 && withInteger(type, [&](auto t) {
             i.run = atomic<decltype(t)>;
             return true;
           });
  }
}

template <bool HasResult> static bool decodeAtomic(Decoder &d) {
  Instruction &i = d.instruction;
  d.takeHints();
  d.take("noftz");
  i.space = d.takeSpace();
  int op = d.takeOneOf({"add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec"});
  Type type = d.takeLastType();
  size_t first = HasResult ? 1 : 0;
  i.mode[0] = static_cast<uint8_t>(op);
  if (op < 0 || d.operands() < first + (op == kCompare ? 3 : 2) || (HasResult && !d.destination(0, 0)))
    return false;
  i.slot[3] = kZeroSlot;
  return d.address(first, 1) && d.source(first + 1, 2, type) && (op != kCompare || d.source(first + 2, 3, type)) &&
         chooseAtomic(d, type);
}

//===-- Fences --------------------------------------------------------------===//

static Outcome fenceAsync(Thread &thread, const Instruction &) {
  thread.cta->fenceTimes[thread.index] = thread.cta->time;
  return Outcome::Next;
}

static bool decodeFence(Decoder &d) {
  d.instruction.run = nothing;
  bool isProxy = false;
  while (!d.left().empty()) {
    std::string_view word = d.left()[0];
    if (word == "proxy")
      isProxy = true;
    else if (isProxy && word == "async")
      d.instruction.run = fenceAsync;
    else if (isProxy && word == "global")
      // Shared memory is not among what it covers.
      d.instruction.run = nothing;
    else if (word != "mbarrier_init" && word != "alias" && !word.starts_with("tensormap") &&
             !word.starts_with("async") && !word.starts_with("shared") && !word.starts_with("sync_restrict") &&
             word != "acq_rel" && word != "sc" && word != "acquire" && word != "release" && word != "cta" &&
             word != "cluster" && word != "gpu" && word != "sys" && word != "gl")
      return false;
    d.dropWord(0);
  }
  return true;
}

static bool decodePrefetch(Decoder &d) {
  d.takeHints();
  d.takeSpace();
  d.take("tensormap");
  d.takeOneOf({"L1", "L2"});
  d.instruction.run = nothing;
  return d.count(1, 2);
}

void weft::ptx::addMemoryInstructions(DecodeTable &table) {
  table["ld"] = decodeLoad;
  table["ldu"] = decodeLoad;
  table["st"] = decodeStore;
  table["atom"] = decodeAtomic<true>;
  table["red"] = decodeAtomic<false>;
  table["fence"] = decodeFence;
  table["membar"] = decodeFence;
  for (const char *name : {"prefetch", "prefetchu", "applypriority", "discard"})
    table[name] = decodePrefetch;
}
