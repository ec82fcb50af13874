# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the command lines share: options that are checked, and errors of one line."""

import argparse
import re
import sys

from .config import Config, VditError


def fail(name, message):
    sys.exit(f"{name}: error: {message}")


def guard(name, run, options):
    """Runs a command; what the caller did wrong, and packages that are missing, end it with one line."""
    try:
        run(options)
    except VditError as error:
        fail(name, error)
    except ImportError as error:
        fail(name, f"expected the packages of examples/vdit/requirements.txt, but got: {error}")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(self.prog, message.removeprefix("argument "))


def grid(text):
    """TxHxW in tokens."""
    if not re.fullmatch(r"[1-9][0-9]{0,3}(x[1-9][0-9]{0,3}){2}", text):
        raise argparse.ArgumentTypeError(f"expected TxHxW, each from 1 to 9999, but got '{text}'")
    return tuple(map(int, text.split("x")))


def whole(least, most):
    """Parses a number from `least` to `most`."""

    def parse(text):
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, but got '{text}'")
        return int(text)

    return parse


def several(parse):
    """Parses values separated by commas."""
    return lambda text: [parse(part) for part in text.split(",")]


def class_labels(text, config=Config()):
    """The numbers of the classes that are named, or of all."""
    names = config.classes if text == "all" else text.split(",")
    return [config.index(name) for name in names]
