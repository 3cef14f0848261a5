"""Terms: what a fused function computes, as an expression of its arguments.

    gelu(x + bias)    Term("gelu", [Term("add", [Term("input", 0), Term("input", 1)])])

A term says where its values lie, relative to the rows that the loop goes over:

    FULL    a value for each element of (rows, columns)
    ROW     one value for each row
    BEFORE  something small that all rows share, a bias for example: computed before the loop
    AFTER   something small that sums over the rows, the gradient of a bias: computed after it
"""

import itertools
from typing import Any

from tinygrad_like.kernels.loop import FULL, ROW

BEFORE, AFTER = "before", "after"


class NotFusible(BaseException):
    """A function that cannot become one loop; the message says why.

    It is not an Exception, so that an `except Exception` in the function cannot catch it.
    """


class Term:
    """A value of a fused function.

    Args:
        name: "input", "number", or what is computed: a step of kernels/loop.py, or one of the
            operations on small values in `program.py`.
        operands: the Terms that it is computed from.
        place: FULL, ROW, BEFORE or AFTER.
        detail: which input; which number; the shape or axes of an operation on small values.
    """

    __slots__ = ("detail", "name", "operands", "place", "serial")

    def __init__(self, name, operands, place, detail, serial):
        self.name, self.operands, self.place = name, operands, place
        self.detail, self.serial = detail, serial

    def __repr__(self):
        inside = ", ".join(
            [*map(repr, self.operands), *([repr(self.detail)] if self.detail else [])]
        )
        return f"{self.name}({inside})"


class Terms:
    """All terms of one function, each made once: equal expressions are the same Term."""

    def __init__(self, rows, columns, dtype):
        self.rows, self.columns, self.dtype = rows, columns, dtype
        self.are_arguments_watched = False  # whether a change in place would be the function's own
        self._known: dict[Any, Term] = {}
        self._serial = itertools.count().__next__

    def mark(self):
        """A serial number: that of all terms made later is greater."""
        return self._serial()

    def make(self, name, *operands, place, detail=None):
        """The Term of this description."""
        key = name, place, detail, *(operand.serial for operand in operands)
        found = self._known.get(key)
        if found is None:
            found = Term(name, operands, place, detail, self._serial())
            self._known[key] = found
        return found

    def number(self, value):
        """The Term of a Python number."""
        return self.make("number", place=BEFORE, detail=repr(float(value)))

    def place_of_input(self, shape):
        """Where an argument of this shape lies; NotFusible unless it is FULL, ROW or shared."""
        size = 1
        for n in shape:
            size *= n
        if size == self.rows * self.columns and (shape[-1:] == (self.columns,)):
            return FULL
        if size == 1 or (size == self.columns == shape[-1]):
            return BEFORE
        if size == self.rows and shape[-1] == 1:
            return ROW
        raise NotFusible(
            f"an argument of shape {shape} repeats along other axes than the last, or all others"
        )


def combined(places):
    """Where the result of an elementwise operation lies."""
    kinds = set(places)
    if AFTER in kinds and kinds & {FULL, ROW}:
        raise NotFusible("it uses a sum over the rows for each row")
    return next(place for place in (FULL, ROW, AFTER, BEFORE) if place in kinds)
