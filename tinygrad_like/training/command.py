"""The command line of a program that trains: the options of every run, and what they open."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tinygrad_like.training.names import check_may_differ
from tinygrad_like.training.run import Run

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


def open_run(
    options: argparse.Namespace,
    folder: Any = None,
    *,
    settings: dict[str, Any] | None = None,
    may_differ: Iterable[str] = (),
    **others: Any,
) -> Run:
    """The `tg.Run` that the options of a `command_line` ask for, a new one or one that goes on.

    Args:
        options: what the parser returned. Its `out`, `resume` and `save_every` are used; all but
            these and `device` are settings, which a resumed run has to share.
        folder: for what the run writes, where that is not `options.out`.
        settings: more of them, such as the name of the data.
        may_differ: names of options that may be others when the run goes on: ("epochs",).
        others: parts, and other arguments of `Run`.

    Raises what `Run` raises.

    >>> import tinygrad_like as tg
    >>> args = command_line("Train.", "runs/mine").parse_args([])
    >>> open_run(args, model=tg.nn.Dense(2, 1)).folder.name
    'mine'
    """
    return Run(
        options.out if folder is None else folder,
        settings={**(settings or {}), **vars(options)},
        may_differ=(*check_may_differ(may_differ), *RUN_OPTIONS),
        **{"resume": options.resume, "save_every": options.save_every, **others},
    )


def run_program(main: Callable[[], Any]) -> None:
    """Call `main` and exit with the code that it returns.

    Where it raises ValueError, OSError or FloatingPointError, the message alone is printed, without
    a traceback: such errors say what to change.
    """
    try:
        sys.exit(main())
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(str(error))
