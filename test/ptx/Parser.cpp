// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The grammar of modules, kernels and operands.

#include "test/ptx/Parser.h"

#include "test/ptx/KernelBuilder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

using namespace weft::ptx;

namespace {

/// Reads one module.
class Parser {
public:
  Parser(Module &module, DeviceMemory &memory, std::string &log)
      : module(module), memory(memory), log(log), lexer(module.text) {}

  bool run();

private:
  bool error(const std::string &message) { return errorAt(lexer.line(), message); }
  bool errorAt(uint32_t line, const std::string &message) {
    log += fmt::format("line {}: {}\n", line, message);
    return false;
  }
  bool expect(char c) { return lexer.take(c) || error(fmt::format("expected '{}'", c)); }
  bool topLevel();
  bool targetDirective();
  bool entry();
  bool parameters(Kernel &kernel);
  bool tuning(Kernel &kernel);
  bool triple(std::array<uint32_t, 3> &result);
  bool body(KernelBuilder &builder);
  bool statement(KernelBuilder &builder);
  bool directive(KernelBuilder &builder);
  bool registers(KernelBuilder &builder);
  bool variable(Space space, KernelBuilder *builder);
  bool initialiser(const Variable &variable, Type type);
  bool initialValue(uint64_t address, Type type);
  bool branchTargets(KernelBuilder &builder, std::string_view name);
  bool instruction(KernelBuilder &builder);
  bool operand(KernelBuilder &builder, Operand &result);
  bool list(KernelBuilder &builder, std::vector<Operand> &elements);
  bool addressOperand(KernelBuilder &builder, Operand &result);
  bool named(KernelBuilder &builder, Operand &result);
  bool skipToNextStatement();

  Module &module;
  DeviceMemory &memory;
  std::string &log;
  Lexer lexer;
  VariableTable variables;
};

} // namespace

static std::optional<Space> spaceOf(std::string_view word) {
  constexpr std::pair<std::string_view, Space> kNames[] = {
      {".global", Space::Global}, {".const", Space::Const}, {".shared", Space::Shared}, {".local", Space::Local}};
  for (auto [name, space] : kNames)
    if (word == name)
      return space;
  return std::nullopt;
}

bool Parser::run() {
  while (!lexer.atEnd())
    if (!topLevel())
      return false;
  if (!module.target)
    return error("expected a .target directive");
  return log.empty();
}

bool Parser::topLevel() {
  std::string_view word = lexer.word();
  if (word == ".version") {
    lexer.skipLine();
    return true;
  }
  if (word == ".target")
    return targetDirective();
  if (word == ".visible" || word == ".extern" || word == ".weak" || word == ".common")
    return true;
  if (word == ".entry")
    return entry();
  if (std::optional<Space> space = spaceOf(word))
    return variable(*space, nullptr);
  if (word == ".address_size" || word == ".file" || word == ".loc") {
    lexer.skipLine();
    return true;
  }
  if (word == ".section") {
    lexer.skipPast('}');
    return true;
  }
  if (word == ".pragma") {
    lexer.skipPast(';');
    return true;
  }
  return error(word.empty() ? fmt::format("unexpected '{}'", lexer.peek())
                            : fmt::format("unknown directive '{}'", word));
}

bool Parser::targetDirective() {
  std::string_view name = lexer.word();
  if (!name.starts_with("sm_"))
    return error(fmt::format("expected a target sm_NN, but got '{}'", name));
  module.architectureSpecific = name.back() == 'a' || name.back() == 'f';
  module.target = std::atoi(std::string(name.substr(3)).c_str());
  lexer.skipLine();
  return true;
}

//===-- Variables -----------------------------------------------------------===//

