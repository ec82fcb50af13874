// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Builds a kernel: names, scopes, labels, slots and shared memory.

#ifndef WEFT_TEST_PTX_KERNELBUILDER_H
#define WEFT_TEST_PTX_KERNELBUILDER_H

#include "test/ptx/Decoder.h"

#include <optional>

namespace weft::ptx {

/// A variable in memory, of the module or of a kernel.
struct Variable {
  Space space = Space::Global;
  uint32_t alignment = 1;
  /// 0 for an array without a size.
  uint64_t bytes = 0;
  /// Of global and constant ones the address; of local ones the offset; a number that tells shared ones apart.
  uint64_t address = 0;
};

/// What `[` between brackets and `mov` may name.
using VariableTable = std::map<std::string, Variable, std::less<>>;

/// The kernel under construction.
class KernelBuilder {
public:
  KernelBuilder(Kernel &kernel, const VariableTable &moduleVariables);

  Kernel &kernel;

  /// \name Scopes, as braces open and close them
  ///@{
  void openScope();
  void closeScope();
  /// `%r<10>` with a count, or a single register without.
  void declareRegisters(std::string_view name, std::optional<uint32_t> count);
  void declareVariable(std::string_view name, Variable variable);
  bool defineLabel(std::string_view name);
  void defineBranchTargets(std::string_view name, std::vector<std::string> labels);
  ///@}

  /// A slot for a value that has no name.
  uint32_t temporarySlot() { return newSlot("an address"); }
  /// The slot of a register or a special register, if the name is one.
  std::optional<uint32_t> registerSlot(std::string_view name);
  /// The slot with the address of a variable or a parameter.
  std::optional<uint32_t> addressSlot(std::string_view name);
  uint32_t constantSlot(uint64_t value);
  uint32_t addList(const std::vector<uint32_t> &slots);
  void append(const Instruction &instruction) { kernel.code.push_back(instruction); }
  /// The instruction that is appended next jumps to this label.
  void jumpTo(std::string_view label);
  /// The labels of a .branchtargets table, as an index into lists, once the kernel is finished.
  void jumpThrough(std::string_view table);
  /// After the last statement: an error, or empty.
  std::string finish();

private:
  struct Range {
    std::string prefix;
    uint32_t count;
  };
  struct Scope {
    std::unordered_map<std::string, uint32_t> registers, labels;
    std::unordered_map<std::string, bool> declared;
    std::vector<Range> ranges;
    VariableTable variables;
    /// Instructions that jump to a label not yet seen.
    std::vector<std::pair<size_t, std::string>> jumps;
    std::vector<std::pair<size_t, std::string>> tables;
    std::map<std::string, std::vector<std::string>> branchTargets;
  };

  uint32_t newSlot(std::string name);
  std::optional<uint32_t> specialSlot(std::string_view name);
  uint32_t sharedSlot(const std::string &name, const Variable &variable);

  const VariableTable &moduleVariables;
  std::vector<Scope> scopes;
  std::unordered_map<uint64_t, uint32_t> constants;
  std::map<std::string, uint32_t, std::less<>> specials;
  std::map<std::string, uint32_t> sharedSlots;
  /// Slots whose value waits for the end of static shared memory.
  std::vector<uint32_t> dynamicSlots;
  uint32_t dynamicAlignment = 0, sharedVariables = 0;
  std::string error;
};

} // namespace weft::ptx

#endif // WEFT_TEST_PTX_KERNELBUILDER_H
