#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the examples in the descriptions of .td files through weft-opt, so that documentation cannot rot.

usage: check-docs-examples.py WEFT-OPT FILE.td...

An example is a ```mlir block of attributes (one per line), of types (one per line), or of ops. Ops stand in a function
whose arguments are the values that the example uses without defining them. Their types come from weft-opt itself: they
start as `none`, and every error about a use of another type tells the right one.
"""

import re
import subprocess
import sys
from pathlib import Path

DEFINITION = re.compile(r'^def (\w+) : Weft_\w*(?:Op|Attr|Type)<"', re.MULTILINE)
EXAMPLE = re.compile(r"```mlir\n(.*?)```", re.DOTALL)
WRONG_TYPE = re.compile(r"use of value '(%\w+)' expects different type than prior uses: '(.*)' vs 'none'")
PREDICATE = """\
%unused = weft.predicate : !weft.mask<query = #weft.grid<1x1x1>, key = #weft.grid<1x1x1>> {{
^bb0(%c0: i32, %c1: i32, %c2: i32, %c3: i32, %c4: i32, %c5: i1, %c6: i32, %c7: i32, %c8: i32, %c9: i32, %c10: i1):
{}
}}"""


def run(weft_opt, source):
    """The errors of weft-opt; empty if it accepts `source`."""
    done = subprocess.run([weft_opt, "-"], input=source, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


def free_values(code):
    """Names that the ops of `code` use, but neither they nor their regions define."""
    results = re.findall(r"^\s*(%[\w, %]+) =", code, re.MULTILINE)
    arguments = re.findall(r"\^\w+\((.*?)\):", code)
    defined = re.findall(r"%\w+", " ".join(results + arguments))
    return sorted(set(re.findall(r"%\w+", code)) - set(defined))


def check_ops(weft_opt, code):
    types = {name: "none" for name in free_values(code)}
    body = PREDICATE.format(code) if code.startswith("weft.yield") else code
    while True:
        arguments = ", ".join(f"{name}: {type}" for name, type in types.items())
        errors = run(weft_opt, f"func.func @example({arguments}) {{\n{body}\nreturn\n}}\n")
        found = WRONG_TYPE.search(errors)
        if not found or types.get(found[1]) != "none":
            return errors
        types[found[1]] = found[2]


def check_lines(weft_opt, template, code):
    return "".join(run(weft_opt, template.format(line)) for line in code.splitlines())


def check_example(weft_opt, code):
    if code.startswith("#"):
        return check_lines(weft_opt, "func.func private @example() attributes {{example = {}}}\n", code)
    if code.startswith("!"):
        return check_lines(weft_opt, "func.func private @example({})\n", code)
    return check_ops(weft_opt, code)


def check_file(weft_opt, path):
    """The number of examples in the file, and messages about those that fail and those that lack."""
    text = path.read_text()
    problems = []
    examples = list(EXAMPLE.finditer(text))
    for example in examples:
        code = "\n".join(line.strip() for line in example[1].strip().splitlines())
        errors = check_example(weft_opt, code)
        if errors:
            line = text[: example.start()].count("\n") + 1
            problems.append(f"{path}:{line}: error: expected an example that weft-opt accepts, but got\n{errors}")
    definitions = list(DEFINITION.finditer(text))
    for definition, following in zip(definitions, definitions[1:] + [None]):
        end = following.start() if following else len(text)
        if not EXAMPLE.search(text, definition.start(), end):
            line = text[: definition.start()].count("\n") + 1
            problems.append(f"{path}:{line}: error: expected an example in the description of {definition[1]}")
    return len(examples), problems


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: check-docs-examples.py WEFT-OPT FILE.td...")
    total, problems = 0, []
    for name in sys.argv[2:]:
        count, found = check_file(sys.argv[1], Path(name))
        total += count
        problems += found
    print("\n".join(problems + [f"{total} examples, {len(problems)} problems"]))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
