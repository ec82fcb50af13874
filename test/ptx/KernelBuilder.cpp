// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Names of a kernel.

#include "test/ptx/KernelBuilder.h"

#include "test/ptx/Thread.h"

#include <fmt/format.h>

#include <algorithm>

using namespace weft::ptx;

KernelBuilder::KernelBuilder(Kernel &kernel, const VariableTable &moduleVariables)
    : kernel(kernel), moduleVariables(moduleVariables) {
  newSlot("_");
  constantSlot(0);
  openScope();
}

uint32_t KernelBuilder::newSlot(std::string name) {
  kernel.slotNames.push_back(std::move(name));
  return kernel.slots() - 1;
}

void KernelBuilder::openScope() { scopes.emplace_back(); }

void KernelBuilder::closeScope() {
  Scope inner = std::move(scopes.back());
  scopes.pop_back();
  for (auto &[at, name] : inner.tables) {
    auto table = inner.branchTargets.find(name);
    if (table == inner.branchTargets.end()) {
      if (scopes.empty())
        error = fmt::format("line {}: expected .branchtargets named {}", kernel.code[at].line, name);
      else
        scopes.back().tables.push_back({at, name});
      continue;
    }
    std::vector<uint32_t> targets;
    for (const std::string &label : table->second) {
      auto found = inner.labels.find(label);
      if (found == inner.labels.end())
        error = fmt::format("line {}: label {} is not defined", kernel.code[at].line, label);
      else
        targets.push_back(found->second);
    }
    kernel.code[at].list = addList(targets);
    kernel.code[at].listSize = static_cast<uint32_t>(targets.size());
  }
  for (auto &[at, name] : inner.jumps) {
    auto label = inner.labels.find(name);
    if (label != inner.labels.end())
      kernel.code[at].target = label->second;
    else if (scopes.empty())
      error = fmt::format("line {}: label {} is not defined", kernel.code[at].line, name);
    else
      scopes.back().jumps.push_back({at, name});
  }
}

void KernelBuilder::declareRegisters(std::string_view name, std::optional<uint32_t> count) {
  if (count)
    scopes.back().ranges.push_back({std::string(name), *count});
  else
    scopes.back().declared[std::string(name)] = true;
}

void KernelBuilder::declareVariable(std::string_view name, Variable variable) {
  if (variable.space == Space::Local) {
    variable.address = (kernel.localBytes + variable.alignment - 1) / variable.alignment * variable.alignment;
    kernel.localBytes = static_cast<uint32_t>(variable.address + variable.bytes);
  } else if (variable.space == Space::Shared) {
    // Tells it from namesakes in other scopes.
    variable.address = ++sharedVariables;
  }
  scopes.back().variables[std::string(name)] = variable;
}

bool KernelBuilder::defineLabel(std::string_view name) {
  return scopes.back().labels.emplace(name, static_cast<uint32_t>(kernel.code.size())).second;
}

void KernelBuilder::defineBranchTargets(std::string_view name, std::vector<std::string> labels) {
  scopes.back().branchTargets[std::string(name)] = std::move(labels);
}

void KernelBuilder::jumpTo(std::string_view label) {
  scopes.back().jumps.push_back({kernel.code.size(), std::string(label)});
}

void KernelBuilder::jumpThrough(std::string_view table) {
  scopes.back().tables.push_back({kernel.code.size(), std::string(table)});
}

