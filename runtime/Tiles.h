// Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Permission to use AMX tiles.

#ifndef WEFT_RUNTIME_TILES_H
#define WEFT_RUNTIME_TILES_H

namespace weft::rt {

/// Asks the system for the use of AMX tiles in this process, once: threads have no room for the tiles' state before.
/// False if it refuses, or on other processors.
bool requestTiles();

} // namespace weft::rt

#endif // WEFT_RUNTIME_TILES_H
