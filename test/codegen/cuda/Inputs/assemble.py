"""Compiles examples, assembles them with ptxas for a target and counts what its report complains of.

usage: assemble.py WEFTC PTXAS EXAMPLES FOLDER TARGET"""

import itertools
import os
import re
import subprocess
import sys

weftc, ptxas, examples, folder, target = sys.argv[1:]
os.makedirs(folder, exist_ok=True)

PROGRAMS = ["dense", "near", "window", "radial", "given", "per-head"]
HEAD_DIMS = [40, 64, 72, 80, 96, 112, 128, 192, 256]
# Blocks of 64 tokens have one consumer, those of 128 two or three.
CASES = [(program, "bf16", 128, 128) for program in PROGRAMS]
CASES += [(program, dtype, dim, block)
          for program, dtype, dim, block in itertools.product(["dense", "near"], ["bf16"], HEAD_DIMS, [64, 128])]
CASES += [("dense", "f16", 128, 128)]
# With 256 channels a bias takes three registers too many, outside of the products.
CASES += [("biased", "bf16", dim, 128) for dim in HEAD_DIMS if dim < 256]
METHODS = [(program, "bf16", 128, 128)
           for program in ["listed", "selected", "columns", "snapped", "merged", "cells", "merged-rows", "important", "recognized"]]
if target != "sm_90a":
    CASES = [(program, dtype, dim, 128)
             for program, dtype, dim in itertools.product(["dense", "near"], ["bf16", "f32"], [64, 72, 128, 256])]
CASES += METHODS
# With a bias, rows and lists that the device makes, with and without pools; sorted tokens in boxes; with reuse of channels and of tokens, by
# blocks and by cells.
OWN = {
    "biased": "attention biased { mask abs(q.t - k.t) <= 3 or k.text bias given }",
    "listed": "attention listed { order tiles mask topk(block_mean, keep: 0.3, pool: 16) or abs(q.t - k.t) <= 1 "
              "bias given rows given }",
    "important": "attention important { mask abs(q.t - k.t) <= 1 or k.text "
                 "rows topk(importance, keep: 0.3, min: 2) or q.text }",
    "recognized": "attention recognized(dynamic radius: int = 2) { mask recognize(abs(q.h - k.h) <= radius and "
                  "abs(q.w - k.w) <= radius on local, abs(q.t - k.t) <= radius on global, k.h mod 2 == k.w mod 2, "
                  "recall: 0.9) or k.text }",
    "selected": "attention selected { mask topp(block_mean, mass: 0.5) or k.text }",
    "columns": "attention columns { order by(first: 1, token.w / 2, token.t, token.h) "
               "mask topk(block_mean, keep: 0.3) or k.t < 1 }",
    "snapped": "attention snapped { reuse neighbours(channel, threshold: 0.2, window: 3) }",
    "merged": "attention merged { mask abs(q.t - k.t) <= 1 reuse neighbours(token, threshold: 0.2) }",
    "cells": "attention cells { reuse neighbours(token, threshold: 0.2) }",
    "merged-rows": "attention merged_rows { order tiles mask topk(block_mean, keep: 0.3, pool: 16) or abs(q.t - k.t) <= 1 "
                   "bias given rows given reuse neighbours(token, threshold: 0.2, window: 3) }",
}


def report(program, dtype, head_dim, block):
    ptx = os.path.join(folder, f"{program}-{dtype}-{head_dim}-{block}.ptx")
    shape = ["--grid=5x12x14", "--text=20", "--heads=2", f"--head-dim={head_dim}", f"--block={block}"]
    source = f"{examples}/{program}.weft"
    if program in OWN:
        source = os.path.join(folder, f"{program}.weft")
        with open(source, "w") as file:
            file.write(OWN[program] + "\n")
    subprocess.run([weftc, source, *shape, f"--dtype={dtype}", f"--target={target}", "--emit=ptx",
                    "-o", ptx], check=True)
    done = subprocess.run([ptxas, f"-arch={target}", "-v", ptx, "-o", os.devnull], check=True, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout


def spill_limit(target, program, dtype, head_dim, block):
    """Bytes. The tiles of mma.sync for 128 channels spill a little and are faster than those that do not. f32 adds the
    products with the values by additions of its own, which round, and ptxas keeps many of them under way."""
    if target == "sm_90a":
        return 0
    if dtype == "f32":
        return 320
    return 128 if head_dim == 128 else 0


spills = serialised = 0
for case in CASES:
    text = report(*case)
    # One of each function: the attention and its stages.
    found = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
    if not found or max(int(number) for numbers in found for number in numbers) > spill_limit(target, *case):
        spills += 1
        print(case, text)
    if target != "sm_90a":
        registers = max(map(int, re.findall(r"Used (\d+) registers", text)))
        print(*case, f"{registers} registers")
    if "serialized" in text:
        serialised += 1
        print(case, text)
print(f"assembled {len(CASES)} kernels")
print(f"{spills} with spills, {serialised} with serialised products")
