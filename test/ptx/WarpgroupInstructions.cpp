// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// wgmma: asynchronous products of a warpgroup.
//
// Four warps issue a product together, each for its own 16 of the 64 rows, and each warp's part is in flight from there
// to the warp's own wait_group. Meanwhile its registers may not be touched and its bytes of shared memory may not be
// written. It computes when its group is committed or as late as the wait, which is drawn at random. Products are
// exact in f32; they are summed in order of k, each sum rounded to f32.
//
// Where the elements of an operand lie follows from the descriptor. In units of 16-byte chunks of T elements, with
// P bytes per swizzled row (16 without swizzle):
//
//                     chunk of T elements along k          along rows (columns of B)
//   k-major           next chunk: LBO without swizzle,     next: P; next 8: SBO
//                     else 16 bytes
//   not k-major       next k: P; next 8 of k: SBO,         within P; beyond: LBO,
//                     LBO without swizzle                  SBO without swizzle

#include "test/ptx/FloatFormats.h"
#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"
#include "test/ptx/TensorMap.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::ptx;

namespace {

/// What an instruction's mode[] and list say.
struct Product {
  uint32_t columns, k;
  Type input;
  bool halfOutput, registersA, negateA, negateB, transposeA, transposeB;
  const uint32_t *d, *a;

  Product(const Instruction &i, const uint32_t *lists)
      : columns(i.mode[0] * 8u), k(i.mode[1]), input(static_cast<Type>(i.mode[2])), halfOutput(i.mode[3] & 1),
        registersA(i.mode[3] & 2), negateA(i.mode[3] & 4), negateB(i.mode[3] & 8), transposeA(i.mode[3] & 16),
        transposeB(i.mode[3] & 32), d(lists + i.list), a(d + registersD()) {}

  uint32_t registersD() const { return columns / (halfOutput ? 4 : 2); }
  uint32_t elementBytes() const { return input == Type::TF32 ? 4 : 2; }
};

/// A matrix descriptor.
struct Descriptor {
  uint32_t start, leading, stride, row;
  Swizzle mode;
  bool valid;

