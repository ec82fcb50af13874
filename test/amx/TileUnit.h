// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// AMX on processors that have none.

#ifndef WEFT_TEST_AMX_TILEUNIT_H
#define WEFT_TEST_AMX_TILEUNIT_H

#include <cstdint>

namespace weft::test {

/// Lets the rest of this process execute the AMX instructions that kernels use: where the processor refuses one, a
/// handler of its signal does what Intel's manual says. Each thread has its own tiles.
void emulateTiles();

/// Products of tiles that were emulated so far.
int64_t numEmulatedProducts();

} // namespace weft::test

#endif // WEFT_TEST_AMX_TILEUNIT_H
