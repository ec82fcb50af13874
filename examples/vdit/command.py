# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the command lines share: options that are checked, and errors of one line."""

import argparse
import pathlib
import re
import sys

from .config import Config, VditError


def fail(name, message):
    sys.exit(f"{name}: error: {message}")


def guard(name, run, options):
    """Runs a command; what the caller did wrong, and what the machine lacks, end it with one line."""
    try:
        run(options)
    except VditError as error:
        fail(name, error)
    except OSError as error:
        fail(name, f"{error.filename}: {error.strerror}" if error.filename else error)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # PyTorch has no error of its own on a CPU
            raise
        reason = (str(error) or "out of memory").splitlines()[0]
        fail(name, f"expected a grid and a number of clips that fit into memory, but got: {reason}")
    except ImportError as error:
        fail(name, f"expected the packages of examples/vdit/requirements.txt, but got: {error}")


def need_pytorch(name):
    """Ends a command that runs on PyTorch alone with one line where it is missing. Before modules that import it."""
    try:
        import torch  # noqa: F401
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


def output(*suffixes):
    """A path with one of these suffixes in a folder that exists: known before anything is computed."""

    def parse(text):
        path = pathlib.Path(text)
        if path.suffix not in suffixes or not path.resolve().parent.is_dir():
            kinds = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(f"expected a {kinds} file in an existing folder, but got '{text}'")
        return path

    return parse


def folder(text):
    """A path that is a folder, or may become one."""
    path = pathlib.Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, but '{text}' is none")
    return path


def check_below(name, values, end):
    """Refuses numbers of layers, heads or steps that are not there."""
    for value in values:
        if value >= end:
            raise VditError(f"{name}: expected numbers below {end}, but got {value}")


def class_labels(text, config=Config()):
    """The numbers of the classes that are named, or of all."""
    names = config.classes if text == "all" else text.split(",")
    return [config.index(name) for name in names]
