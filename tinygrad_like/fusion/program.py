"""A Program: terms made ready to run, as one loop with a few small operations around it."""

import math
from typing import Any

import numpy as np

from tinygrad_like.fusion.terms import AFTER, BEFORE, FULL, ROW, NotFusible
from tinygrad_like.kernels.loop import (
    CHEAP,
    COLUMN,
    COLUMNS,
    REDUCTIONS,
    SCALAR,
    TOTAL,
    Loop,
    Output,
    Step,
)
from tinygrad_like.kernels.reference.fused import STEPS
from tinygrad_like.kernels.reference.reduce import total


class Program:
    """What computes some Traced results from arrays.

    Args:
        results: Traced arrays.
        leaves: {Term: which of the arrays has its values}.

    The terms between are sorted into those before the loop, of what is small and shared by all
    rows; the loop itself, one kernel; and those after it, of sums over the rows.
    """

    def __init__(self, results, leaves):
        first = results[0].terms
        self.rows, self.columns, self.dtype = first.rows, first.columns, first.dtype
        self.leaves = leaves
        self.results = [(x.term, x.shape) for x in results]
        self._values: dict[Any, str] = {}  # the names of terms inside the loop
        self._inputs: list[Any] = []
        self._kinds: list[str] = []
        self._numbers: list[float] = []
        self._steps: list[Step] = []
        self._outputs: list[Output] = []
        self._from_loop: dict[Any, int] = {}  # terms that are outputs of the loop
        for term, _ in self.results:
            self._find_outputs(term)
        if self._outputs and not self._inputs:  # of numbers alone: arrays are made like an input
            self._input(next(iter(leaves)))
        self.loop = Loop(
            tuple(self._kinds), len(self._numbers), tuple(self._steps), tuple(self._outputs)
        )
        with np.errstate(over="ignore"):  # 1e300 is infinity in float32, as beside an array
            self.numbers = np.array(self._numbers or [0.0], self.dtype)
        counts = {FULL: (self.rows * self.columns,), ROW: (self.rows,), COLUMNS: (self.columns,)}
        self._shapes = [counts.get(form, (1,)) for form, _ in self.loop.outputs]
        self._direct = None  # if there is nothing to do before the loop, nor after it
        made = [term for term, _ in self.results]
        if all(term in leaves for term in self._inputs) and made == list(self._from_loop):
            self._direct = [leaves[term] for term in self._inputs]
            self._shapes = [shape for _, shape in self.results]

    def cost(self):
        """(how many whole arrays the loop reads, how many of its steps take long)."""
        whole = sum(kind == FULL for kind in self.loop.inputs)
        return whole, sum(s.name not in CHEAP and s.name not in REDUCTIONS for s in self._steps)

    def __call__(self, be, arrays):
        """The results, a list of arrays of the device of `be`."""
        loop, sizes = self.loop, (self.rows, self.columns, self._shapes)
        if self._direct is not None:
            inputs = [arrays[place] for place in self._direct]
            return be.k.fused(loop, inputs, self.numbers, *sizes)
        known = {term: arrays[place] for term, place in self.leaves.items()}
        inputs = [be.xp.asarray(_evaluated(be, term, known, self.dtype)) for term in self._inputs]
        if loop.outputs:
            made = be.k.fused(loop, inputs, self.numbers, *sizes)
            for term, place in self._from_loop.items():
                known[term] = made[place]
        found = []
        for term, shape in self.results:
            y = be.xp.asarray(_evaluated(be, term, known, self.dtype))
            fits = y.size == math.prod(shape)
            found.append(y.reshape(shape) if fits else be.xp.broadcast_to(y, shape))
        return found

    def _find_outputs(self, term):
        """Make outputs of the loop of what a result needs from it."""
        waiting = [term]
        while waiting:
            term = waiting.pop()
            if term in self._from_loop or (term in self.leaves and term.place not in (FULL, ROW)):
                continue
            if term.place in (FULL, ROW):
                self._add_output(term, Output(term.place, self._value(term)))
            elif term.name in (COLUMNS, TOTAL):
                self._add_output(term, Output(term.name, self._value(term.operands[0])))
            else:
                waiting += term.operands

    def _add_output(self, term, output):
        self._from_loop[term] = len(self._outputs)
        self._outputs.append(output)

    def _value(self, term):
        """The name of a term inside the loop; its steps are added in the order of their making."""
        order, waiting = [], [term]
        while waiting:
            found = waiting.pop()
            if found in self._values or found in order:
                continue
            order.append(found)
            if self._is_step(found):
                waiting += found.operands
        for found in sorted(order, key=lambda each: each.serial):
            self._values[found] = self._named(found)
        return self._values[term]

    def _is_step(self, term):
        return term not in self.leaves and term.place in (FULL, ROW)

    def _named(self, term):
        if term.place == AFTER:
            raise NotFusible("it uses a sum over the rows for each row")
        if term.name == "number":
            return self._number(float(term.detail))
        if not self._is_step(term):
            return self._input(term)
        name = term.name
        if name == "divide" and term.place == FULL and self._is_shared(term.operands[1]):
            name = "quotient"
        if name == "exp" and _is_below_maximum(term.operands[0]):
            name = "exp_below_maximum"
        self._steps.append(Step(name, tuple(self._values[x] for x in term.operands), term.place))
        return f"v{len(self._steps) - 1}"

    def _is_shared(self, term):
        """Whether all elements of a row share a value."""
        return term.place == ROW or (term.place == BEFORE and self._kind(term) == SCALAR)

    def _kind(self, term):
        if term.place in (FULL, ROW):
            return term.place
        return SCALAR if _size(term) == 1 else COLUMN

    def _number(self, value):
        for k, number in enumerate(self._numbers):
            if repr(number) == repr(value):
                return f"c{k}"
        self._numbers.append(value)
        return f"c{len(self._numbers) - 1}"

    def _input(self, term):
        self._inputs.append(term)
        self._kinds.append(self._kind(term))
        return f"x{len(self._inputs) - 1}"


def _is_below_maximum(term):
    """Whether a term is a row less its own maximum."""
    if term.name != "subtract" or term.place != FULL:
        return False
    x, peak = term.operands
    return peak.name == "max" and peak.operands == (x,)


def _size(term):
    """How many elements a small term has, as far as its operands tell."""
    if term.name == "number":
        return 1
    if term.name == "input":
        return int(np.prod(term.detail[1]))
    if term.name in ("reshape", "broadcast"):
        return int(np.prod(term.detail))
    if term.name.endswith("_over"):
        return int(np.prod(term.detail[1]))
    return max(map(_size, term.operands))


def _evaluated(be, term, known, dtype):
    """The array of a small term, by the reference's line of NumPy for each operation."""
    if term in known:
        return known[term]
    if term.name == "number":
        return dtype.type(term.detail)
    operands = [_evaluated(be, x, known, dtype) for x in term.operands]
    if term.name == "reshape":
        y = operands[0].reshape(term.detail)
    elif term.name == "broadcast":
        y = be.xp.broadcast_to(be.xp.asarray(operands[0]), term.detail)
    elif term.name == "sum_over":
        y = total(operands[0], term.detail[0]).astype(dtype).reshape(term.detail[1])
    elif term.name == "max_over":
        y = operands[0].max(axis=term.detail[0]).reshape(term.detail[1])
    else:
        y = STEPS[term.name](*operands)
    known[term] = y
    return y
