# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Usage: features.py FILE.safetensors. Random features of 8 channels for the demo's tokens."""

import sys

import numpy as np
from safetensors.numpy import save_file

save_file({"x": np.random.default_rng(1).standard_normal((13 * 30 * 45, 8)).astype(np.float32)}, sys.argv[1])
