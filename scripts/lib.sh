# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What the scripts share: the root folder, the LLVM version, messages and the presets' build folders.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$(basename "$0")
llvm_version=22

# say MESSAGE...: one line of progress, on stderr so that it stays out of pipes.
say() { printf '== %s\n' "$*" >&2; }

# die MESSAGE...: reports an error and ends the script.
die() {
  printf '%s: error: %s\n' "$script" "$*" >&2
  exit 1
}

# build_folder PRESET: where CMakePresets.json puts the preset's build.
build_folder() {
  case $1 in
    default) echo "$root/build" ;;
    static | asan) echo "$root/build-$1" ;;
    *) die "expected preset default, static or asan, but got '$1'" ;;
  esac
}
