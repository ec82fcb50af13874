// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Warp-wide matrices: ldmatrix, stmatrix, movmatrix and mma.sync.
//
// Products are exact in f32; they are summed in order of k, each sum rounded to f32.

#include "test/ptx/FloatFormats.h"
#include "test/ptx/KernelBuilder.h"
#include "test/ptx/Launch.h"
#include "test/ptx/Operators.h"

#include <fmt/format.h>

using namespace weft::ptx;

static bool wholeWarp(Warp &warp, uint32_t lanes) {
  if (lanes == ~0u)
    return true;
  warp.threads[0].fault(fmt::format("only lanes {:#x} of the warp execute this", lanes));
  return false;
}

//===-- Moving 8x8 matrices of 16-bit elements ------------------------------===//

namespace {

/// 8 rows of 8 elements, with what is known of each.
struct Tile {
  uint16_t element[8][8];
  uint8_t state[8][8];
};

/// The lane's two elements: in row lane / 4, or in column lane / 4 of a transposed tile.
uint32_t fragment(const Tile &tile, uint32_t lane, bool transposed, uint8_t &state) {
  uint32_t major = lane / 4, minor = lane % 4 * 2;
  auto at = [&](uint32_t part) {
    return transposed ? &tile.element[minor + part][major] : &tile.element[major][minor + part];
  };
  auto known = [&](uint32_t part) {
    return transposed ? tile.state[minor + part][major] : tile.state[major][minor + part];
  };
  state = known(0) & known(1);
  return *at(0) | uint32_t(*at(1)) << 16;
}

void setFragment(Tile &tile, uint32_t lane, bool transposed, uint32_t value, uint8_t state) {
  uint32_t major = lane / 4, minor = lane % 4 * 2;
  for (uint32_t part = 0; part < 2; ++part) {
    uint32_t row = transposed ? minor + part : major, column = transposed ? major : minor + part;
    tile.element[row][column] = static_cast<uint16_t>(value >> 16 * part);
    tile.state[row][column] = state;
  }
}

} // namespace

/// slot[0]: the address; mode[0]: transposed. Lane 8 m + r has the address of row r of tile m.
static Outcome loadMatrices(Warp &warp, uint32_t lanes, const Instruction &i) {
  if (!wholeWarp(warp, lanes))
    return Outcome::Fault;
  Tile tiles[4];
  for (uint32_t at = 0; at < 8 * i.listSize; ++at) {
    Thread &thread = warp.threads[at];
    uint64_t address;
    Span span;
    if (!thread.address(i, i.slot[0], address) || !thread.load(i.space, address, 16, span))
      return Outcome::Fault;
    Tile &tile = tiles[at / 8];
    std::memcpy(tile.element[at % 8], span.data, 16);
    for (uint32_t column = 0; column < 8; ++column)
      tile.state[at % 8][column] = span.written[2 * column] && span.written[2 * column + 1] ? kPlain : kSettled;
  }
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t tile = 0; tile < i.listSize; ++tile) {
      uint8_t state;
      uint32_t value = fragment(tiles[tile], lane, i.mode[0], state);
      if (warp.threads[lane].put<uint32_t>(warp.threads[lane].lists[i.list + tile], value, state) != Outcome::Next)
        return Outcome::Fault;
    }
  return Outcome::Next;
}

static Outcome storeMatrices(Warp &warp, uint32_t lanes, const Instruction &i) {
  if (!wholeWarp(warp, lanes))
    return Outcome::Fault;
  Tile tiles[4];
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t tile = 0; tile < i.listSize; ++tile) {
      Thread &thread = warp.threads[lane];
      uint32_t slot = thread.lists[i.list + tile];
      if (!(thread.state[slot] & kSettled) && !thread.known(slot, "is stored"))
        return Outcome::Fault;
      setFragment(tiles[tile], lane, i.mode[0], thread.get<uint32_t>(slot), thread.state[slot]);
    }
  for (uint32_t at = 0; at < 8 * i.listSize; ++at) {
    Thread &thread = warp.threads[at];
    uint64_t address;
    Span span;
    if (!thread.address(i, i.slot[0], address) || !thread.store(i.space, address, 16, span))
      return Outcome::Fault;
    std::memcpy(span.data, tiles[at / 8].element[at % 8], 16);
    for (uint32_t byte = 0; byte < 16; ++byte)
      span.written[byte] = tiles[at / 8].state[at % 8][byte / 2] & kInitialised;
  }
  return Outcome::Next;
}

