// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From a parsed statement to a decoded instruction: every family of instructions has a file that tells, side by side,
// which words it understands and what they do.

#ifndef WEFT_TEST_PTX_DECODER_H
#define WEFT_TEST_PTX_DECODER_H

#include "test/ptx/Instruction.h"
#include "test/ptx/Lexer.h"
#include "test/ptx/Types.h"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weft::ptx {

class KernelBuilder;

/// An operand as it stands in the text, with names resolved.
struct Operand {
  enum class Kind : uint8_t { None, Register, Immediate, Vector, Address, Label, Sink, Pair } kind = Kind::None;
  uint32_t slot = 0;
  bool negated = false;
  Number number;
  /// Of an address.
  int64_t offset = 0;
  /// Of a vector or a pair; of an address, what follows the comma between its brackets.
  std::vector<Operand> elements;
  std::string_view name;
};

/// One instruction of the text.
struct Statement {
  std::string_view opcode;
  std::vector<Operand> operands;
  uint32_t line = 0;
  uint32_t guard = Instruction::kNone;
  bool guardNegated = false;
};

/// Decodes one statement. A family's function takes the words that it understands; what is left is an error.
class Decoder {
public:
  Decoder(KernelBuilder &builder, const Statement &statement);

  KernelBuilder &builder;
  const Statement &statement;
  Instruction instruction;

  /// \name Modifiers
  ///@{
  /// Whether the modifier is there; takes it.
  bool take(std::string_view modifier);
  /// Takes the modifier that is among these and returns its index, or -1.
  int takeOneOf(std::initializer_list<std::string_view> modifiers);
  /// Takes the last type among the words; the order of several types is kept.
  Type takeLastType();
  Type takeFirstType();
  /// Takes a state space, generic if there is none.
  Space takeSpace();
  /// Takes what only advises caches, and scopes and orders that sequential execution grants anyway.
  void takeHints();
  const std::vector<std::string_view> &left() const { return words; }
  void dropWord(size_t at) { words.erase(words.begin() + at); }
  ///@}

  /// \name Operands
  /// Each fails, with a message, if the statement has no such operand.
  ///@{
  size_t operands() const { return statement.operands.size(); }
  const Operand &operand(size_t at) const { return statement.operands[at]; }
  /// Operand `at` into `slot[to]`.
  bool destination(size_t at, size_t to);
  bool source(size_t at, size_t to, Type type);
  /// An address; its offset becomes the instruction's.
  bool address(size_t at, size_t to);
  /// An address whose offset is added beforehand, where the instruction has two addresses: only constant ones and those
  /// without an offset.
  bool secondAddress(size_t at, size_t to);
  /// Operands between braces, or a single one, into the instruction's list.
  bool vector(size_t at, Type type, bool isDestination);
  bool immediate(size_t at, int64_t &value) const;
  uint32_t slotOf(const Operand &operand, Type type);
  bool count(size_t least, size_t most);
  ///@}

  /// Fails with this message; the caller returns the result.
  bool fail(std::string message);
  std::string error;

private:
  std::vector<std::string_view> words;
};

using DecodeFunction = bool (*)(Decoder &);
/// From an opcode's first word to its family.
using DecodeTable = std::unordered_map<std::string_view, DecodeFunction>;

/// \name The families
///@{
void addIntegerInstructions(DecodeTable &table);
void addFloatInstructions(DecodeTable &table);
void addMoveInstructions(DecodeTable &table);
void addConversionInstructions(DecodeTable &table);
void addCompareInstructions(DecodeTable &table);
void addMemoryInstructions(DecodeTable &table);
void addControlInstructions(DecodeTable &table);
void addWarpInstructions(DecodeTable &table);
void addMatrixInstructions(DecodeTable &table);
void addBarrierInstructions(DecodeTable &table);
void addCopyInstructions(DecodeTable &table);
void addWarpgroupInstructions(DecodeTable &table);
///@}

/// Decodes a statement and appends it to the kernel. False with an error.
bool decode(KernelBuilder &builder, const Statement &statement, std::string &error);

/// The handler of instructions that only a whole warp executes: waits for the other lanes.
Outcome joinWarp(Thread &thread, const Instruction &instruction);
/// The same with a member mask.
Outcome joinMembers(Thread &thread, const Instruction &instruction);
Outcome nothing(Thread &thread, const Instruction &instruction);

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_DECODER_H