/// Sets the alignment and the sizes of `.align 16 .b8 name[4][8]`.
bool Parser::variable(Space space, KernelBuilder *builder) {
  Variable result;
  result.space = space;
  Number number;
  bool aligned = lexer.takeWord(".align");
  if (aligned && (!lexer.number(number) || !std::has_single_bit(number.bits) || number.bits > 65536))
    return error("expected an alignment that is a power of two");
  uint64_t lanes = lexer.takeWord(".v2") ? 2 : lexer.takeWord(".v4") ? 4 : 1;
  std::string_view typeName = lexer.word();
  Type type = typeName.empty() ? Type::None : typeOf(typeName.substr(1));
  if (type == Type::None)
    return error(fmt::format("expected a type, but got '{}'", typeName));
  result.alignment = aligned ? static_cast<uint32_t>(number.bits) : static_cast<uint32_t>(bytesOf(type) * lanes);
  do {
    std::string_view name = lexer.word();
    if (name.empty())
      return error("expected a name");
    result.bytes = bytesOf(type) * lanes;
    while (lexer.take('[')) {
      Number extent;
      lexer.number(extent);
      result.bytes *= extent.bits;
      if (!expect(']'))
        return false;
    }
    if (space == Space::Global || space == Space::Const) {
      if (!result.bytes)
        return error(fmt::format("expected an extent for {}", name));
      result.address = memory.allocate(result.bytes, space == Space::Const);
      if (!result.address)
        return error(fmt::format("no memory for the {} bytes of {}", result.bytes, name));
      module.variables[std::string(name)] = {result.address, result.bytes};
      // Device variables start as zeros.
      std::memset(memory.find(result.address, 1)->written, 1, result.bytes);
      if (lexer.take('=') && !initialiser(result, type))
        return false;
    }
    if (builder)
      builder->declareVariable(name, result);
    else
      variables[std::string(name)] = result;
  } while (lexer.take(','));
  return expect(';');
}

bool Parser::initialiser(const Variable &variable, Type type) {
  uint64_t at = variable.address, end = at + variable.bytes;
  int depth = 0;
  do {
    while (lexer.take('{'))
      ++depth;
    if (at >= end)
      return error("more initial values than elements");
    if (!initialValue(at, type))
      return false;
    at += bytesOf(type);
    while (depth && lexer.take('}'))
      --depth;
  } while (depth && lexer.take(','));
  return !depth || error("expected '}'");
}

bool Parser::initialValue(uint64_t address, Type type) {
  Number number;
  uint64_t bits;
  if (lexer.number(number)) {
    bits = number.bits;
    if (number.isFloat && type == Type::F64)
      std::memcpy(&bits, &number.value, 8);
    else if (number.isFloat && type == Type::F32) {
      auto value = static_cast<float>(number.value);
      bits = 0;
      std::memcpy(&bits, &value, 4);
    }
  } else {
    bool generic = lexer.takeWord("generic") && lexer.take('(');
    auto found = variables.find(std::string(lexer.word()));
    if (found == variables.end())
      return error("expected a number or a variable as initial value");
    bits = found->second.address;
    if (generic && !expect(')'))
      return false;
  }
  Allocation *allocation = memory.find(address, bytesOf(type));
  std::memcpy(allocation->data + (address - allocation->address), &bits, bytesOf(type));
  return true;
}

//===-- Kernels -------------------------------------------------------------===//

bool Parser::entry() {
  std::string name(lexer.word());
  if (name.empty())
    return error("expected the name of an entry");
  auto kernel = std::make_unique<Kernel>();
  kernel->name = name;
  kernel->module = &module;
  if (!parameters(*kernel) || !tuning(*kernel))
    return false;
  if (lexer.take(';'))
    return true;
  KernelBuilder builder(*kernel, variables);
  if (!expect('{') || !body(builder))
    return false;
  // Falling off the end is an exit.
  std::string message;
  Statement exit;
  exit.opcode = "exit";
  exit.line = lexer.line();
  decode(builder, exit, message);
  if (std::string problem = builder.finish(); !problem.empty()) {
    log += problem + "\n";
    return false;
  }
  if (kernel->usesSetmaxnreg && !kernel->maxThreads[0] && !kernel->requiredThreads[0])
    return error(fmt::format("kernel {} uses setmaxnreg: expected .maxntid or .reqntid", name));
  module.kernels[name] = std::move(kernel);
  return true;
}

