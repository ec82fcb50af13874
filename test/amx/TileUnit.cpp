// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A handler of SIGILL that decodes and executes AMX instructions.
//
// All of them are VEX-encoded with the map 0F 38: C4, RXB and the map inverted, W vvvv L pp with vvvv inverted, opcode,
// ModRM, and for memory SIB and displacement. Loads and stores of tiles use the index register as the stride of rows.

#include "test/amx/TileUnit.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

struct Tile {
  uint8_t bytes[kRows][kRowBytes];
  int rows, rowBytes;
};

thread_local Tile tiles[kTiles];
std::atomic<int64_t> products{0};

/// A decoded instruction.
struct Instruction {
  int opcode, prefix;
  /// The tiles that ModRM.reg, ModRM.rm and vvvv name.
  int reg, rm, vvvv;
  bool hasMemory;
  uint8_t *address;
  int64_t stride;
  int length;
};

class Decoder {
public:
  Decoder(const uint8_t *code, const greg_t *registers) : code(code), registers(registers) {}

  bool decode(Instruction &result) {
    constexpr int kVEX = 0xC4, kMap0F38 = 2;
    if (code[0] != kVEX || (code[1] & 31) != kMap0F38)
      return false;
    int modRM = code[4];
    length = 5;
    result = {};
    result.opcode = code[3], result.prefix = code[2] & 3;
    result.reg = (modRM >> 3) & 7, result.rm = modRM & 7, result.vvvv = (~code[2] >> 3) & 7;
    result.hasMemory = modRM < 0xC0;
    if (result.hasMemory)
      result.address = decodeAddress(modRM, result.stride);
    result.length = length;
    return true;
  }

private:
  /// Register `number`, extended by the inverted bit of the second byte.
  uint64_t registerAt(int number, int invertedBit) const {
    static constexpr int places[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return registers[places[number | (code[1] & invertedBit ? 0 : 8)]];
  }

  template <typename T> int64_t read() {
    T value;
    std::memcpy(&value, code + length, sizeof value);
    length += sizeof value;
    return value;
  }

  uint8_t *decodeAddress(int modRM, int64_t &stride) {
    constexpr int kExtendIndex = 0x40, kExtendBase = 0x20, kHasSIB = 4, kNoBase = 5, kNoIndex = 4;
    int mode = modRM >> 6, base = modRM & 7;
    if (base == kHasSIB) {
      int sib = code[length++], index = (sib >> 3) & 7;
      base = sib & 7;
      if (index != kNoIndex || !(code[1] & kExtendIndex))
        stride = registerAt(index, kExtendIndex) << (sib >> 6);
    }
    bool isRelative = base == kNoBase && mode == 0;
    uint64_t address = isRelative ? 0 : registerAt(base, kExtendBase);
    if (mode == 1)
      address += read<int8_t>();
    else if (mode == 2 || isRelative)
      address += read<int32_t>();
    if (isRelative && (modRM & 7) != kHasSIB)
      address += reinterpret_cast<uint64_t>(code + length);
    return reinterpret_cast<uint8_t *>(address);
  }

  const uint8_t *code;
  const greg_t *registers;
  int length = 0;
};

/// The configuration has the bytes per row of tile i as 16 bits at 16 + 2 i, and its rows at 48 + i.
void configure(const uint8_t *memory) {
  for (int i = 0; i < kTiles; ++i) {
    tiles[i] = {};
    tiles[i].rowBytes = memory[16 + 2 * i] | memory[17 + 2 * i] << 8;
    tiles[i].rows = memory[48 + i];
  }
}

float toFloat(const uint8_t *bf16) {
  uint32_t bits = static_cast<uint32_t>(bf16[0] | bf16[1] << 8) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// sum[i][j] += the products of the pairs left[i][k] and right[k][j]; false if the shapes do not fit or the sum has
/// none.
bool multiply(Tile &sum, const Tile &left, const Tile &right) {
  if (sum.rows == 0 || left.rows != sum.rows || right.rowBytes != sum.rowBytes || left.rowBytes != 4 * right.rows)
    return false;
  for (int i = 0; i < sum.rows; ++i)
    for (int j = 0; j < sum.rowBytes; j += 4) {
      float total;
      std::memcpy(&total, &sum.bytes[i][j], sizeof total);
      for (int k = 0; k < right.rows; ++k)
        for (int part : {0, 2})
          total += toFloat(&left.bytes[i][4 * k + part]) * toFloat(&right.bytes[k][j + part]);
      std::memcpy(&sum.bytes[i][j], &total, sizeof total);
    }
  ++products;
  return true;
}

bool execute(const Instruction &instruction) {
  enum { kNone, k66, kF3, kF2 };
  Tile &tile = tiles[instruction.reg];
  switch (instruction.opcode << 8 | instruction.prefix) {
  case 0x49 << 8 | kNone: // ldtilecfg, tilerelease
    if (instruction.hasMemory)
      configure(instruction.address);
    return true;
  case 0x49 << 8 | kF2: // tilezero
    std::memset(tile.bytes, 0, sizeof tile.bytes);
    return true;
  case 0x4B << 8 | kF2: // tileloadd
    std::memset(tile.bytes, 0, sizeof tile.bytes);
    for (int i = 0; i < tile.rows; ++i)
      std::memcpy(tile.bytes[i], instruction.address + i * instruction.stride, tile.rowBytes);
    return true;
  case 0x4B << 8 | kF3: // tilestored
    for (int i = 0; i < tile.rows; ++i)
      std::memcpy(instruction.address + i * instruction.stride, tile.bytes[i], tile.rowBytes);
    return true;
  case 0x5C << 8 | kF3: // tdpbf16ps
    return multiply(tile, tiles[instruction.rm], tiles[instruction.vvvv]);
  default:
    return false;
  }
}

void onIllegalInstruction(int, siginfo_t *, void *context) {
  greg_t *registers = static_cast<ucontext_t *>(context)->uc_mcontext.gregs;
  auto *code = reinterpret_cast<const uint8_t *>(registers[REG_RIP]);
  Instruction instruction;
  if (!Decoder(code, registers).decode(instruction) || !execute(instruction)) {
    std::fprintf(stderr, "expected an AMX instruction, but got %02x %02x %02x %02x %02x\n", code[0], code[1], code[2],
                 code[3], code[4]);
    _exit(1);
  }
  registers[REG_RIP] += instruction.length;
}

} // namespace

void weft::test::emulateTiles() {
  struct sigaction action = {};
  action.sa_sigaction = onIllegalInstruction;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, nullptr);
}

int64_t weft::test::numEmulatedProducts() { return products; }