static Outcome transposeMatrix(Warp &warp, uint32_t lanes, const Instruction &i) {
  if (!wholeWarp(warp, lanes))
    return Outcome::Fault;
  Tile tile;
  for (uint32_t lane = 0; lane < 32; ++lane)
    setFragment(tile, lane, false, warp.threads[lane].get<uint32_t>(i.slot[1]), warp.threads[lane].state[i.slot[1]]);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint8_t state;
    uint32_t value = fragment(tile, lane, true, state);
    if (warp.threads[lane].put<uint32_t>(i.slot[0], value, state) != Outcome::Next)
      return Outcome::Fault;
  }
  return Outcome::Next;
}

template <bool IsLoad> static bool decodeMatrixAccess(Decoder &d) {
  Instruction &i = d.instruction;
  int count = d.takeOneOf({"x1", "x2", "x4"});
  i.mode[0] = d.take("trans");
  i.space = d.takeSpace();
  i.run = joinWarp;
  i.collective = IsLoad ? loadMatrices : storeMatrices;
  return d.take("sync") && d.take("aligned") && d.take("m8n8") && d.take("b16") && count >= 0 && d.count(2, 2) &&
         d.address(IsLoad ? 1 : 0, 0) && d.vector(IsLoad ? 0 : 1, Type::B32, IsLoad) && i.listSize == 1u << count;
}

static bool decodeTranspose(Decoder &d) {
  d.instruction.run = joinWarp;
  d.instruction.collective = transposeMatrix;
  return d.take("sync") && d.take("aligned") && d.take("m8n8") && d.take("trans") && d.take("b16") &&
         registers(d, 1, Type::B32);
}

//===-- mma.sync m16n8 ------------------------------------------------------===//

namespace {

/// A shape and its element formats. One register holds `perRegister` elements of A or B.
struct Shape {
  uint32_t k = 16, perRegister = 2;
  Type input = Type::BF16;
  bool halfOutput = false;

  uint32_t registersA() const { return 16 * k / 32 / perRegister; }
  uint32_t registersB() const { return 8 * k / 32 / perRegister; }
  uint32_t registersC() const { return halfOutput ? 2 : 4; }
};

struct Operands {
  float a[16][16], b[16][8], c[16][8];
  uint8_t knownA[16], knownB[8], knownC[16][8];
};

float decodeElement(Type type, uint32_t bits, uint32_t part) {
  auto half = static_cast<uint16_t>(bits >> 16 * part);
  return type == Type::BF16 ? fromBf16(half) : type == Type::F16 ? fromF16(half) : fromTf32(bits);
}

} // namespace

static Shape shapeOf(const Instruction &i) {
  return {i.mode[0], i.mode[1], static_cast<Type>(i.mode[2]), i.mode[3] != 0};
}

/// Registers of A walk down 8 rows first, then along k; those of B along k.
static void gather(Operands &operands, const Shape &shape, Warp &warp, const Instruction &i) {
  std::memset(operands.knownA, kPlain, sizeof operands.knownA);
  std::memset(operands.knownB, kPlain, sizeof operands.knownB);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    Thread &thread = warp.threads[lane];
    const uint32_t *slots = thread.lists + i.list + shape.registersC();
    uint32_t group = lane / 4, quad = lane % 4, alongK = 4 * shape.perRegister;
    for (uint32_t at = 0; at < shape.registersA(); ++at) {
      uint32_t row = group + 8 * (at % 2), k = quad * shape.perRegister + alongK * (at / 2);
      operands.knownA[row] &= thread.state[slots[at]];
      for (uint32_t part = 0; part < shape.perRegister; ++part)
        operands.a[row][k + part] = decodeElement(shape.input, thread.get<uint32_t>(slots[at]), part);
    }
    slots += shape.registersA();
    for (uint32_t at = 0; at < shape.registersB(); ++at) {
      uint32_t k = quad * shape.perRegister + alongK * at;
      operands.knownB[group] &= thread.state[slots[at]];
      for (uint32_t part = 0; part < shape.perRegister; ++part)
        operands.b[k + part][group] = decodeElement(shape.input, thread.get<uint32_t>(slots[at]), part);
    }
    slots += shape.registersB();
    for (uint32_t at = 0; at < 4; ++at) {
      uint32_t row = group + 8 * (at / 2), column = 2 * quad + at % 2;
      uint32_t slot = shape.halfOutput ? slots[at / 2] : slots[at];
      operands.c[row][column] = shape.halfOutput
                                    ? fromF16(static_cast<uint16_t>(thread.get<uint32_t>(slot) >> 16 * (at % 2)))
                                    : thread.get<float>(slot);
      operands.knownC[row][column] = thread.state[slot];
    }
  }
}

