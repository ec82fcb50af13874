// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Follows the events of a parser that does not recurse.

#include "lib/Schedule/CheckJSON.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <set>
#include <string>
#include <vector>

using namespace weft;
using Json = nlohmann::json;
using Event = Json::parse_event_t;

namespace {

/// Schedules nest five deep.
constexpr int kMostDepth = 64;

/// Follows a parser through a document and keeps the first place that has a second value.
class PlaceTracker {
public:
  /// Whether values are to be kept: those that nest too deep are not.
  bool follow(int depth, Event event, const Json &parsed) {
    isTooDeep |= depth > kMostDepth;
    if (!isTooDeep)
      follow(event, parsed);
    return !isTooDeep;
  }

  std::string repeated;
  bool isTooDeep = false;

private:
  void follow(Event event, const Json &parsed) {
    switch (event) {
    case Event::key:
      return addKey(parsed.get_ref<const std::string &>());
    case Event::object_start:
    case Event::array_start:
      return scopes.push_back({nextPlace(), event == Event::array_start});
    case Event::object_end:
    case Event::array_end:
      return scopes.pop_back();
    case Event::value:
      nextPlace();
    }
  }

  /// An object or array that is still open.
  struct Scope {
    std::string place;
    bool isArray;
    size_t elements = 0;
    std::string key = {};
    std::set<std::string> keys = {};
  };

  void addKey(const std::string &key) {
    Scope &scope = scopes.back();
    scope.key = key;
    if (!scope.keys.insert(key).second && repeated.empty())
      repeated = nextPlace();
  }

  /// Of the value that begins; counts it in an array.
  std::string nextPlace() {
    if (scopes.empty())
      return "";
    Scope &scope = scopes.back();
    if (scope.isArray)
      return fmt::format("{}[{}]", scope.place, scope.elements++);
    return scope.place.empty() ? scope.key : scope.place + "." + scope.key;
  }

  std::vector<Scope> scopes;
};

} // namespace

rt::Status schedule::checkJSON(std::string_view json) {
  PlaceTracker tracker;
  auto follow = [&](int depth, Event event, Json &parsed) { return tracker.follow(depth, event, parsed); };
  (void)Json::parse(json, follow, /*allow_exceptions=*/false);
  if (tracker.isTooDeep)
    return rt::Status::error(fmt::format("expected values that nest at most {} deep, but got more", kMostDepth));
  if (!tracker.repeated.empty())
    return rt::Status::error(tracker.repeated + ": expected the key once, but got it twice");
  return rt::Status::ok();
}
