#!/usr/bin/env python3
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the commands of documentation pages, and compares the programs in them with the files that they are about.

usage: check-docs-pages.py TOOLS SCRATCH PAGE...

A command is a fenced block that begins with build/bin/. It runs in the root of the sources, with the tools in the
folder TOOLS; what it writes to build/ goes to SCRATCH. It must succeed.

The fenced blocks of a section whose title ends in ", line by line" are, one after the other, the definitions of the file of
lib/Methods that the section links to, or else the page: all of them, in any order, and nothing else. Comments and line breaks do not count.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECTION = re.compile(r"^## [^\n]*, line by line\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(\.\./\.\./(lib/Methods/\w+\.weft)\)")
DEFINITION = re.compile(r"^(?=(?:pattern|attention|let)\b)", re.MULTILINE)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def run_commands(page, text, tools, scratch):
    """The number of commands, and a message for each that fails."""
    problems, count = [], 0
    for block in BLOCK.finditer(text):
        if not block[2].startswith("build/bin/"):
            continue
        for command in block[2].replace("\\\n", " ").strip().split("\n"):
            count += 1
            words = [re.sub(r"^(--[\w-]+=)?build/(?!bin/)", rf"\1{scratch}/", word) for word in shlex.split(command)]
            words[0] = str(tools / words[0].removeprefix("build/bin/"))
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                place = f"{page}:{line_of(text, block.start())}"
                problems.append(f"{place}: error: {command}: exit status {done.returncode}\n{done.stderr}")
    return count, problems


def definitions(code):
    code = re.sub(r"//.*", "", code)
    return sorted(" ".join(one.split()) for one in DEFINITION.split(code) if one.strip())


def compare_program(page, text):
    """The number of definitions, and what is wrong with them."""
    count, problems = 0, []
    for section in SECTION.finditer(text):
        link = LINK.search(section[1]) or LINK.search(text)
        if not link:
            problems.append(f"{page}: error: expected a link to a file of lib/Methods")
            continue
        shown, wrong = compare_section(f"{page}:{line_of(text, section.start())}", section, link)
        count, problems = count + shown, problems + wrong
    return count, problems


def compare_section(place, section, link):
    shown = definitions("".join(block[2] for block in BLOCK.finditer(section[1])))
    written = definitions((ROOT / link[1]).read_text(encoding="utf-8"))
    problems = [f"{place}: error: {link[1]} has no '{one}'" for one in shown if one not in written]
    problems += [f"{place}: error: expected '{one}' of {link[1]}" for one in written if one not in shown]
    return len(shown), problems


def main():
    if len(sys.argv) < 4:
        sys.exit("usage: check-docs-pages.py TOOLS SCRATCH PAGE...")
    tools, scratch = (Path(argument).resolve() for argument in sys.argv[1:3])
    commands, programs, problems = 0, 0, []
    for page in sys.argv[3:]:
        text = Path(page).read_text(encoding="utf-8")
        count, found = run_commands(page, text, tools, scratch)
        shown, wrong = compare_program(page, text)
        commands, programs, problems = commands + count, programs + shown, problems + found + wrong
    print("\n".join(problems + [f"{commands} commands, {programs} definitions, {len(problems)} problems"]))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
