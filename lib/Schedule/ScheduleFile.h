// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules as JSON.

#ifndef WEFT_LIB_SCHEDULE_SCHEDULEFILE_H
#define WEFT_LIB_SCHEDULE_SCHEDULEFILE_H

#include "lib/Schedule/Schedule.h"

#include <string_view>

namespace weft::schedule {

/// A valid schedule, or an error that names the place in the JSON.
rt::Result<Schedule> parse(std::string_view json);
/// Reads back as the same schedule, every digit of every number included. Needs a valid schedule.
std::string toJSON(const Schedule &schedule);

} // namespace weft::schedule

#endif // WEFT_LIB_SCHEDULE_SCHEDULEFILE_H
