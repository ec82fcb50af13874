# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A small video diffusion transformer. README.md is its card; `python -m vdit.sample` in `examples/` runs it."""
