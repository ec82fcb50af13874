// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which lists a call visits: made for its parameters and choices, kept, and merged with given ones.

#include "runtime/Kernel.h"

#include <algorithm>
#include <utility>

using namespace weft::rt;

/// The lists for these values, or nothing if the caller is the first to want them and `mine` shall bring them.
std::shared_future<Result<Kernel::SharedLists>>
Kernel::findPlanned(const std::vector<int64_t> &parameters, std::promise<Result<SharedLists>> &mine) const {
  std::lock_guard lock(plannedMutex);
  auto known = std::find_if(planned.begin(), planned.end(),
                            [&](const Planned &entry) { return entry.parameters == parameters; });
  if (known != planned.end()) {
    planned.splice(planned.begin(), planned, known);
    return planned.front().lists;
  }
  planned.push_front({parameters, mine.get_future().share()});
  if (planned.size() > kMaxPlanned)
    planned.pop_back();
  return {};
}

void Kernel::dropPlanned(const std::vector<int64_t> &parameters) const {
  std::lock_guard lock(plannedMutex);
  planned.remove_if([&](const Planned &entry) { return entry.parameters == parameters; });
}

void Kernel::findPools(BlockLists &lists) const {
  if (parts.gathersRows())
    lists.findPools();
  if (parts.reuse && parts.reuse->mergesKeys())
    lists.findKeyPools();
}

/// Where they are what a call visits: rows and merged tokens need the lists' pools.
Kernel::SharedLists Kernel::shareLists(std::vector<BlockLists> lists) const {
  if (lists.size() == 1)
    findPools(lists.front());
  return std::make_shared<const std::vector<BlockLists>>(std::move(lists));
}

Result<Kernel::SharedLists> Kernel::planLists(const std::vector<int64_t> &parameters) const {
  if (!parts.planner)
    return staticLists;
  std::promise<Result<SharedLists>> mine;
  if (auto known = findPlanned(parameters, mine); known.valid())
    return known.get();
  Result<std::vector<BlockLists>> made = parts.planner(parameters);
  if (!made)
    dropPlanned(parameters);
  auto result = made ? Result<SharedLists>(shareLists(std::move(*made))) : Result<SharedLists>(made.status());
  mine.set_value(result);
  return result;
}

/// The lists of each head's candidate: those of one candidate as they are, if all heads take it.
Result<Kernel::SharedLists> Kernel::planChoices(const std::vector<int64_t> &parameters, const Choices &choices) const {
  std::vector<SharedLists> planned(parts.recognition->candidates);
  const SharedLists *last = nullptr;
  for (int32_t candidate : choices.candidates) {
    if (planned[candidate])
      continue;
    std::vector<int64_t> key = parameters;
    key.push_back(candidate);
    auto lists = planLists(key);
    if (!lists)
      return lists;
    planned[candidate] = *lists, last = &planned[candidate];
  }
  if (planned.size() - std::ranges::count(planned, nullptr) == 1)
    return *last;
  std::vector<BlockLists> result;
  for (size_t i = 0; i < (*last)->size(); ++i) {
    std::vector<const BlockLists *> sources;
    for (int32_t candidate : choices.candidates)
      sources.push_back(&(*planned[candidate])[i]);
    result.push_back(BlockLists::gather(sources, parts.heads));
  }
  return shareLists(std::move(result));
}

Result<std::shared_ptr<const BlockLists>> Kernel::listsFor(const std::vector<int64_t> &parameters,
                                                           const GivenLists *given, const Choices *choices) const {
  if (onlyLists)
    return onlyLists;
  auto lists = choices ? planChoices(parameters, *choices) : planLists(parameters);
  return lists ? withGiven(*lists, given) : lists.status();
}

Result<std::shared_ptr<const BlockLists>> Kernel::withGiven(const SharedLists &lists, const GivenLists *given) const {
  if (lists->size() == 1)
    return std::shared_ptr<const BlockLists>(lists, &lists->front());
  if (!given)
    return Status::error("given: expected block lists, since the mask uses them, but got none");
  auto merged = std::make_shared<BlockLists>(BlockLists::merge(*given, (*lists)[0], (*lists)[1]));
  findPools(*merged);
  return std::shared_ptr<const BlockLists>(std::move(merged));
}

/// No list depends on a float but those that are predicted.
void Kernel::ignoreFloats(std::vector<int64_t> &parameters) const {
  for (size_t i = 0; i < parameters.size(); ++i)
    if (parts.parameters[i].isFloat)
      parameters[i] = 0;
}

Result<Kernel::SharedLists> Kernel::classifiedLists(std::vector<int64_t> parameters) const {
  ignoreFloats(parameters);
  return planLists(parameters);
}

Result<std::vector<Kernel::SharedLists>> Kernel::candidateLists(std::vector<int64_t> parameters) const {
  ignoreFloats(parameters);
  std::vector<SharedLists> result;
  for (int64_t candidate = 0; candidate < parts.recognition->candidates; ++candidate) {
    std::vector<int64_t> key = parameters;
    key.push_back(candidate);
    auto lists = planLists(key);
    if (!lists)
      return lists.status();
    result.push_back(std::move(*lists));
  }
  return result;
}

Result<std::shared_ptr<const BlockLists>> Kernel::resolveLists(const RunArgs &args) const {
  if (Status status = checkChoices(args); !status)
    return status;
  if (Status status = checkLists(args); !status)
    return status;
  if (args.lists)
    return args.lists;
  Result<std::vector<int64_t>> parameters = bindParameters(args.parameters);
  if (!parameters)
    return parameters.status();
  ignoreFloats(*parameters);
  std::optional<Choices> recognized;
  if (parts.recognition && !args.choices) {
    Result<Choices> choices = recognize(args);
    if (!choices)
      return choices.status();
    recognized = std::move(*choices);
  }
  const Choices *choices = recognized ? &*recognized : args.choices;
  bool usesGiven = parts.planner || staticLists->size() > 1;
  if (!parts.prediction || args.given || !usesGiven)
    return listsFor(*parameters, args.given, choices);
  Result<GivenLists> predicted = predict(args);
  return predicted ? listsFor(*parameters, &*predicted, choices) : predicted.status();
}
