"""What a fused loop computes: a list of steps over rows, which each target turns into one kernel.

A Loop is data, not code. It goes over an array of `rows` rows of `columns` elements; its values lie
in one of two places:

    FULL    a value for each element
    ROW     one value for each row: the result of a reduction, or something computed from one

A step has a name (`add`, `exp`, `sum`: see reference/fused.py, where each is one line of NumPy) and
the names of its operands: `x0` is an input, `c0` a number, `v0` the value of a step. So softmax is

    v0 = max(x0)            ROW
    v1 = subtract(x0, v0)   FULL
    v2 = exp(v1)            FULL
    v3 = sum(v2)            ROW
    v4 = divide(v2, v3)     FULL

A reduction is known only after a whole row has been read, so a row is gone through several times:
v0 is found in the first pass, v3 in the second, and v4 is computed in the third. `passes` sorts the
steps into these; what is the same for every target is here.
"""

from typing import NamedTuple

FULL, ROW = "full", "row"
COLUMN, SCALAR = "column", "scalar"  # inputs that all rows share
COLUMNS, TOTAL = "columns", "total"  # outputs: a sum over the rows, and one over all elements
REDUCTIONS = "sum", "max"

# Steps that are computed again in a later pass rather than kept for it: that is as quick.
CHEAP = frozenset(
    (
        *("add", "subtract", "multiply", "negative", "abs", "sign", "maximum", "minimum", "where"),
        *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
        *("logical_and", "logical_or", "relu", "relu_backward", "spread", "quotient"),
        *("sigmoid_backward", "tanh_backward"),
    )
)


class Step(NamedTuple):
    """One value of a loop, named v0, v1, ... in order."""

    name: str
    operands: tuple[str, ...]
    place: str  # FULL or ROW


class Output(NamedTuple):
    """A result of a loop: FULL (rows, columns), ROW (rows,), COLUMNS (columns,) or TOTAL ()."""

    form: str
    value: str  # whose value it is, or the sum of


class Loop:
    """The steps of a loop; equal loops are the same kernel.

    `inputs` says of each input whether it is FULL (rows, columns), ROW (rows,), COLUMN (columns,)
    or SCALAR (1,). The numbers are not part of the loop, only how many there are: the same kernel
    serves them all.
    """

    def __init__(self, inputs, numbers, steps, outputs):
        self.inputs: tuple[str, ...] = tuple(inputs)
        self.numbers: int = numbers
        self.steps: tuple[Step, ...] = tuple(steps)
        self.outputs: tuple[Output, ...] = tuple(outputs)
        self._parts = self.inputs, self.numbers, self.steps, self.outputs
        self._hash = hash(self._parts)  # once: a kernel is looked up by its loop at every call
        self.is_flat = self._is_flat()

    def __hash__(self):
        return self._hash

    def __eq__(self, other):
        return self is other or (isinstance(other, Loop) and self._parts == other._parts)

    def __repr__(self):
        return f"Loop{self._parts}"

    def _is_flat(self):
        """Whether all elements are alike, so that rows may be cut anywhere."""
        of_rows = {ROW, COLUMN} & set(self.inputs) or any(s.place == ROW for s in self.steps)
        return not of_rows and not any(form in (ROW, COLUMNS) for form, _ in self.outputs)

    def step(self, value):
        """The step that computes a value; None for an input or a number."""
        return self.steps[int(value[1:])] if value[0] == "v" else None

    def place(self, value):
        """FULL if a value differs from element to element, else ROW, SCALAR or COLUMN."""
        if value[0] == "v":
            return self.steps[int(value[1:])].place
        return self.inputs[int(value[1:])] if value[0] == "x" else SCALAR


class Pass(NamedTuple):
    """One way through a row.

    The elementwise `steps` are computed in order, of inputs and of what is `kept` by earlier
    passes; then `reduced` values, `written` outputs and those that this pass `keeps` are taken
    from them. `row_steps` follow when the row is through.
    """

    steps: list[str]
    kept: list[str]
    reduced: list[str]
    written: list[int]
    keeps: list[str]
    row_steps: list[str]


def passes(loop, keeping=True):
    """The passes of a loop. Without `keeping`, every pass computes anew what it needs."""
    level = _levels(loop)
    last = max(level.values(), default=0)
    found, wanted_by_later = [], []
    for number in range(last, -1, -1):
        reduced = [
            f"v{k}"
            for k, step in enumerate(loop.steps)
            if step.name in REDUCTIONS and level[f"v{k}"] == number + 1
        ]
        written = [
            k
            for k, output in enumerate(loop.outputs)
            if output.form != ROW and _first_pass(loop, level, output.value, last) == number
        ]
        keeps = [value for value in wanted_by_later if level[value] == number]
        targets = [loop.step(value).operands[0] for value in reduced] + keeps
        targets += [loop.outputs[k].value for k in written]
        steps, kept = _needed(loop, level, targets, number, keeping)
        wanted_by_later += [value for value in kept if value not in wanted_by_later]
        row_steps = [
            f"v{k}"
            for k, step in enumerate(loop.steps)
            if step.place == ROW and step.name not in REDUCTIONS and level[f"v{k}"] == number + 1
        ]
        if targets or row_steps:
            found.append(Pass(steps, kept, reduced, written, keeps, row_steps))
    return found[::-1]


def row_steps_before(loop):
    """The steps of one value for each row that need no pass: of inputs and numbers alone."""
    level = _levels(loop)
    return [
        f"v{k}"
        for k, step in enumerate(loop.steps)
        if step.place == ROW and step.name not in REDUCTIONS and not level[f"v{k}"]
    ]


def _levels(loop):
    """{value: how many passes must have gone before it can be computed}."""
    level = {}
    for k, step in enumerate(loop.steps):
        above = max((level.get(x, 0) for x in step.operands), default=0)
        level[f"v{k}"] = above + (step.name in REDUCTIONS)
    return level


def _first_pass(loop, level, value, last):
    return min(level.get(value, 0), last)


def _needed(loop, level, targets, number, keeping):
    """(the elementwise steps that lead to the targets, in order; the values kept for them)."""
    steps, kept, waiting = set(), [], list(targets)
    while waiting:
        value = waiting.pop()
        step = loop.step(value)
        if step is None or step.place != FULL or value in steps or value in kept:
            continue
        if keeping and level[value] < number and step.name not in CHEAP:
            kept.append(value)
        else:
            steps.add(value)
            waiting += step.operands
    return sorted(steps, key=_order), sorted(kept, key=_order)


def _order(value):
    return int(value[1:])
