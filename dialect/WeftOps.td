// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// All ops of the dialect, for the op generator.

include "dialect/WeftPlanOps.td"
include "dialect/WeftPredictionOps.td"
include "dialect/WeftProgramOps.td"
include "dialect/WeftRecognitionOps.td"
include "dialect/WeftReuseOps.td"
include "dialect/WeftRowOps.td"
include "dialect/WeftTileOps.td"