bool Parser::parameters(Kernel &kernel) {
  if (!lexer.take('('))
    return true;
  while (lexer.takeWord(".param")) {
    uint32_t alignment = 0;
    Number number;
    Type type = Type::None;
    Parameter parameter;
    while (lexer.peek() == '.') {
      std::string_view word = lexer.word();
      if (word == ".align" && lexer.number(number))
        alignment = alignment ? alignment : static_cast<uint32_t>(number.bits);
      else if (Type given = typeOf(word.substr(1)); given != Type::None)
        type = given;
      else if (word == ".ptr") {
        // What follows describes the memory behind the pointer.
        alignment = 8;
      } else if (word != ".global" && word != ".shared" && word != ".const" && word != ".local")
        return error(fmt::format("unknown parameter attribute '{}'", word));
    }
    parameter.name = std::string(lexer.word());
    parameter.size = bytesOf(type);
    if (parameter.name.empty() || type == Type::None)
      return error("expected a type and a name of a parameter");
    if (lexer.take('[')) {
      if (!lexer.number(number) || !expect(']'))
        return error("expected an extent");
      parameter.size *= static_cast<uint32_t>(number.bits);
    }
    alignment = std::max(alignment, bytesOf(type));
    parameter.offset = (kernel.parameterBytes + alignment - 1) / alignment * alignment;
    kernel.parameterBytes = parameter.offset + parameter.size;
    kernel.parameters.push_back(parameter);
    if (!lexer.take(','))
      break;
  }
  return expect(')');
}

bool Parser::triple(std::array<uint32_t, 3> &result) {
  result = {1, 1, 1};
  Number number;
  unsigned at = 0;
  do {
    if (at == 3 || !lexer.number(number))
      return error("expected up to three numbers");
    result[at++] = static_cast<uint32_t>(number.bits);
  } while (lexer.take(','));
  return true;
}

bool Parser::tuning(Kernel &kernel) {
  std::array<uint32_t, 3> ignored;
  while (lexer.peek() == '.') {
    std::string_view word = lexer.word();
    if (word == ".maxntid") {
      if (!triple(kernel.maxThreads))
        return false;
    } else if (word == ".reqntid") {
      if (!triple(kernel.requiredThreads))
        return false;
    } else if (word == ".minnctapersm") {
      if (!triple(ignored))
        return false;
      kernel.minCtas = std::max(1u, ignored[0]);
    } else if (word == ".maxnreg" || word == ".reqnctapercluster" ||
               word == ".maxclusterrank") {
      if (!triple(ignored))
        return false;
    } else if (word == ".pragma") {
      lexer.skipPast(';');
    } else if (word != ".explicitcluster") {
      return error(fmt::format("unknown directive '{}'", word));
    }
  }
  return true;
}

//===-- Statements ----------------------------------------------------------===//

/// After a mistake: to behind the next semicolon, so that one log names all mistakes.
bool Parser::skipToNextStatement() {
  lexer.skipPast(';');
  return !lexer.atEnd();
}

bool Parser::body(KernelBuilder &builder) {
  for (int depth = 1; depth;) {
    if (lexer.atEnd())
      return error("expected '}' before the end");
    if (lexer.take('{')) {
      builder.openScope();
      ++depth;
    } else if (lexer.take('}')) {
      if (--depth)
        builder.closeScope();
    } else if (!lexer.take(';') && !statement(builder) && !skipToNextStatement()) {
      return false;
    }
  }
  return true;
}

bool Parser::statement(KernelBuilder &builder) {
  if (std::string_view label = lexer.label(); !label.empty()) {
    if (lexer.takeWord(".branchtargets"))
      return branchTargets(builder, label);
    return builder.defineLabel(label) || error(fmt::format("label {} is defined twice", label));
  }
  return lexer.peek() == '.' ? directive(builder) : instruction(builder);
}

bool Parser::branchTargets(KernelBuilder &builder, std::string_view name) {
  std::vector<std::string> labels;
  do {
    labels.emplace_back(lexer.word());
  } while (lexer.take(','));
  builder.defineBranchTargets(name, std::move(labels));
  return expect(';');
}

bool Parser::directive(KernelBuilder &builder) {
  std::string_view word = lexer.word();
  if (word == ".reg")
    return registers(builder);
  if (std::optional<Space> space = spaceOf(word))
    return variable(*space, &builder);
  if (word == ".loc" || word == ".file") {
    lexer.skipLine();
    return true;
  }
  if (word == ".pragma") {
    lexer.skipPast(';');
    return true;
  }
  return error(fmt::format("unknown directive '{}'", word));
}

bool Parser::registers(KernelBuilder &builder) {
  std::string_view type = lexer.word();
  if (type.empty() || typeOf(type.substr(1)) == Type::None)
    return error(fmt::format("expected a register type, but got '{}'", type));
  do {
    std::string_view name = lexer.word();
    if (name.empty())
      return error("expected a register name");
    Number count;
    if (!lexer.take('<'))
      builder.declareRegisters(name, std::nullopt);
    else if (lexer.number(count) && expect('>'))
      builder.declareRegisters(name, static_cast<uint32_t>(count.bits));
    else
      return error("expected a number of registers");
  } while (lexer.take(','));
  return expect(';');
}

