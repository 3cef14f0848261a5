"""Integers that follow the dynamic axes, told from what they are in runs at several sizes.

A model that is run on (2, 5) and on (3, 7) calls the same ops, with other integers: a reshape to
(2, 20) becomes one to (3, 28). Here 20 and 28 are found to be 4 times the length. What is not found
is an error, so that no size of the example is ever baked in.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

DIVISORS = range(2, 9)


@dataclass(frozen=True)
class Size:
    """An integer that differs between the runs: what it is in each of them.

    No tuple, for which ops would take it where they accept one or several integers.
    """

    values: tuple[int, ...]


class Formula(NamedTuple):
    """(the sum of c * the product of some symbols) // divisor.

    `terms` are pairs (c, the numbers of these symbols, of which one may occur more than once).
    """

    terms: tuple[tuple[int, tuple[int, ...]], ...]
    divisor: int = 1

    def of(self, symbols: Sequence[Any]) -> Any:
        """Its value for values of the symbols, integers or arrays of them."""
        return sum(c * math.prod(symbols[i] for i in which) for c, which in self.terms) // (
            self.divisor
        )


def size_of(values: Sequence[int]) -> "int | Size":
    """The integers of all runs as one: an int where they are equal."""
    first, *rest = (int(v) for v in values)
    return first if all(v == first for v in rest) else Size((first, *rest))


def values_of(size: "int | Size", runs: int) -> tuple[int, ...]:
    """What a size is in each run."""
    return size.values if isinstance(size, Size) else (size,) * runs


def product(sizes: Sequence["int | Size"], runs: int) -> "int | Size":
    """The product of sizes."""
    of_runs = zip(*(values_of(n, runs) for n in sizes), strict=True)
    return size_of([math.prod(each) for each in of_runs] or [1])


@functools.lru_cache(4096)
def formula_of(values: tuple[int, ...], symbols: tuple[tuple[int, ...], ...]) -> Formula | None:
    """The simplest Formula of the symbols that has these values in all runs; None if there is none.

    Args:
        values: the integer in each run.
        symbols: of each symbol the same.
    """
    for which in _candidates(len(symbols)):
        columns = [_product(symbols, powers, len(values)) for powers in which]
        found = _solved(columns, values)
        if found is not None:
            return Formula(tuple(zip(found, which, strict=True)))
    for i, column in enumerate(symbols):
        line = _floored(column, values)
        if line is not None:
            a, b, divisor = line
            return Formula(((a, (i,)), (b, ())), divisor)
    return None


def _candidates(count: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Sets of products of symbols, the simplest first."""
    products = [
        which
        for degree in (0, 1, 2, 3)
        for which in itertools.combinations_with_replacement(range(count), degree)
        if degree < 3 or len(set(which)) == degree
    ]
    for terms in (1, 2, 3):
        yield from itertools.combinations(products, terms)


def _product(symbols: tuple, which: tuple[int, ...], runs: int) -> list[int]:
    return [math.prod(symbols[i][run] for i in which) for run in range(runs)]


def _solved(columns: list[list[int]], values: tuple[int, ...]) -> list[int] | None:
    """Integers c with sum(c_i columns_i) = values, none of them 0, or None.

    There must be more runs that differ than there are integers to find.
    """
    matrix, count = np.array(columns, float).T, len(columns)
    if len(np.unique(matrix, axis=0)) <= count or np.linalg.matrix_rank(matrix) < count:
        return None
    found = np.linalg.lstsq(matrix, np.array(values, float), rcond=None)[0]
    whole = [round(c) for c in found.tolist()]
    right = all(
        sum(c * column[run] for c, column in zip(whole, columns, strict=True)) == value
        for run, value in enumerate(values)
    )
    return whole if right and all(whole) else None


def _floored(column: tuple[int, ...], values: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(a, b, d) with a < d and (a s + b) // d = values for all s in the column, or None.

    Only if there is one. Of several the one counts that divides without a rest, as of a model that
    takes even lengths only. Of two values, such as those of min(s, 3), a line with a small slope
    may seem to be the rule.
    """
    if len(set(column)) < 4 or len(set(values)) < 3:
        return None
    found, exact = [], []
    for d in DIVISORS:
        for a in (a for a in range(1, d) if math.gcd(a, d) == 1):
            rests = [d * v - a * s for s, v in zip(column, values, strict=True)]
            low, high = max(rests), min(rests) + d - 1
            found += [(a, b, d) for b in range(low, high + 1)]
            exact += [(a, low, d)] if low == min(rests) else []
    several = exact or found
    return several[0] if len(several) == 1 else None