  explicit Descriptor(uint64_t bits)
      : start(static_cast<uint32_t>(bits & 0x3fff) << 4), leading(static_cast<uint32_t>(bits >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(bits >> 32 & 0x3fff) << 4) {
    constexpr Swizzle kModes[] = {Swizzle::None, Swizzle::Span128, Swizzle::Span64, Swizzle::Span32};
    mode = kModes[bits >> 62];
    row = 16u << static_cast<uint32_t>(mode);
    valid = !(bits >> 49 & 7);
  }

  /// The address of the chunk that holds k in [chunk * T, ...) of a row; of 8 rows beginning at `outer` for one k
  /// otherwise.
  uint32_t chunkAlongK(uint32_t outer, uint32_t chunk) const {
    uint32_t along = mode == Swizzle::None ? leading : 16;
    return swizzle(start + outer / 8 * stride + outer % 8 * row + chunk * along, mode);
  }
  uint32_t chunkAcrossK(uint32_t outer, uint32_t k) const {
    uint32_t perRow = row / 2;
    uint32_t next = mode == Swizzle::None ? stride : leading, nextK = mode == Swizzle::None ? leading : stride;
    return swizzle(start + outer / perRow * next + outer % perRow * 2 + k / 8 * nextK + k % 8 * row, mode);
  }
};

/// Calls f(address, outer, k): the chunk's elements run along k, or along the outer index if transposed.
template <typename F>
void forEachChunk(const Descriptor &descriptor, bool transposed, uint32_t first, uint32_t count, uint32_t k,
                  uint32_t elementBytes, F f) {
  uint32_t perChunk = 16 / elementBytes;
  if (transposed) {
    for (uint32_t outer = first; outer < first + count; outer += 8)
      for (uint32_t at = 0; at < k; ++at)
        f(descriptor.chunkAcrossK(outer, at), outer - first, at);
  } else {
    for (uint32_t outer = first; outer < first + count; ++outer)
      for (uint32_t chunk = 0; chunk < k / perChunk; ++chunk)
        f(descriptor.chunkAlongK(outer, chunk), outer - first, chunk * perChunk);
  }
}

/// One element of an input type.
template <Type Input> float element(const uint8_t *bytes) {
  if constexpr (Input == Type::TF32) {
    uint32_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    return fromTf32(bits);
  } else {
    uint16_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    return Input == Type::BF16 ? fromBf16(bits) : fromF16(bits);
  }
}

/// Calls f with the input type as a template parameter.
template <typename F> void withInput(Type input, F f) {
  if (input == Type::BF16)
    f.template operator()<Type::BF16>();
  else if (input == Type::F16)
    f.template operator()<Type::F16>();
  else
    f.template operator()<Type::TF32>();
}

/// A warp's 16 rows of A and D, B by k, and what is known of each row and column.
struct Tiles {
  alignas(64) float a[16][16], b[16][256], d[16][256];
  uint8_t knownA[16], knownB[256];
};

} // namespace

//===-- Issue ---------------------------------------------------------------===//

static bool readyRegisters(Thread &thread, const Product &product, bool accumulate) {
  // An accumulator may be that of a product in flight; everything else must be settled and ordered by a fence.
  auto ready = [&](uint32_t slot, bool isAccumulator) {
    uint8_t state = thread.state[slot];
    bool chained = state & (isAccumulator ? kAccumulates : kIsOperand);
    if (!(state & kSettled) && !chained)
      return thread.fault("uses a register of another wgmma in flight in another role"), false;
    if ((state & kSettled) && !(state & kFenced))
      return thread.fault(fmt::format("missing wgmma.fence: {} was written since the last one",
                                      thread.cta->kernel->slotNames[slot])),
             false;
    return true;
  };
  for (uint32_t at = 0; at < product.registersD(); ++at)
    if (product.d[at] != kSinkSlot && !ready(product.d[at], true))
      return false;
  for (uint32_t at = 0; product.registersA && at < 4; ++at)
    if (!ready(product.a[at], false))
      return false;
  return true;
}

static void markRegisters(Warp &warp, const PendingProduct &pending) {
  for (uint32_t lane = 0; lane < 32; ++lane) {
    Thread &thread = warp.threads[lane];
    Product product(*pending.instruction, thread.lists);
    for (uint32_t at = 0; at < product.registersD(); ++at)
      thread.state[product.d[at]] = (thread.state[product.d[at]] & ~kSettled) | kAccumulates;
    for (uint32_t at = 0; product.registersA && at < 4; ++at)
      thread.state[product.a[at]] = (thread.state[product.a[at]] & ~kSettled) | kIsOperand;
  }
}

static void settleRegisters(Warp &warp, const PendingProduct &pending) {
  for (uint32_t lane = 0; lane < 32; ++lane) {
    Thread &thread = warp.threads[lane];
    Product product(*pending.instruction, thread.lists);
    for (uint32_t at = 0; at < product.registersD(); ++at)
      thread.state[product.d[at]] = (thread.state[product.d[at]] | kSettled) & ~kAccumulates;
    for (uint32_t at = 0; product.registersA && at < 4; ++at)
      thread.state[product.a[at]] = (thread.state[product.a[at]] | kSettled) & ~kIsOperand;
  }
}

/// Checks and marks the chunks of one operand.
static bool beginReading(Warp &warp, PendingProduct &pending, uint64_t bits, bool transposed, uint32_t first,
                         uint32_t count, const Product &product) {
  Thread &thread = warp.threads[0];
  SharedMemory &shared = warp.cta->shared;
  Descriptor descriptor(bits);
  if (!descriptor.valid)
    return thread.fault("descriptors with a base offset are not supported"), false;
  bool good = true;
  forEachChunk(
      descriptor, transposed, first, count, product.k, product.elementBytes(),
      [&](uint32_t address, uint32_t, uint32_t) {
        if (!good)
          return;
        if (!shared.contains(address, 16)) {
          thread.fault(FaultKind::Illegal,
                       fmt::format("the descriptor {:#x} leads to shared address {}, out of bounds", bits, address));
          good = false;
        } else if (!shared.mayRead(address, 16)) {
          thread.fault(fmt::format("{} (shared address {})", shared.whyNot(address, 16, false), address));
          good = false;
        } else if (!warp.cta->races.mayRead(warp.index, address, 16)) {
          thread.fault("race: reads what " + warp.cta->races.conflict());
          good = false;
        } else if (int writer = shared.unfencedWriter(address, 16, warp.cta->fenceTimes, thread.index); writer >= 0) {
          thread.fault(
              fmt::format("missing fence.proxy.async: thread {} wrote shared address {} through the generic proxy",
                          writer, address));
          good = false;
        } else {
          shared.beginRead(address, 16);
          pending.granules.push_back(address);
        }
      });
  return good;
}

/// The four warps of a warpgroup must issue the same products.
static bool agrees(Warp &warp, const Instruction &i, uint64_t descriptorA, uint64_t descriptorB) {
  auto &log = warp.cta->productLogs[warp.index / 4];
  uint64_t digest = descriptorA * 0x9e3779b97f4a7c15u + descriptorB;
  if (warp.productsIssued == log.size())
    log.push_back({i.line, digest});
  auto [line, descriptors] = log[warp.productsIssued++];
  if (line == i.line && descriptors == digest)
    return true;
  warp.threads[0].fault(
      fmt::format("the warps of a warpgroup disagree: another one issued the product of line {} with {} descriptors",
                  line, descriptors == digest ? "the same" : "other"));
  return false;
}

/// slot: A's descriptor, B's descriptor, whether to accumulate.
static Outcome issueProduct(Warp &warp, uint32_t lanes, const Instruction &i) {
  Thread &first = warp.threads[0];
  if (lanes != ~0u || (warp.index / 4 * 4 + 4) > warp.cta->warps.size())
    return first.fault("expected a whole warpgroup");
  Product product(i, first.lists);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    Thread &thread = warp.threads[lane];
    for (uint32_t at = product.registersA ? 1 : 0; at < 3; ++at) {
      if (!thread.known(i.slot[at], "is an operand of wgmma"))
        return Outcome::Fault;
      if (thread.bits[i.slot[at]] != first.bits[i.slot[at]])
        return thread.fault("the lanes of the warp disagree about a descriptor or scale");
    }
  }
  PendingProduct pending;
  pending.instruction = &i;
  pending.descriptorA = product.registersA ? 0 : first.bits[i.slot[0]];
  pending.descriptorB = first.bits[i.slot[1]];
  pending.accumulate = first.bits[i.slot[2]] & 1;
  for (uint32_t lane = 0; lane < 32; ++lane)
    if (!readyRegisters(warp.threads[lane], product, pending.accumulate))
      return Outcome::Fault;
  if (!agrees(warp, i, pending.descriptorA, pending.descriptorB))
    return Outcome::Fault;
  if (!product.registersA &&
      !beginReading(warp, pending, pending.descriptorA, product.transposeA, warp.index % 4 * 16, 16, product))
    return Outcome::Fault;
  if (!beginReading(warp, pending, pending.descriptorB, product.transposeB, 0, product.columns, product))
    return Outcome::Fault;
  markRegisters(warp, pending);
  warp.products.push_back(std::move(pending));
  return Outcome::Next;
}