static Outcome scatter(const Operands &operands, const Shape &shape, Warp &warp, const Instruction &i) {
  for (uint32_t lane = 0; lane < 32; ++lane) {
    Thread &thread = warp.threads[lane];
    const uint32_t *slots = thread.lists + i.list;
    for (uint32_t at = 0; at < 4; at += shape.halfOutput ? 2 : 1) {
      uint32_t row = lane / 4 + 8 * (at / 2), column = 2 * (lane % 4) + at % 2;
      uint8_t known = operands.knownC[row][column];
      Outcome outcome;
      if (shape.halfOutput)
        outcome = thread.put<uint32_t>(
            slots[at / 2], toF16(operands.c[row][column]) | uint32_t(toF16(operands.c[row][column + 1])) << 16,
            known & operands.knownC[row][column + 1]);
      else
        outcome = thread.put<float>(slots[at], operands.c[row][column], known);
      if (outcome != Outcome::Next)
        return outcome;
    }
  }
  return Outcome::Next;
}

static Outcome multiply(Warp &warp, uint32_t lanes, const Instruction &i) {
  if (!wholeWarp(warp, lanes))
    return Outcome::Fault;
  Shape shape = shapeOf(i);
  Operands operands;
  gather(operands, shape, warp, i);
  for (uint32_t row = 0; row < 16; ++row)
    for (uint32_t column = 0; column < 8; ++column) {
      float sum = operands.c[row][column];
      for (uint32_t k = 0; k < shape.k; ++k)
        sum += operands.a[row][k] * operands.b[k][column];
      operands.c[row][column] = sum;
      operands.knownC[row][column] &= operands.knownA[row] & operands.knownB[column];
    }
  return scatter(operands, shape, warp, i);
}

static bool decodeMultiply(Decoder &d) {
  Instruction &i = d.instruction;
  Shape shape;
  int size = d.takeOneOf({"m16n8k4", "m16n8k8", "m16n8k16"});
  if (!d.take("sync") || !d.take("aligned") || size < 0 || !d.take("row") || !d.take("col") || d.left().size() != 4)
    return false;
  Type output = d.takeFirstType(), a = d.takeFirstType(), b = d.takeFirstType(), c = d.takeFirstType();
  bool isTf32 = a == Type::TF32;
  shape.k = 4u << size;
  shape.perRegister = isTf32 ? 1 : 2;
  shape.input = a;
  shape.halfOutput = output == Type::F16;
  if (a != b || output != c || (output != Type::F32 && (output != Type::F16 || a != Type::F16)) ||
      (a != Type::BF16 && a != Type::F16 && !isTf32) || (isTf32 ? size == 2 : size == 0))
    return d.fail("this combination of shape and types does not exist or is not supported");
  i.mode = {static_cast<uint8_t>(shape.k), static_cast<uint8_t>(shape.perRegister), static_cast<uint8_t>(a),
            shape.halfOutput};
  i.run = joinWarp;
  i.collective = multiply;
  if (!d.count(4, 4) || !d.vector(0, output, true) || !d.vector(1, Type::B32, false) ||
      !d.vector(2, Type::B32, false) || !d.vector(3, output, false))
    return false;
  return i.listSize == 2 * shape.registersC() + shape.registersA() + shape.registersB() ||
         d.fail("wrong number of registers");
}

void weft::ptx::addMatrixInstructions(DecodeTable &table) {
  table["ldmatrix"] = decodeMatrixAccess<true>;
  table["stmatrix"] = decodeMatrixAccess<false>;
  table["movmatrix"] = decodeTranspose;
  table["mma"] = decodeMultiply;
}
