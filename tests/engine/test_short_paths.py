"""The short paths through an op do what the full path does: values, nodes, versions, errors.

Every row of the op tests is called twice, the second time with the short paths closed; and so is
every op that has a short path, with inputs that do not fit.
"""

import itertools
import re

import numpy as np
import pytest
from cases import CASES, op_of
from grouped import grouped
from op_calls import LABELS_OF_OPS, family_of

import tinygrad_like as tg
from tinygrad_like import Tensor
from tinygrad_like.engine import OPS, call, gradients, short, wrap

# Their callers have checked that indices are in range; these ops themselves read what is there.
UNCHECKED = "embedding", "scatter_rows"
# Ops with a short path; other tests make ops of their own.
SHORT = [
    name
    for name, op in OPS.items()
    if op.forward.__module__.startswith("tinygrad_like.")
    and name not in UNCHECKED
    and op.count in (1, 2)
    and not (op.several or op.saves or op.any_dtype)
]
DTYPES = np.float64, np.float16, np.int32


@pytest.fixture
def full(monkeypatch):
    """A function that calls f() with the short paths closed, and says how often unwrap ran."""

    def through_the_full_path(f):
        count = 0

        def unwrap(*args):
            nonlocal count
            count += 1
            return unwrap_(*args)

        unwrap_ = call.unwrap
        with monkeypatch.context() as patch:
            patch.setattr(short, "BY_TYPE", {})  # no type is one that they know
            patch.setattr(call, "unwrap", unwrap)
            return f(), count

    return through_the_full_path


def image(x):
    """A value as something that == compares: bits, types, and the version counter's state."""
    if isinstance(x, Tensor):
        return "Tensor", image(x.data), x.version[0], x.requires_grad
    if isinstance(x, (np.ndarray, np.generic)):
        return type(x).__name__, x.dtype, x.shape, x.tobytes()
    if isinstance(x, (tuple, list)):
        return tuple(map(image, x))
    return repr(x)


def graph(outs, inputs):
    """The recorded calls below `outs`: what they keep, of which versions, and their parents.

    Nodes and version counters are named by the order in which they are met.
    """
    nodes, counters = {}, {}
    for x in inputs:
        counters.setdefault(id(x.version), len(counters))
    stack = [y.node for y in outs]
    shared = [counters.get(id(y.version)) for y in outs]
    rows = []
    while stack:
        node = stack.pop()
        if node is None or id(node) in nodes:
            continue
        nodes[id(node)] = len(nodes)
        stack += node.parents
        kept = [
            (counters.setdefault(id(counter), len(counters)), at, name)
            for counter, at, name in node.versions
        ]
        rows.append((node, kept))
    return shared, [
        (
            node.plan and (node.plan.op.name, getattr(node.plan, "needs", None)),
            [p and nodes[id(p)] for p in node.parents],
            (node.shape, node.dtype, image(node.saved), kept),
        )
        for node, kept in rows
    ]


def outcome(case, arrays, recorded=True):
    """Everything about a call that a user or the walk can see, the error included."""

    def run():
        tensors = [wrap(x.copy()) for x in arrays]
        for t in tensors:
            if recorded and t.dtype.kind == "f":
                t.requires_grad = True
        outs = [y for y in case(*tensors) if isinstance(y, Tensor)]
        before = image(outs), graph(outs, tensors)
        ys = [y for y in outs if y.requires_grad]
        leaves = [t for t in tensors if t.requires_grad]
        return before, image(gradients(ys, leaves, [tg.ones_like(y) for y in ys]) if ys else [])

    return attempted(run)


def attempted(f):
    """What f() returns, or the type and the text of what it raises."""
    tg.seed(0)
    with np.errstate(all="ignore"):
        try:
            return "returned", f()
        except Exception as error:
            return type(error), re.sub(r"0x[0-9a-f]+", "", str(error))


ROWS = [case for case in CASES if not case.grad or case.label in LABELS_OF_OPS]


@grouped("case dtype", itertools.product(ROWS, DTYPES), by=op_of, brief=8, together=family_of)
def test_every_row_gives_the_same_by_both_paths(case, dtype, full):
    """Recorded, not recorded, and on raw arrays."""
    arrays = case.arrays()
    if dtype is np.int32:
        arrays = [np.nan_to_num(x, posinf=9, neginf=-9) for x in arrays]
    arrays = [x.astype(dtype) if x.dtype.kind == "f" else x for x in arrays]
    assert outcome(case, arrays) == full(lambda: outcome(case, arrays))[0]

    def quietly():
        with tg.no_grad():
            return outcome(case, arrays, recorded=False)

    assert quietly() == full(quietly)[0]

    def raw():
        return attempted(lambda: image(case(*[x.copy() for x in arrays])))

    assert raw() == full(raw)[0]