//===-- Instructions --------------------------------------------------------===//

bool Parser::instruction(KernelBuilder &builder) {
  Statement result;
  if (lexer.take('@')) {
    result.guardNegated = lexer.take('!');
    std::string_view name = lexer.word();
    std::optional<uint32_t> slot = builder.registerSlot(name);
    if (!slot)
      return error(fmt::format("expected a predicate, but got '{}'", name));
    result.guard = *slot;
  }
  result.line = lexer.line();
  result.opcode = lexer.opcode();
  if (result.opcode.empty())
    return error("expected an instruction");
  while (lexer.peek() && lexer.peek() != ';') {
    Operand next;
    if (!operand(builder, next))
      return false;
    result.operands.push_back(std::move(next));
    if (!lexer.take(','))
      break;
  }
  if (lexer.peek() != ';')
    return error("expected ';'");
  std::string message;
  if (!decode(builder, result, message))
    return errorAt(result.line, message);
  lexer.take(';');
  return true;
}

bool Parser::operand(KernelBuilder &builder, Operand &result) {
  if (lexer.take('{')) {
    result.kind = Operand::Kind::Vector;
    return list(builder, result.elements);
  }
  if (lexer.take('['))
    return addressOperand(builder, result);
  result.negated = lexer.take('!');
  if (lexer.number(result.number)) {
    result.kind = Operand::Kind::Immediate;
    return true;
  }
  if (!named(builder, result))
    return false;
  if (!lexer.take('|'))
    return true;
  Operand pair;
  pair.kind = Operand::Kind::Pair;
  pair.elements.resize(2);
  pair.elements[0] = std::move(result);
  result = std::move(pair);
  return named(builder, result.elements[1]);
}

bool Parser::list(KernelBuilder &builder, std::vector<Operand> &elements) {
  do {
    Operand next;
    if (!operand(builder, next))
      return false;
    elements.push_back(std::move(next));
  } while (lexer.take(','));
  return expect('}');
}

/// A register, a variable with an offset, a label or `_`.
bool Parser::named(KernelBuilder &builder, Operand &result) {
  result.name = lexer.word();
  if (result.name.empty())
    return error(fmt::format("unexpected '{}' in an operand", lexer.peek()));
  if (result.name == "_") {
    result.kind = Operand::Kind::Sink;
    return true;
  }
  std::optional<uint32_t> slot = builder.registerSlot(result.name);
  if (!slot) {
    slot = builder.addressSlot(result.name);
    Number offset;
    if (slot && (lexer.take('+') || lexer.peek() == '-')) {
      if (!lexer.number(offset))
        return error("expected an offset");
      result.offset = static_cast<int64_t>(offset.bits);
    }
  }
  result.kind = slot ? Operand::Kind::Register : Operand::Kind::Label;
  result.slot = slot.value_or(0);
  return true;
}

bool Parser::addressOperand(KernelBuilder &builder, Operand &result) {
  Number number;
  if (lexer.number(number)) {
    result.slot = builder.constantSlot(number.bits);
  } else {
    if (!named(builder, result))
      return false;
    if (result.kind != Operand::Kind::Register)
      return error(fmt::format("'{}' is not declared", result.name));
    if (lexer.take('+') || lexer.peek() == '-') {
      if (!lexer.number(number))
        return error("expected an offset");
      result.offset += static_cast<int64_t>(number.bits);
    }
  }
  result.kind = Operand::Kind::Address;
  while (lexer.take(',')) {
    Operand next;
    if (!operand(builder, next))
      return false;
    result.elements.push_back(std::move(next));
  }
  return expect(']');
}

std::unique_ptr<Module> weft::ptx::parseModule(std::string text, DeviceMemory &memory, std::string &log) {
  auto module = std::make_unique<Module>();
  module->text = std::move(text);
  std::string_view rest = module->text;
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    module->lines.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  Parser parser(*module, memory, log);
  if (parser.run())
    return module;
  for (auto &[name, variable] : module->variables)
    memory.release(variable.first);
  return nullptr;
}
