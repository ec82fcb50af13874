// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reading and writing a search's state.

#include "lib/Search/State.h"

#include "lib/Schedule/CheckJSON.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <fmt/format.h>

using namespace llvm;
using namespace weft;
using namespace weft::search;

static json::Object toObject(const Configuration &configuration) {
  const Options &options = configuration.options;
  return json::Object{{"version", 1},
                      {"steps", options.steps},
                      {"target", options.target},
                      {"tolerance", options.tolerance},
                      {"population", options.population},
                      {"offspring", options.offspring},
                      {"generations", options.generations},
                      {"mutation-first", options.mutationFirst},
                      {"mutation-last", options.mutationLast},
                      {"seed", std::to_string(options.seed)},
                      {"fitness", configuration.fitness}};
}

std::string search::stateToJSON(const Configuration &configuration, const Evaluations &evaluations) {
  json::Array entries;
  for (const auto &[genes, fitness] : evaluations)
    entries.push_back(json::Object{{"tenths", json::Array(genes)},
                                   {"fitness", fitness ? json::Value(*fitness) : json::Value(nullptr)}});
  return formatv("{0}\n", json::Value(json::Object{{"configuration", toObject(configuration)},
                                                   {"evaluations", std::move(entries)}}))
      .str();
}

static std::string describe(const json::Value &value) {
  // json::Value prints all 17 digits.
  return value.kind() == json::Value::Number ? fmt::format("{}", *value.getAsNumber()) : formatv("{0}", value).str();
}

static rt::Status checkConfiguration(const json::Object &found, const Configuration &configuration) {
  for (const auto &entry : toObject(configuration)) {
    const json::Value *value = found.get(entry.first);
    if (!value || *value != entry.second)
      return rt::Status::error(fmt::format(
          "{}: expected {}, as this search has, but the state is of one with {}", entry.first.str(),
          describe(entry.second), value ? describe(*value) : std::string("nothing")));
  }
  return rt::Status::ok();
}

static std::optional<Genes> parseGenes(const json::Object &entry, int64_t steps) {
  const json::Array *tenths = entry.getArray("tenths");
  if (!tenths || tenths->size() != static_cast<size_t>(steps))
    return std::nullopt;
  Genes genes;
  for (const json::Value &value : *tenths) {
    auto gene = value.getAsInteger();
    if (!gene || *gene < 0 || *gene > kFull)
      return std::nullopt;
    genes.push_back(static_cast<int>(*gene));
  }
  return genes;
}

rt::Result<Evaluations> search::parseState(std::string_view text, const Configuration &configuration) {
  if (rt::Status status = schedule::checkJSON(text); !status)
    return status;
  Expected<json::Value> value = json::parse(text);
  if (!value)
    return rt::Status::error("expected a search's state, but got no JSON: " + toString(value.takeError()));
  const json::Object *object = value->getAsObject();
  const json::Object *found = object ? object->getObject("configuration") : nullptr;
  const json::Array *entries = object ? object->getArray("evaluations") : nullptr;
  if (!found || !entries)
    return rt::Status::error("expected a search's state with 'configuration' and 'evaluations'");
  if (rt::Status status = checkConfiguration(*found, configuration); !status)
    return status;
  Evaluations evaluations;
  for (size_t i = 0; i < entries->size(); ++i) {
    const json::Object *entry = (*entries)[i].getAsObject();
    auto genes = entry ? parseGenes(*entry, configuration.options.steps) : std::nullopt;
    const json::Value *fitness = entry ? entry->get("fitness") : nullptr;
    bool isFailure = fitness && fitness->kind() == json::Value::Null;
    if (!genes || !fitness || (!isFailure && !fitness->getAsNumber()))
      return rt::Status::error(fmt::format("evaluations[{}]: expected {} tenths and a fitness", i,
                                           configuration.options.steps));
    evaluations[*genes] = isFailure ? std::nullopt : std::optional(*fitness->getAsNumber());
  }
  return evaluations;
}
