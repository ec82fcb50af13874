#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""TimeRipple's `token` against `channel` at equal savings: error and speed-up.

    curve.py WEFT_RUN TIMERIPPLE.weft OUT.json OUT.png FILE.safetensors... [--savings 0.5,0.75,0.85] [--repeat N]

For each file (q, k and v [1, heads, tokens, channels] with the grid in the metadata) and each saving, the threshold
that gives it, for `channel` of the products of queries and keys, for `token` of the pairs; then weft-run with this
threshold, which measures saving, relative error to dense attention (Euclidean norm, all rows and heads) and the
shortest times of N calls of this attention and of N of dense attention.
OUT.json is a list of what was measured; OUT.png shows the error over the saving.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
from chart import Line, draw

from neighbours import deviations, find_threshold, read, token_deviations

ATTENTIONS = {"channel": "timeripple", "token": "timeripple_token"}


def fail(message):
    sys.exit(f"curve.py: error: {message}")


def measure(arguments, tensors, granularity, threshold):
    command = [arguments.weft_run, arguments.method, f"--attention={ATTENTIONS[granularity]}"]
    command += ["--grid=" + "x".join(map(str, tensors.grid)), f"--heads={tensors.heads}"]
    command += [f"--head-dim={tensors.channels}", f"--dtype={tensors.dtype}", f"--input={tensors.path}"]
    command += [f"--set=threshold={threshold!r}", "--check=dense", f"--repeat={arguments.repeat}", "--json"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode:
        fail(f"{arguments.weft_run} ended with status {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def points_of(arguments, path):
    tensors = read(path)
    found = []
    for granularity in ATTENTIONS:
        is_token = granularity == "token"
        q, k = ((token_deviations if is_token else deviations)(x, tensors.grid) for x in (tensors.q, tensors.k))
        for target in arguments.savings:
            threshold, expected = find_threshold(q, k, target, per_head=is_token)
            run = measure(arguments, tensors, granularity, threshold)
            reuse = run["reuse"]
            saved = reuse["work_saved"] if is_token else 1 - (1 - reuse["queries"]) * (1 - reuse["keys"])
            if abs(saved - expected) > 1e-6:
                fail(f"{path}: expected weft-run to save {expected} at {threshold}, but got {saved}")
            point = {"file": path.stem, "granularity": granularity, "target": target, "threshold": threshold}
            point |= {"saving": saved, "queries": reuse["queries"], "keys": reuse["keys"]}
            # The shortest calls are those that other programs disturbed least.
            time, dense = min(run["times_ms"]), min(run["dense_times_ms"])
            point |= {"error": run["error_dense"], "speedup": dense / time, "time_ms": time, "dense_time_ms": dense}
            print(json.dumps(point), file=sys.stderr)
            found.append(point)
    return found


def lines_of(points):
    """A line per granularity: of the clip, and of the geometric mean over the recorded files."""
    lines = []
    for group, is_member in (("clip", lambda name: name == "clip"), ("model", lambda name: name != "clip")):
        for granularity in ATTENTIONS:
            mine = [p for p in points if is_member(p["file"]) and p["granularity"] == granularity]
            xs, ys = [], []
            for target in sorted({p["target"] for p in mine}):
                ones = [p for p in mine if p["target"] == target]
                xs.append(float(np.mean([p["saving"] for p in ones])))
                ys.append(float(np.exp(np.mean(np.log([p["error"] for p in ones])))))
            if mine:
                lines.append(Line(f"{granularity}, {group}", group == "clip", granularity == "token", xs, ys))
    return lines


def main():
    parser = argparse.ArgumentParser(description="Errors and speed-ups of TimeRipple's granularities at equal savings.")
    parser.add_argument("weft_run", type=pathlib.Path)
    parser.add_argument("method", type=pathlib.Path, help="timeripple.weft")
    parser.add_argument("json", type=pathlib.Path)
    parser.add_argument("png", type=pathlib.Path)
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    parser.add_argument("--savings", default="0.25,0.5,0.65,0.75,0.85,0.92")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    arguments.savings = [float(number) for number in arguments.savings.split(",")]

    points = [point for path in arguments.files for point in points_of(arguments, path)]
    arguments.json.write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
    draw(lines_of(points), "share saved", "relative error to dense").save(arguments.png)


if __name__ == "__main__":
    main()
