// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// cp.async: element copies, bulk copies and tensor copies.

#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"
#include "test/ptx/TensorMap.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::ptx;

using Kind = AsyncCopy::Kind;

//===-- Element copies: 4, 8 or 16 bytes of a thread ------------------------===//

/// slot: destination, source, source bytes. mode[0]: bytes; mode[1]: the rest becomes zero.
static Outcome copyElement(Thread &thread, const Instruction &i) {
  uint64_t to, from = thread.get<uint64_t>(i.slot[1]);
  uint32_t at, bytes = i.mode[0], given = bytes;
  if (!thread.address(i, i.slot[0], to) || !thread.known(i.slot[1], "is used as an address") ||
      !thread.sharedAddress(Space::Shared, to, bytes, bytes, at))
    return Outcome::Fault;
  if (i.mode[1]) {
    if (!thread.known(i.slot[2], "is a number of bytes"))
      return Outcome::Fault;
    given = thread.get<uint32_t>(i.slot[2]);
    if (given > bytes)
      return thread.fault(fmt::format("expected at most {} source bytes, but got {}", bytes, given));
  }
  Span span;
  if (given && from % bytes)
    return thread.fault(FaultKind::Misaligned,
                        fmt::format("global address {:#x} is not a multiple of {}", from, bytes));
  if (given && !thread.globalBytes(Space::Global, from, given, false, span))
    return Outcome::Fault;
  AsyncCopy copy;
  copy.kind = Kind::Element;
  copy.pieces = {{at, static_cast<uint16_t>(bytes), 0, static_cast<uint16_t>(given), from}};
  return thread.cta->async.issue(thread, std::move(copy)) ? Outcome::Next : Outcome::Fault;
}

static Outcome waitAll(Thread &thread, const Instruction &) {
  return thread.cta->async.waitAll(thread) ? Outcome::Next : Outcome::Fault;
}

/// mode[0]: adds the arrival to what the barrier expects.
static Outcome arriveLater(Thread &thread, const Instruction &i) {
  uint64_t address;
  uint32_t at;
  if (!thread.address(i, i.slot[0], address) || !thread.sharedAddress(i.space, address, 8, 8, at))
    return Outcome::Fault;
  Mbarrier *barrier = thread.cta->shared.barrierAt(at);
  if (!barrier)
    return thread.fault(fmt::format("shared address {} holds no live mbarrier object", at));
  barrier->pendingArrivals += i.mode[0];
  thread.cta->async.issueArrival(thread, at);
  return Outcome::Next;
}

template <Kind K> static Outcome commit(Thread &thread, const Instruction &) {
  thread.cta->async.commit(thread, K);
  return Outcome::Next;
}

/// mode[0]: groups that may go on; mode[1]: only their reading matters.
template <Kind K> static Outcome wait(Thread &thread, const Instruction &i) {
  return thread.cta->async.wait(thread, K, i.mode[0], i.mode[1]) ? Outcome::Next : Outcome::Fault;
}

//===-- Bulk copies: consecutive bytes --------------------------------------===//

/// slot: shared, global, bytes, barrier. mode[0]: from shared to global.
static Outcome copyBulk(Thread &thread, const Instruction &i) {
  auto global = thread.get<uint64_t>(i.slot[1]), barrier = thread.get<uint64_t>(i.slot[3]),
       shared = thread.get<uint64_t>(i.slot[0]);
  for (int at = 0; at < 4; ++at)
    if (!thread.known(i.slot[at], "is an operand of a bulk copy"))
      return Outcome::Fault;
  auto bytes = thread.get<uint32_t>(i.slot[2]);
  if (!bytes || bytes % 16)
    return thread.fault(fmt::format("expected a positive multiple of 16 bytes, but got {}", bytes));
  if (global % 16)
    return thread.fault(FaultKind::Misaligned, fmt::format("global address {:#x} is not a multiple of 16", global));
  AsyncCopy copy;
  copy.kind = i.mode[0] ? Kind::Store : Kind::Load;
  copy.bytes = bytes;
  uint32_t at;
  Span span;
  if (!thread.sharedAddress(i.space, shared, bytes, 16, at) ||
      !thread.globalBytes(Space::Global, global, bytes, i.mode[0], span) ||
      (!i.mode[0] && !thread.sharedAddress(i.space, barrier, 8, 8, copy.barrier)))
    return Outcome::Fault;
  for (uint32_t begin = 0; begin < bytes; begin += 4096) {
    auto length = static_cast<uint16_t>(std::min(4096u, bytes - begin));
    copy.pieces.push_back({at + begin, length, 0, length, global + begin});
  }
  return thread.cta->async.issue(thread, std::move(copy)) ? Outcome::Next : Outcome::Fault;
}

