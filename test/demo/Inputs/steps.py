# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Usage: steps.py FOLDER. Shows the steps of astraea.json, and compares them with astraea.rows.npy."""

import json
import pathlib
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])
report = json.loads((folder / "astraea.json").read_text())
rows = np.load(folder / "astraea.rows.npy")
assert rows.shape == (len(report["steps"]), 13, 30, 45), rows.shape
for step, computed in zip(report["steps"], rows):
    assert abs(computed.mean() - step["rows"]) < 1e-9
    print("step {step}: budget {budget}, rows {rows:.3f}, drift {drift:.3f}".format(**step))
assert report["error_dense_computed"] < 1e-5 < report["error_dense"], report
print("computed rows agree with dense attention, kept rows less")