//===-- Computation ---------------------------------------------------------===//

template <Type Input>
static void loadShared(Warp &warp, const Product &product, uint64_t bits, bool isA, Tiles &tiles) {
  const SharedMemory &shared = warp.cta->shared;
  constexpr uint32_t kBytes = Input == Type::TF32 ? 4 : 2, kPerChunk = 16 / kBytes;
  bool transposed = isA ? product.transposeA : product.transposeB;
  // A is stored by rows and B by k, so that one of the two runs along the chunk.
  float *base = isA ? tiles.a[0] : tiles.b[0];
  uint32_t pitchOuter = isA ? std::size(tiles.a[0]) : 1, pitchK = isA ? 1 : std::size(tiles.b[0]);
  uint32_t step = transposed ? pitchOuter : pitchK;
  uint8_t *known = isA ? tiles.knownA : tiles.knownB;
  forEachChunk(Descriptor(bits), transposed, isA ? warp.index % 4 * 16 : 0, isA ? 16 : product.columns, product.k,
               kBytes, [&](uint32_t address, uint32_t outer, uint32_t k) {
                 const uint8_t *from = &shared.data[address];
                 float *to = base + outer * pitchOuter + k * pitchK;
                 for (uint32_t at = 0; at < kPerChunk; ++at)
                   to[at * step] = element<Input>(from + at * kBytes);
                 uint64_t written[2];
                 std::memcpy(written, &shared.written[address], 16);
                 if ((written[0] & written[1]) != 0x0101010101010101u)
                   std::memset(known + outer, 0, transposed ? kPerChunk : 1);
               });
}

template <Type Input> static void loadRegisters(Warp &warp, const Product &product, Tiles &tiles) {
  constexpr uint32_t kBytes = Input == Type::TF32 ? 4 : 2, kPerRegister = 4 / kBytes;
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t at = 0; at < 4; ++at) {
      Thread &thread = warp.threads[lane];
      uint32_t row = lane / 4 + 8 * (at % 2), k = (lane % 4 + 4 * (at / 2)) * kPerRegister;
      auto bits = thread.get<uint32_t>(product.a[at]);
      for (uint32_t part = 0; part < kPerRegister; ++part)
        tiles.a[row][k + part] = element<Input>(reinterpret_cast<const uint8_t *>(&bits) + part * kBytes);
      tiles.knownA[row] &= thread.state[product.a[at]] & kInitialised;
    }
}