//===-- Tensor copies: a box by a tensor map --------------------------------===//

/// The map behind a generic address.
static std::optional<TensorMap> mapAt(Thread &thread, uint64_t address) {
  if (address % 64) {
    thread.fault(FaultKind::Misaligned, fmt::format("the tensor map at {:#x} is not aligned to 64 bytes", address));
    return std::nullopt;
  }
  // A thread could not load it at once, but its bytes lie together.
  Span span;
  for (uint32_t part = 0; part < TensorMap::kBytes; part += 8) {
    Span word;
    if (!thread.load(Space::Generic, address + part, 8, word))
      return std::nullopt;
    if (!part)
      span = word;
  }
  std::optional<TensorMap> map = TensorMap::decode(span.data);
  if (!map)
    thread.fault(fmt::format("the bytes at {:#x} are no tensor map", address));
  return map;
}

/// slot: shared, map, barrier; the list holds the coordinates. mode[0]: from shared to global.
static Outcome copyTensor(Thread &thread, const Instruction &i) {
  for (int at = 0; at < 3; ++at)
    if (!thread.known(i.slot[at], "is an operand of a tensor copy"))
      return Outcome::Fault;
  std::optional<TensorMap> map = mapAt(thread, thread.get<uint64_t>(i.slot[1]));
  if (!map)
    return Outcome::Fault;
  if (map->rank != i.listSize)
    return thread.fault(fmt::format("the tensor map has rank {}, but got {} coordinates", map->rank, i.listSize));
  std::array<int32_t, 5> coordinates = {};
  for (uint32_t at = 0; at < i.listSize; ++at) {
    if (!thread.known(thread.lists[i.list + at], "is a coordinate"))
      return Outcome::Fault;
    coordinates[at] = thread.get<int32_t>(thread.lists[i.list + at]);
  }
  AsyncCopy copy;
  copy.kind = i.mode[0] ? Kind::Store : Kind::Load;
  copy.bytes = map->boxBytes();
  copy.fill = map->fill ? 0xffff : 0;
  uint32_t at;
  if (!thread.sharedAddress(i.space, thread.get<uint64_t>(i.slot[0]), copy.bytes, 128, at) ||
      (!i.mode[0] && !thread.sharedAddress(i.space, thread.get<uint64_t>(i.slot[2]), 8, 8, copy.barrier)))
    return Outcome::Fault;
  copy.pieces = map->pieces(at, coordinates);
  for (const Piece &piece : copy.pieces)
    if (!thread.cta->shared.contains(piece.shared, 16))
      return thread.fault(FaultKind::Illegal,
                          fmt::format("swizzling takes shared address {} out of bounds", piece.shared));
  return thread.cta->async.issue(thread, std::move(copy)) ? Outcome::Next : Outcome::Fault;
}

//===-- Decoding ------------------------------------------------------------===//

template <Kind K> static bool decodeGroup(Decoder &d) {
  Instruction &i = d.instruction;
  if (d.take("commit_group")) {
    i.run = commit<K>;
    return d.count(0, 0);
  }
  int64_t keep = 0;
  i.mode[1] = d.take("read");
  i.run = wait<K>;
  if (!d.take("wait_group") || !d.count(1, 1) || !d.immediate(0, keep) || keep < 0)
    return false;
  i.mode[0] = static_cast<uint8_t>(std::min<int64_t>(keep, 255));
  return true;
}

static bool decodeElement(Decoder &d) {
  Instruction &i = d.instruction;
  int cache = d.takeOneOf({"ca", "cg"});
  bool hasPolicy = d.take("L2::cache_hint");
  d.takeHints();
  int64_t bytes = 0;
  if (cache < 0 || d.takeOneOf({"shared", "shared::cta"}) < 0 || !d.take("global"))
    return d.fail("expected .shared.global");
  if (!d.count(3, hasPolicy ? 5 : 4) || !d.immediate(2, bytes))
    return false;
  if (bytes != 16 && (cache == 1 || (bytes != 4 && bytes != 8)))
    return d.fail(fmt::format("a copy of {} bytes does not exist", bytes));
  i.mode[0] = static_cast<uint8_t>(bytes);
  i.mode[1] = d.operands() == (hasPolicy ? 5u : 4u);
  i.slot[2] = kZeroSlot;
  i.run = copyElement;
  return d.address(0, 0) && d.secondAddress(1, 1) && (!i.mode[1] || d.source(3, 2, Type::U32));
}

