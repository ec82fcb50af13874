# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The command line of cpu.py."""

import argparse
import os
import pathlib
import re
import sys

FULL = {
    "threads": [1, 2],
    "dtype": ["f32", "bf16"],
    "head_dim": [64, 128],
    "tokens": ["4x32x32", "13x30x45"],
    "densities": [0.2, 0.1],
    "repeat": 5,
}
QUICK = {**FULL, "threads": [1], "head_dim": [64], "tokens": ["4x32x32"], "densities": [0.2], "repeat": 3}


def fail(message):
    sys.exit(f"cpu.py: error: {message}")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(message.removeprefix("argument "))


def whole(least, most, step=1):
    """Parses a number from `least` to `most`."""
    kind = "a number" if step == 1 else f"a multiple of {step}"

    def parse(text):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most or int(text) % step:
            raise argparse.ArgumentTypeError(f"expected {kind} from {least} to {most}, but got '{text}'")
        return int(text)

    return parse


def density(text):
    if not re.fullmatch(r"0?\.[0-9]{1,9}", text) or not 0 < float(text):
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, but got '{text}'")
    return float(text)


def grid(text):
    """TxHxW, or a number of tokens in a line."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}(x[1-9][0-9]{0,5}){2}|[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"expected TxHxW or a number of tokens, but got '{text}'")
    return text if "x" in text else f"1x1x{text}"


def element_type(text):
    if text not in FULL["dtype"]:
        raise argparse.ArgumentTypeError(f"expected f32 or bf16, but got '{text}'")
    return text


def several(parse):
    """Parses values separated by commas; repeated ones count once."""
    return lambda text: list(dict.fromkeys(map(parse, text.split(","))))


def json_path(text):
    path = pathlib.Path(text)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"expected a file that can be written, but got '{text}'")
    return path


def parse_options():
    shown = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in FULL.items()}
    parser = Parser(description="Compares Weft with PyTorch's attention on this machine's CPU.", allow_abbrev=False)
    for flag, parse, what in (
        ("--threads", several(whole(1, 1024)), "numbers of threads"),
        ("--dtype", several(element_type), "element types"),
        ("--head-dim", several(whole(32, 256, 8)), "channels of a head"),
        ("--tokens", several(grid), "grids TxHxW, or numbers of tokens"),
        ("--densities", several(density), "shares of the key blocks that the lists name"),
        ("--repeat", whole(1, 1000), "rounds, of which the median counts"),
    ):
        default = shown[flag.removeprefix("--").replace("-", "_")]
        parser.add_argument(flag, type=parse, help=f"{what} (default: {default})")
    parser.add_argument("--heads", type=whole(1, 1024), default=1, help="attention heads (default: 1)")
    parser.add_argument("--quick", action="store_true", help="few cases, unless options name others: one minute")
    parser.add_argument("--json", type=json_path, help="file for all figures, rewritten after every case")
    parser.add_argument("--weft-run", help="the tool (default: build/bin/weft-run, else from PATH)")
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options
