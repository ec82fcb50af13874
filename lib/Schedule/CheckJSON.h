// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What llvm::json does not check of a document: keys that an object has more than once, of which it keeps the last and does
// not tell, and how deep values nest, by which it recurses.

#ifndef WEFT_LIB_SCHEDULE_CHECKJSON_H
#define WEFT_LIB_SCHEDULE_CHECKJSON_H

#include "runtime/Status.h"

#include <string_view>

namespace weft::schedule {

/// An error that names the first repeated key, or says that values nest too deep. Nothing else of a document that is no
/// JSON: its parser says that better.
rt::Status checkJSON(std::string_view json);

} // namespace weft::schedule

#endif // WEFT_LIB_SCHEDULE_CHECKJSON_H