/// The register and half of column `column` of a row, in the lane that holds it.
template <typename F> static void forEachResult(const Product &product, F f) {
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t at = 0; at < product.columns / 2; ++at)
      f(lane, at, lane / 4 + 8 * (at / 2 % 2), at / 4 * 8 + lane % 4 * 2 + at % 2);
}

static void multiplyTiles(Tiles &tiles, uint32_t columns, uint32_t k, float sign) {
  for (uint32_t row = 0; row < 16; ++row)
    for (uint32_t at = 0; at < k; ++at) {
      float a = tiles.a[row][at] * sign;
      for (uint32_t column = 0; column < columns; ++column)
        tiles.d[row][column] += a * tiles.b[at][column];
    }
}

static void compute(Warp &warp, PendingProduct &pending) {
  static thread_local Tiles tiles;
  pending.done = true;
  Product product(*pending.instruction, warp.threads[0].lists);
  std::memset(tiles.knownA, 1, sizeof tiles.knownA);
  std::memset(tiles.knownB, 1, sizeof tiles.knownB);
  withInput(product.input, [&]<Type Input>() {
    if (product.registersA)
      loadRegisters<Input>(warp, product, tiles);
    else
      loadShared<Input>(warp, product, pending.descriptorA, true, tiles);
    loadShared<Input>(warp, product, pending.descriptorB, false, tiles);
  });
  auto slot = [&](uint32_t at) { return product.d[product.halfOutput ? at / 2 : at]; };
  forEachResult(product, [&](uint32_t lane, uint32_t at, uint32_t row, uint32_t column) {
    auto bits = warp.threads[lane].get<uint32_t>(slot(at));
    float old = product.halfOutput ? fromF16(static_cast<uint16_t>(bits >> 16 * (at % 2))) : std::bit_cast<float>(bits);
    tiles.d[row][column] = pending.accumulate ? old : 0;
  });
  multiplyTiles(tiles, product.columns, product.k, product.negateA == product.negateB ? 1.0f : -1.0f);
  forEachResult(product, [&](uint32_t lane, uint32_t at, uint32_t row, uint32_t column) {
    Thread &thread = warp.threads[lane];
    uint8_t &state = thread.state[slot(at)];
    bool known = tiles.knownA[row] && tiles.knownB[column];
    // The halves of a register are written one after the other.
    bool keeps = pending.accumulate || (product.halfOutput && at % 2);
    if (!known || (keeps && !(state & kInitialised)))
      state &= ~kInitialised;
    else
      state |= kInitialised;
    uint64_t &bits = thread.bits[slot(at)];
    if (!product.halfOutput)
      bits = std::bit_cast<uint32_t>(tiles.d[row][column]);
    else
      bits = (bits & (at % 2 ? 0xffff : 0)) | uint64_t(toF16(tiles.d[row][column])) << 16 * (at % 2);
  });
}

//===-- Groups --------------------------------------------------------------===//

/// Orders what threads have written to registers before the products that follow.
static Outcome fence(Warp &warp, uint32_t lanes, const Instruction &) {
  for (uint32_t lane = 0; lane < warp.size; ++lane)
    for (uint32_t slot : warp.cta->kernel->productSlots)
      warp.threads[lane].state[slot] |= kFenced;
  return Outcome::Next;
}

static Outcome commitGroup(Warp &warp, uint32_t, const Instruction &) {
  bool early = warp.cta->launch->random.below(2);
  for (PendingProduct &pending : warp.products) {
    if (!pending.committed) {
      pending.committed = true;
      pending.group = warp.productGroups;
    }
    if (early && !pending.done)
      compute(warp, pending);
  }
  ++warp.productGroups;
  return Outcome::Next;
}

/// mode[0]: groups that may stay in flight.
static Outcome waitGroup(Warp &warp, uint32_t, const Instruction &i) {
  bool anyOver = false;
  while (!warp.products.empty()) {
    PendingProduct &pending = warp.products.front();
    if (!pending.committed || pending.group + i.mode[0] >= warp.productGroups)
      break;
    if (!pending.done)
      compute(warp, pending);
    for (uint32_t address : pending.granules) {
      warp.cta->shared.endRead(address, 16);
      warp.cta->races.noteRead(warp.index, warp.threads[0].epoch, address, 16);
    }
    settleRegisters(warp, pending);
    warp.products.pop_front();
    anyOver = true;
  }
  // Products that go on may share registers with those that are over.
  for (const PendingProduct &pending : warp.products)
    if (anyOver)
      markRegisters(warp, pending);
  return Outcome::Next;
}