std::optional<uint32_t> KernelBuilder::specialSlot(std::string_view name) {
  static const std::unordered_map<std::string_view, Special> kNames = {{"%tid.x", Special::TidX},
                                                                       {"%tid.y", Special::TidY},
                                                                       {"%tid.z", Special::TidZ},
                                                                       {"%ctaid.x", Special::CtaX},
                                                                       {"%ctaid.y", Special::CtaY},
                                                                       {"%ctaid.z", Special::CtaZ},
                                                                       {"%ntid.x", Special::NtidX},
                                                                       {"%ntid.y", Special::NtidY},
                                                                       {"%ntid.z", Special::NtidZ},
                                                                       {"%nctaid.x", Special::NctaX},
                                                                       {"%nctaid.y", Special::NctaY},
                                                                       {"%nctaid.z", Special::NctaZ},
                                                                       {"%clusterid.x", Special::CtaX},
                                                                       {"%clusterid.y", Special::CtaY},
                                                                       {"%clusterid.z", Special::CtaZ},
                                                                       {"%nclusterid.x", Special::NctaX},
                                                                       {"%nclusterid.y", Special::NctaY},
                                                                       {"%nclusterid.z", Special::NctaZ},
                                                                       {"%laneid", Special::LaneId},
                                                                       {"%warpid", Special::WarpId},
                                                                       {"%nwarpid", Special::NWarpId},
                                                                       {"%smid", Special::SmId},
                                                                       {"%nsmid", Special::NSmId},
                                                                       {"%gridid", Special::GridId},
                                                                       {"%dynamic_smem_size", Special::DynamicShared},
                                                                       {"%total_smem_size", Special::TotalShared},
                                                                       {"%lanemask_eq", Special::MaskEq},
                                                                       {"%lanemask_lt", Special::MaskLt},
                                                                       {"%lanemask_le", Special::MaskLe},
                                                                       {"%lanemask_gt", Special::MaskGt},
                                                                       {"%lanemask_ge", Special::MaskGe}};
  // A launch without clusters has clusters of one CTA.
  static const std::unordered_map<std::string_view, uint64_t> kFixed = {
      {"WARP_SZ", 32},          {"%cluster_ctaid.x", 0},  {"%cluster_ctaid.y", 0},
      {"%cluster_ctaid.z", 0},  {"%cluster_nctaid.x", 1}, {"%cluster_nctaid.y", 1},
      {"%cluster_nctaid.z", 1}, {"%cluster_ctarank", 0},  {"%cluster_nctarank", 1}};
  if (auto fixed = kFixed.find(name); fixed != kFixed.end())
    return constantSlot(fixed->second);
  auto known = kNames.find(name);
  if (known == kNames.end())
    return std::nullopt;
  auto found = specials.find(name);
  if (found != specials.end())
    return found->second;
  uint32_t slot = newSlot(std::string(name));
  specials.emplace(name, slot);
  kernel.specials.push_back({slot, known->second});
  return slot;
}

std::optional<uint32_t> KernelBuilder::registerSlot(std::string_view name) {
  std::string key(name);
  size_t digits = key.find_last_not_of("0123456789") + 1;
  uint64_t number = digits < key.size() && key.size() - digits < 10 ? std::stoull(key.substr(digits)) : ~uint64_t(0);
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
    if (auto found = scope->registers.find(key); found != scope->registers.end())
      return found->second;
    bool declared = scope->declared.count(key);
    for (const Range &range : scope->ranges)
      declared |= number < range.count && key.compare(0, digits, range.prefix) == 0;
    if (declared)
      return scope->registers[key] = newSlot(key);
  }
  return specialSlot(name);
}

uint32_t KernelBuilder::sharedSlot(const std::string &name, const Variable &variable) {
  auto found = sharedSlots.find(name);
  if (found != sharedSlots.end())
    return found->second;
  uint32_t slot;
  if (variable.bytes) {
    uint32_t begin =
        (kSharedStart + kernel.staticShared + variable.alignment - 1) / variable.alignment * variable.alignment;
    kernel.staticShared = static_cast<uint32_t>(begin + variable.bytes - kSharedStart);
    slot = constantSlot(begin);
  } else {
    slot = newSlot(name);
    dynamicSlots.push_back(slot);
    dynamicAlignment = std::max(dynamicAlignment, variable.alignment);
  }
  return sharedSlots[name] = slot;
}

std::optional<uint32_t> KernelBuilder::addressSlot(std::string_view name) {
  for (const Parameter &parameter : kernel.parameters)
    if (parameter.name == name)
      return constantSlot(kParamWindow + parameter.offset);
  const Variable *variable = nullptr;
  size_t depth = scopes.size();
  while (!variable && depth) {
    auto found = scopes[--depth].variables.find(name);
    if (found != scopes[depth].variables.end())
      variable = &found->second;
  }
  if (!variable) {
    auto found = moduleVariables.find(name);
    if (found == moduleVariables.end())
      return std::nullopt;
    variable = &found->second;
  }
  if (variable->space == Space::Shared)
    return sharedSlot(fmt::format("{}/{}", variable->address, name), *variable);
  return constantSlot(variable->address);
}

uint32_t KernelBuilder::constantSlot(uint64_t value) {
  auto found = constants.find(value);
  if (found != constants.end())
    return found->second;
  uint32_t slot = newSlot("a constant");
  kernel.constants.push_back({slot, value});
  return constants[value] = slot;
}

uint32_t KernelBuilder::addList(const std::vector<uint32_t> &slots) {
  auto at = static_cast<uint32_t>(kernel.lists.size());
  kernel.lists.insert(kernel.lists.end(), slots.begin(), slots.end());
  return at;
}

std::string KernelBuilder::finish() {
  closeScope();
  // Not better aligned than asked for.
  uint32_t alignment = std::max(dynamicAlignment, 16u);
  kernel.dynamicBase = (kSharedStart + kernel.staticShared + alignment - 1) / alignment * alignment;
  if (kernel.dynamicBase % (2 * alignment) == 0)
    kernel.dynamicBase += alignment;
  for (uint32_t slot : dynamicSlots)
    kernel.constants.push_back({slot, kernel.dynamicBase});
  return error;
}
