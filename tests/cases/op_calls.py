"""The rows of cases.py that have gradients, as calls for tests of the engine."""

import numpy as np
from cases import CASES
from grouped import grouped

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import gradients, wrap

CALLS = {case.name: case for case in CASES if case.grad}
FAMILIES = {case.label: case.function.__module__.rpartition(".")[2] for case in CASES}


def op_of(name, *_):
    """The op of a call, by which tests of all calls are grouped."""
    return CALLS[name].label


def family_of(label):
    """The file that has the function of a row, by which the rows of several ops share a test."""
    return FAMILIES[label]


def _ops_of(case):
    """The names of the ops that the call of a row records."""
    xs = [wrap(a) for a in case.arrays()]
    for x in xs:
        x.requires_grad = x.dtype.kind in INEXACT
    waiting, seen = [y.node for y in case(*xs)], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += node.parents
    return {node.plan.op.name for node in seen if node.plan is not None}


def _labels_of_ops():
    """The labels of rows that are needed for each op to have one.

    What holds for ops holds for the functions that are composed of them. So tests of the engine go
    through the rows of all ops: those that call one, and of compositions those with an op that is
    not public.
    """
    found = {c.label for c in CALLS.values() if hasattr(c.function, "op")}
    covered = {c.function.op.name for c in CALLS.values() if hasattr(c.function, "op")}
    with tg.use_kernels("reference"):
        for case in CALLS.values():
            if case.label not in found and not (ops := _ops_of(case)) <= covered:
                found.add(case.label)
                covered |= ops
    return found


LABELS_OF_OPS = _labels_of_ops()
CALLS_OF_OPS = [name for name, case in CALLS.items() if case.label in LABELS_OF_OPS]
each_call = grouped("name", CALLS_OF_OPS, by=op_of, brief=4, together=family_of)


def brief_rows(count):
    """For `grouped`: `count` rows of an op make up its short test; of a composition a third."""
    return lambda label: count if label in LABELS_OF_OPS else count // 3


def only_ops(count):
    """For `grouped`: `count` rows of an op make up its short test; of compositions none."""
    return lambda label: count if label in LABELS_OF_OPS else 0


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def leaves(name, wrap=Tensor):
    """Fresh Tensors for a call, differentiable where floating."""
    tensors = [wrap(a) for a in CALLS[name].arrays()]
    for t in tensors:
        if t.dtype.kind in INEXACT:
            t.requires_grad = True
    return tensors


def parts(t):
    """The real and imaginary parts of a complex Tensor, side by side; a real one unchanged."""
    return tg.view_as_real(t) if t.dtype.kind == "c" else t


def outputs(name, tensors):
    """The floating outputs of a call as a list of real Tensors."""
    return [parts(y) for y in CALLS[name](*tensors) if y.dtype.kind in INEXACT]


def scalar(tensors):
    """A scalar that depends on every element of every tensor, each with its own weight."""
    total = 0.0
    for t in map(parts, tensors):
        weights = tg.arange(1.0, t.size + 1.0, dtype=np.float64, device=t.device).reshape(t.shape)
        total = total + (t * t * weights).sum()
    return total


def attempt(f, match):
    """What f() returns; None where a GraphError, which must say `match`, refuses it."""
    try:
        return f()
    except GraphError as error:
        if match not in str(error):
            raise
        return None


def assert_changes_are_noticed(name, change, match):
    """A change of any input between a call and its backward is refused, or makes no difference.

    `change(x)` changes one of the inputs, integer indices and labels included; `match` is what a
    refusal must say.
    """
    for i in range(len(CALLS[name].inputs)):
        results = []
        for changed in (False, True):
            xs = leaves(name)
            ys = outputs(name, xs)
            if not any(y.requires_grad for y in ys):
                return
            total = scalar(ys)
            if changed:
                change(xs[i])
            active = [x for x in xs if x.requires_grad]
            found = attempt(lambda: gradients([total], active), match)  # noqa: B023
            if found is None:
                break
            results.append([g.numpy() for g in found])
        else:
            for kept, now in zip(*results, strict=True):
                np.testing.assert_array_equal(now, kept, err_msg=f"after a change of input {i}")
