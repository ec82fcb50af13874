// The message about a wrong option ends with the option's value.
// RUN: not weft-opt %s --weft-cpu-lower-tiles=lanes=12 2>&1 | FileCheck %s
// CHECK: error: expected 4, 8 or 16 lanes, but got 12
module {}
