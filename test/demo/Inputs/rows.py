# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Usage: rows.py FILE.npy. Rows of two steps: all, then every fourth token."""

import sys

import numpy as np

rows = np.zeros((2, 3, 6, 8), np.uint8)
rows[0], rows[1].flat[::4] = 1, 1
np.save(sys.argv[1], rows)