def leaf(*shape, dtype=np.float64):
    return Tensor(np.ones(shape, dtype), requires_grad=True)


# What may come first in a call: Tensors of several kinds, arrays, and what is neither.
FIRST = {
    "leaf": lambda: leaf(2, 3),
    "half": lambda: leaf(2, 3, dtype=np.float16),
    "constant": lambda: Tensor(np.ones((2, 3), np.float32)),
    "integers": lambda: Tensor([[0, 1, 0], [1, 0, 1]]),  # which are indices, too
    "short integers": lambda: Tensor(np.ones((2, 3), np.int16)),
    "booleans": lambda: Tensor([True, False, True]),
    "empty": lambda: leaf(0, 3),
    "0-d": lambda: leaf(),
    "array": lambda: np.ones((2, 3)),
    "0-d array": lambda: np.array(2.0),
    "NumPy number": lambda: np.float32(2),
    "number": lambda: 2.5,
    "nothing": lambda: None,
    "text": lambda: "text",
    "list": lambda: [1.0, 2.0],
    "masked": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    "objects": lambda: np.array([None, 1.0]),
}
# What may follow, for ops of one input and of two: right and wrong.
REST = {name: lambda make=make: ((make(),), {}) for name, make in FIRST.items()} | {
    "no more": lambda: ((), {}),
    "other shape": lambda: ((leaf(4),), {}),
    "row": lambda: ((leaf(3),), {}),
    "large number": lambda: ((1e6,), {}),
    "huge number": lambda: ((2**70,), {}),
    "complex number": lambda: ((1j,), {}),
    "True": lambda: ((True,), {}),
    "too many": lambda: ((leaf(2, 3), leaf(2, 3), 1, 2, 3, 4, 5, 6), {}),
    "unknown": lambda: ((), {"unknown": 1}),
    "unknown second": lambda: ((leaf(2, 3),), {"unknown": 1}),
    "axis": lambda: ((), {"axis": 7}),
    "axis as text": lambda: ((), {"axis": "text"}),
    "axis as Tensor": lambda: ((), {"axis": Tensor(0)}),
    "axis as leaf": lambda: ((), {"axis": leaf()}),
    "axis in place": lambda: ((0,), {}),
    "two in place": lambda: ((0, 1), {}),
    "by name": lambda: ((), {"b": leaf(2, 3)}),
}


@pytest.mark.parametrize("name", SHORT)
def test_any_arguments_give_the_same_by_both_paths(name, full):
    """As a function, and as an operator where one may be called so; what is raised included."""

    def of(f, first, rest):
        def run():
            x, (others, attributes) = FIRST[first](), REST[rest]()
            out = f(x, *others, **attributes)
            tensors = [y for y in (out, x, *others) if isinstance(y, Tensor)]
            return image(out), graph(tensors, tensors[1:])

        return attempted(run)

    function, count = OPS[name].function, OPS[name].count
    for first, rest in itertools.product(FIRST, REST):
        expected = full(lambda first=first, rest=rest: of(function, first, rest))[0]
        assert of(function, first, rest) == expected, (first, rest)
        others, attributes = REST[rest]()
        if isinstance(FIRST[first](), Tensor) and 1 + len(others) == count and not attributes:
            assert of(function.operator, first, rest) == expected, (first, rest, "operator")


def test_most_calls_take_a_short_path(full):
    """So that the tests above compare two paths, and not one with itself."""
    x, w = leaf(2, 3), leaf(2, 3)
    unwrap = call.unwrap
    try:
        call.unwrap = None  # which the full path calls
        for f in (lambda: x * w, lambda: x + 1.0, lambda: x - np.ones(3), lambda: x.sum(0)):
            f()
        tg.exp(np.ones(3)), tg.swapaxes(np.ones((2, 3)), 0, 1), tg.multiply(np.ones(3), np.ones(3))
        with tg.no_grad():
            x.mean().tanh()
        for f in (lambda: x * [1, 2, 3], lambda: 1.0 * x, lambda: tg.linear(x, w)):
            with pytest.raises(TypeError, match="NoneType"):
                f()
    finally:
        call.unwrap = unwrap
    assert full(lambda: (x * w).tanh().mean(0))[1] == 3
