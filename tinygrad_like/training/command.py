"""The command line of a program that trains: the options that all have, and how it ends."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

RUN_OPTIONS = "device", "out", "save_every", "resume"  # a run that goes on may have other ones


def command_line(description: str | None, out: str) -> argparse.ArgumentParser:
    """A parser with the options of every run: --seed, --device, --out, --save-every, --resume.

    Args:
        description: what `--help` shows, line by line: the program's docstring.
        out: the default folder for what it writes.

    >>> command_line("Train.", "runs/mine").parse_args(["--seed", "3"]).out
    'runs/mine'
    """
    import argparse  # here, as no other part of the library needs it

    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu or cuda")
    add("--out", default=out, help="folder for what it writes")
    seconds = at_least(0, float)
    add("--save-every", type=seconds, default=30, help="seconds: what a killed run may lose")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    return parser


def at_least(low: float, kind: Callable[[str], Any] = int, *, most: float = math.inf) -> Any:
    """A type for `add_argument`: numbers from `low` to `most`; others end the program with a line.

    >>> at_least(1)("3")
    3
    """

    def number(text: str) -> Any:
        value = kind(text)
        if not low <= value <= most:
            limits = f"at least {low}" if most == math.inf else f"{low} to {most}"
            from argparse import ArgumentTypeError

            raise ArgumentTypeError(f"got {value}, expected {limits}")
        return value

    number.__name__ = kind.__name__  # argparse names it where a text is no number
    return number


def run_program(main: Callable[[], Any]) -> None:
    """Call `main` and exit with the code that it returns.

    Where it raises ValueError, OSError or FloatingPointError, the message alone is printed, without
    a traceback: such errors say what to change.
    """
    try:
        sys.exit(main())
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(str(error))