//===-- Decoding ------------------------------------------------------------===//

static bool decodeShape(Decoder &d, uint32_t &columns, uint32_t &k) {
  for (size_t at = 0; at < d.left().size(); ++at) {
    std::string word(d.left()[at]);
    if (std::sscanf(word.c_str(), "m64n%uk%u", &columns, &k) != 2)
      continue;
    d.dropWord(at);
    return columns >= 8 && columns <= 256 && columns % 8 == 0;
  }
  return false;
}

static bool decodeProduct(Decoder &d) {
  Instruction &i = d.instruction;
  uint32_t columns = 0, k = 0;
  if (!decodeShape(d, columns, k) || d.left().size() != 3)
    return d.fail("expected a shape and three types");
  Type output = d.takeFirstType(), a = d.takeFirstType(), b = d.takeFirstType();
  bool isTf32 = a == Type::TF32;
  if (a != b || (a != Type::BF16 && a != Type::F16 && !isTf32) || k != (isTf32 ? 8u : 16u) ||
      (output != Type::F32 && (output != Type::F16 || a != Type::F16)))
    return d.fail("this combination of shape and types does not exist or is not supported");
  bool registersA = d.operands() > 1 && d.operand(1).kind == Operand::Kind::Vector;
  size_t flags = isTf32 ? 2 : registersA ? 3 : 4;
  int64_t values[4] = {};
  if (!d.count(4 + flags, 4 + flags) || !d.vector(0, output, true) ||
      i.listSize != columns / (output == Type::F16 ? 4 : 2))
    return d.fail(
        fmt::format("expected {} operands and {} accumulators", 4 + flags, columns / (output == Type::F16 ? 4 : 2)));
  i.slot[0] = kZeroSlot;
  if (registersA ? !d.vector(1, Type::B32, false) || i.listSize != columns / (output == Type::F16 ? 4 : 2) + 4
                 : !d.source(1, 0, Type::B64))
    return d.fail("expected a descriptor or four registers as operand 2");
  for (size_t at = 0; at < flags; ++at)
    if (!d.immediate(4 + at, values[at]))
      return d.fail("expected immediate scales and transpositions");
  for (int at : {0, 1})
    if (values[at] != 1 && values[at] != -1)
      return d.fail("expected a scale of 1 or -1");
  bool transposeA = !registersA && values[2], transposeB = registersA ? values[2] : values[3];
  i.mode = {static_cast<uint8_t>(columns / 8), static_cast<uint8_t>(k), static_cast<uint8_t>(a),
            static_cast<uint8_t>((output == Type::F16) | registersA << 1 | (values[0] < 0) << 2 | (values[1] < 0) << 3 |
                                 transposeA << 4 | transposeB << 5)};
  i.collective = issueProduct;
  std::vector<uint32_t> &slots = d.builder.kernel.productSlots, &lists = d.builder.kernel.lists;
  slots.insert(slots.end(), lists.begin() + i.list, lists.begin() + i.list + i.listSize);
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return d.source(2, 1, Type::B64) && d.source(3, 2, Type::Pred);
}

static bool decodeWarpgroup(Decoder &d) {
  Instruction &i = d.instruction;
  if (!d.builder.kernel.module->architectureSpecific || d.builder.kernel.module->target != 90)
    return d.fail("expected .target sm_90a");
  int kind = d.takeOneOf({"mma_async", "fence", "commit_group", "wait_group"});
  if (kind < 0 || !d.take("sync") || !d.take("aligned"))
    return false;
  i.run = joinWarp;
  if (kind == 0)
    return decodeProduct(d);
  i.collective = kind == 1 ? fence : kind == 2 ? commitGroup : waitGroup;
  int64_t keep = 0;
  if (kind == 3 && (!d.immediate(0, keep) || keep < 0 || keep > 7))
    return d.fail("expected a number of groups from 0 to 7");
  i.mode[0] = static_cast<uint8_t>(keep);
  return d.count(kind == 3, kind == 3);
}

void weft::ptx::addWarpgroupInstructions(DecodeTable &table) { table["wgmma"] = decodeWarpgroup; }
