"""The text of a `.cu` file: its headers spliced in, and the C signatures of its kernels."""

import re
from pathlib import Path
from typing import NamedTuple

from .dtypes import DTYPES

HEADERS = Path(__file__).parent


class LaunchError(ValueError):
    """A launch that is refused: the message names kernel and argument, and nothing was run."""


class Parameter(NamedTuple):
    """One parameter of a kernel as its C signature has it."""

    name: str
    type: str  # C, without const, * and marks
    pointer: bool
    optional: bool
    may_be_empty: bool
    alignment: int  # bytes; 0: that of the type
    fields: tuple = ()  # names, if it is a struct of ints, which is passed by value


def spliced(path, seen, text=None):
    """The text of a file in which `#include "ours.cuh"` is replaced by that file, once each.

    `text` is that of a file which exists only by name.
    """
    lines, text = [], path.read_text(encoding="utf-8") if text is None else text
    for number, line in enumerate(text.splitlines(), 1):
        included = re.match(r'#include "([^"]+)"', line)
        if included is None:
            lines.append(line)
        elif included[1] not in seen:
            seen.add(included[1])
            lines.append(f'#line 1 "{included[1]}"')
            beside = path.parent / included[1]
            lines.append(spliced(beside if beside.exists() else HEADERS / included[1], seen))
            lines.append(f'#line {number + 1} "{path.name}"')
    return "\n".join(line for line in lines if line != "#pragma once")


_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?'
    r"(\w+)\s*\(([^)]*)\)"
)
_STRUCT = re.compile(r"struct\s+(\w+)\s*\{([^{}]*)\}")
_MARKS = ("const", "__grid_constant__", "__restrict__", "OPTIONAL", "ALIGNED16", "MAY_BE_EMPTY")


def parse_signatures(text, file):
    """{kernel: [Parameter, ...]} of every `extern "C" __global__ void name(...)` in C text."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    structs = {name: _fields(body) for name, body in _STRUCT.findall(text)}
    return {
        name: [
            _parameter(part, name, file, structs) for part in parameters.split(",") if part.strip()
        ]
        for name, parameters in _KERNEL.findall(text)
    }


def _fields(body):
    """The names in `int a, b; int c;`; none if a struct holds anything else."""
    statements = [s.strip() for s in body.split(";") if s.strip()]
    if not all(s.startswith("int ") for s in statements):
        return ()
    return tuple(name.strip() for s in statements for name in s[4:].split(","))


def _parameter(text, kernel, file, structs):
    words = text.replace("*", " * ").split()
    *words, name = words
    type_ = " ".join(w for w in words if w not in (*_MARKS, "*"))
    fields = structs.get(type_, ())
    known = type_ in ("scalar_t", "acc_t", "TensorMap", *DTYPES) or (fields and "*" not in words)
    if not known or words.count("*") > 1:
        raise LaunchError(f"{file}: parameter {text.strip()!r} of {kernel} has an unknown type")
    return Parameter(
        name,
        type_,
        pointer="*" in words,
        optional="OPTIONAL" in words,
        may_be_empty="MAY_BE_EMPTY" in words,
        alignment=16 if "ALIGNED16" in words else 0,
        fields=fields,
    )