static bool decodeArriveLater(Decoder &d) {
  d.instruction.mode[0] = !d.take("noinc");
  d.instruction.space = d.takeSpace();
  d.instruction.run = arriveLater;
  return d.take("arrive") && d.take("b64") && d.count(1, 1) && d.address(0, 0);
}

/// Takes what names the direction. False if it is none of those that exist.
static bool takeDirection(Decoder &d) {
  Instruction &i = d.instruction;
  i.space = Space::Shared;
  if (d.left().size() < 2)
    return false;
  bool isLoad = d.left()[1] == "global" && d.left()[0].starts_with("shared::"),
       isStore = d.left()[0] == "global" && d.left()[1] == "shared::cta";
  if (!isLoad && !isStore)
    return false;
  i.mode[0] = isStore;
  d.dropWord(0);
  d.dropWord(0);
  return isStore ? d.take("bulk_group") : d.take("mbarrier::complete_tx::bytes");
}

static bool decodeBulk(Decoder &d) {
  Instruction &i = d.instruction;
  bool hasPolicy = d.take("L2::cache_hint");
  if (d.take("prefetch")) {
    i.run = nothing;
    return d.take("L2") && d.take("global");
  }
  if (!takeDirection(d))
    return d.fail("this direction or completion is not supported");
  i.run = copyBulk;
  size_t plain = i.mode[0] ? 3 : 4;
  if (!d.count(plain + hasPolicy, plain + hasPolicy))
    return false;
  size_t shared = i.mode[0] ? 1 : 0, global = 1 - shared;
  i.slot[3] = kZeroSlot;
  return d.secondAddress(shared, 0) && d.secondAddress(global, 1) && d.source(2, 2, Type::U32) &&
         (i.mode[0] || d.secondAddress(3, 3));
}

static bool decodeTensor(Decoder &d) {
  Instruction &i = d.instruction;
  bool hasPolicy = d.take("L2::cache_hint");
  int rank = d.takeOneOf({"1d", "2d", "3d", "4d", "5d"});
  d.take("tile");
  if (d.take("prefetch")) {
    i.run = nothing;
    return rank >= 0 && d.take("L2") && d.take("global");
  }
  if (rank < 0 || !takeDirection(d))
    return d.fail("this direction or completion is not supported");
  i.run = copyTensor;
  size_t map = i.mode[0] ? 0 : 1, shared = 1 - map;
  size_t plain = i.mode[0] ? 2 : 3;
  if (!d.count(plain + hasPolicy, plain + hasPolicy) || !d.secondAddress(map, 1) || d.operand(map).elements.size() != 1)
    return false;
  std::vector<uint32_t> coordinates;
  const Operand &given = d.operand(map).elements[0];
  for (const Operand &coordinate : given.elements)
    coordinates.push_back(d.slotOf(coordinate, Type::S32));
  if (given.kind != Operand::Kind::Vector || coordinates.size() != static_cast<size_t>(rank) + 1)
    return d.fail(fmt::format("expected {} coordinates", rank + 1));
  i.list = d.builder.addList(coordinates);
  i.listSize = static_cast<uint32_t>(coordinates.size());
  i.slot[2] = kZeroSlot;
  return d.secondAddress(shared, 0) && (i.mode[0] || d.secondAddress(2, 2));
}

static bool decodeCopy(Decoder &d) {
  if (!d.take("async"))
    return d.fail("only cp.async is supported");
  bool isBulk = d.take("bulk");
  if (isBulk && d.builder.kernel.module->target < 90)
    return d.fail("expected .target sm_90 or later");
  if (isBulk && d.take("tensor"))
    return decodeTensor(d);
  bool isGroup = d.statement.opcode.find("_group") != std::string_view::npos &&
                 d.statement.opcode.find("bulk_group") == std::string_view::npos;
  if (isBulk)
    return isGroup ? decodeGroup<Kind::Store>(d) : decodeBulk(d);
  if (d.take("wait_all")) {
    d.instruction.run = waitAll;
    return d.count(0, 0);
  }
  if (d.take("mbarrier"))
    return decodeArriveLater(d);
  return isGroup ? decodeGroup<Kind::Element>(d) : decodeElement(d);
}

void weft::ptx::addCopyInstructions(DecodeTable &table) { table["cp"] = decodeCopy; }
