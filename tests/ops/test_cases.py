"""Every row of cases.py through everything that holds for every op.

Values and gradients against torch (or NumPy), gradients of order 1 and 2 against numerical ones,
views as inputs, dtypes, empty inputs, fused ops against their composites, raw arrays. That every
op has a row is checked in test_rows_are_complete.py.
"""

import inspect
import itertools
import warnings

import numpy as np
import pytest
from case import several
from case_runs import OURS, as_tensors, cotangents, floats, is_float, run
from cases import CASES, op_of
from grouped import grouped
from needed import missing
from op_calls import brief_rows
from oracle import torch
from views import VIEWS

import tinygrad_like as tg
from tinygrad_like.engine import Tensor, wrap
from tinygrad_like.engine.plan import ATTRIBUTE, EXTRA, INPUT, Plan
from tinygrad_like.ops.protocols import numpy_functions

each_row = grouped("case", CASES, by=op_of)
DIFFERENTIABLE = [c for c in CASES if c.grad]
TOLERANCE = {np.float16: 4e-3, np.float32: 1e-5}


def same_precision(x, dtype):
    """A real dtype, or for complex numbers x the complex dtype that goes with it."""
    return np.result_type(dtype, np.complex64) if x.dtype.kind == "c" else dtype


def nodes_under(tensors):
    """The recorded calls that tensors came from."""
    found = {}
    stack = [t.node for t in tensors if t.node is not None]
    while stack:
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            stack += [p for p in node.parents if p is not None]
    return [n for n in found.values() if isinstance(n.plan, Plan)]


def saved_arrays(tensors):
    """(op, what kind, array) for everything that the graph of these tensors keeps."""
    for node in nodes_under(tensors):
        for (kind, _), x in zip(node.plan.saves, node.saved, strict=True):
            for a in x if isinstance(x, tuple) else (x,):
                if isinstance(a, (np.ndarray, np.generic)):
                    yield node.plan.op.name, kind, a


def assert_same(actual, expected, rtol, what):
    """Equal shapes, and equal values up to rounding in the scale of the whole array."""
    actual = [np.asarray(a.data if isinstance(a, Tensor) else a) for a in actual]
    expected = [np.asarray(e.data if isinstance(e, Tensor) else e) for e in expected]
    assert len(actual) == len(expected), what
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        assert a.shape == e.shape, f"{what} {i} has shape {a.shape}, expected {e.shape}"
        scale = np.abs(e).max() if e.size and e.dtype.kind in "fc" and np.isfinite(e).all() else 0
        np.testing.assert_allclose(a, e, rtol=rtol, atol=rtol * scale, err_msg=f"{what} {i}")


@each_row
def test_values_and_gradients_equal_the_oracle(case):
    """In float64, to 1e-12 of the largest element."""
    arrays = case.arrays()
    if case.torch is None:
        assert_same(case(*map(wrap, arrays)), case.by_numpy(*arrays), 1e-12, "output")
        return
    if torch is None:
        pytest.skip(missing("torch"))
    if not case.grad:
        expected = case.by_torch(*map(torch.tensor, arrays))
        assert_same(case(*map(wrap, arrays)), expected, 0, "output")
        return
    theirs = [torch.tensor(x, requires_grad=is_float(x)) for x in arrays]
    expected = case.by_torch(*theirs)
    outs, grads = run(case, arrays)
    assert_same(outs, [y.detach().resolve_conj().numpy() for y in expected], 1e-12, "output")
    pairs = [
        (y, torch.tensor(g))
        for y, g in zip([y for y in expected if y.is_floating_point() or y.is_complex()],
                        cotangents(floats(outs)), strict=True)
        if y.requires_grad
    ]  # fmt: skip
    inputs = [x for x in theirs if x.requires_grad]
    if pairs and inputs:
        ys, gs = zip(*pairs, strict=True)
        expected = torch.autograd.grad(ys, inputs, gs, allow_unused=True)
        expected = [
            np.zeros(x.shape) if e is None else e.resolve_conj().numpy()
            for e, x in zip(expected, inputs, strict=True)
        ]
        assert_same(grads, expected, 1e-12, "gradient")


@grouped("case", DIFFERENTIABLE, by=op_of, brief=brief_rows(6))
def test_derivatives_of_order_1_and_2(case):
    tg.gradcheck(lambda *xs: case(*xs), *case.arrays(), order=2)


def broadcast(x):
    return np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x


ALL_VIEWS = [*VIEWS, broadcast]

# A row of equal numbers has no deviation to divide by.
IF_ALL_ARE_EQUAL = {"divide": "ignore", "invalid": "ignore"}


@grouped(
    "case view",
    itertools.product(CASES, ALL_VIEWS),
    by=op_of,
    brief=brief_rows(2 * len(ALL_VIEWS)),
)
def test_views_give_the_same_as_contiguous_arrays(case, view):
    arrays = case.arrays()
    tame = [maker.tame for maker in case.inputs]
    views = [x if t and view is broadcast else view(x) for x, t in zip(arrays, tame, strict=True)]
    arrays = [np.array(x) for x in views]
    with np.errstate(**IF_ALL_ARE_EQUAL if view is broadcast else {}):
        outs, grads = run(case, arrays)
        gs = cotangents(floats(outs))
        gs_views = gs if view is broadcast else map(view, gs)
        outs_of_views, grads_of_views = run(case, views, gs_views)
    assert_same(outs_of_views, outs, 1e-13, "output")
    assert_same(grads_of_views, grads, 1e-13, "gradient")
    assert_same(views, arrays, 0, "input after the call,")


@grouped("case dtype", itertools.product(CASES, TOLERANCE), by=op_of, brief=brief_rows(8))
def test_dtype_is_kept(case, dtype):
    """In outputs, gradients of order 1 and 2, and everything saved; values to the dtype's error.

    Only the statistics that a kernel keeps for its backward are float32 for float16. Complex
    numbers have the precision of float32 at least.
    """
    arrays = [x.astype(same_precision(x, dtype)) if is_float(x) else x for x in case.arrays()]
    if not any(map(is_float, arrays)):
        return
    if dtype is np.float16 and any(x.dtype.kind == "c" for x in arrays):
        return  # with float16 the result has the precision of the complex numbers
    if dtype is np.float16 and not case.half:
        with pytest.raises(TypeError, match=r"^\[\w+\] .*float16"):
            case(*map(wrap, arrays))
        return
    outs, grads = run(case, arrays)
    graph, again = run(case, arrays, create_graph=True)
    of_statistics = np.float32 if case.statistics else dtype
    wrong = [
        f"{name} saved {a.dtype}"
        for name, kind, a in saved_arrays([*graph, *again])
        if is_float(a)
        and a.dtype
        not in (np.float32 if kind == EXTRA else of_statistics, same_precision(a, dtype))
    ]
    wrong += [
        f"output {i} is {y.dtype}"
        for i, y in enumerate(outs)
        if is_float(y) and y.dtype not in (same_precision(y, dtype), of_statistics if i else dtype)
    ]
    inputs = [x.dtype for x in arrays if is_float(x)]
    for order, gradients_of_it in enumerate((grads, again)):
        wrong += [
            f"gradient {i} of order {order} is {g.dtype}"
            for i, (g, expected) in enumerate(zip(gradients_of_it, inputs, strict=True))
            if g.dtype != expected
        ]
    assert not wrong, "; ".join(wrong)
    wide = [x.astype(same_precision(x, np.float64)) if is_float(x) else x for x in arrays]
    gs = [g.astype(same_precision(g, np.float64)) for g in cotangents(floats(outs))]
    exact_outs, exact_grads = run(case, wide, gs)
    tolerance = max(TOLERANCE[dtype], case.error)
    assert_same(outs, exact_outs, tolerance, "output")
    assert_same(grads, exact_grads, tolerance, "gradient")
    assert_same(again, exact_grads, tolerance, "gradient to differentiate")


def emptied(arrays):
    """The inputs with an empty batch: the first axis, in all that have its length, cut to 0."""
    length = max((x for x in arrays if x.ndim), key=np.ndim, default=np.empty(())).shape[:1]
    return [x[:0] if x.ndim and x.shape[:1] == length else x for x in arrays]


def run_empty(case, arrays):
    """Like `run`, with gradients of both kinds of walk; or the error, or NumPy's warning."""
    try:
        return *run(case, arrays), run(case, arrays, create_graph=True)[1]
    except (ValueError, TypeError, IndexError, RuntimeWarning) as error:
        return error


@each_row
def test_empty_batches(case):
    """They work, and give gradients of the right shape; else the error begins with [op]."""
    arrays = emptied(case.arrays())
    result = run_empty(case, arrays)
    if isinstance(result, Exception):
        assert not case.empty, f"{type(result).__name__}: {result}"
        assert str(result).startswith("[") or isinstance(result, RuntimeWarning), str(result)
        return
    outs, grads, again = result
    assert [y.shape for y in outs] == [np.shape(y) for y in case(*arrays)]
    inputs = [x.shape for x in arrays if is_float(x)]
    assert [g.shape for g in grads] == inputs
    assert [g.shape for g in again] == inputs
    if not case.empty:
        return
    if case.torch is None:
        assert_same(outs, case.by_numpy(*arrays), 1e-12, "output")
    elif torch is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = case.by_torch(*map(torch.tensor, arrays))
        except (RuntimeError, ValueError, IndexError):
            return  # torch has no answer
        assert_same(outs, [y.numpy() for y in expected], 1e-12, "output")


@each_row
def test_raw_arrays_give_raw_arrays(case):
    arrays = case.arrays()
    before = [x.copy() for x in arrays]
    raw = case(*arrays)
    kinds = {type(y).__name__ for y in raw if not isinstance(y, (np.ndarray, np.generic))}
    assert not kinds, f"raw arrays gave {kinds}"
    outs = case(*map(wrap, arrays))
    assert all(isinstance(y, Tensor) for y in outs)
    assert [y.dtype for y in raw] == [y.dtype for y in outs]
    assert_same(raw, outs, 0, "output")
    assert_same(arrays, before, 0, "input after the call,")


def takes(function, attributes):
    """Whether a function has parameters of these names."""
    if not attributes:
        return True  # some of NumPy's functions have no signature
    return attributes.keys() <= inspect.signature(function).parameters.keys()


PLAIN_ROWS = [c for c in CASES if getattr(tg, c.label, None) is c.function]
LINALG_ROWS = [c for c in CASES if getattr(tg.linalg, c.label, None) is c.function]
METHOD_ROWS = [c for c in PLAIN_ROWS if callable(getattr(Tensor, c.label, None))]
NUMPY_ROWS = [c for c in PLAIN_ROWS if c.label in numpy_functions.UFUNCS]
NUMPY_ROWS += [
    c
    for c in PLAIN_ROWS
    if c.label in numpy_functions.FUNCTIONS and takes(getattr(np, c.label), c.attributes)
]


@grouped("case", METHOD_ROWS, by=op_of)
def test_method_is_the_function(case):
    first, *rest = map(wrap, case.arrays())
    method = getattr(first, case.label)
    if case.label in ("reshape", "transpose", "broadcast_to"):  # lengths and axes have no name
        out = several(method(*case.attributes.values()))
    else:
        out = several(method(*rest, **case.attributes))
    assert_same(out, case(first, *rest), 0, "output")


@grouped("case", NUMPY_ROWS, by=op_of)
def test_numpy_function_is_ours(case):
    """np.exp(tensor) calls tg.exp, and is recorded."""
    tensors = as_tensors(case.arrays())
    out = several(getattr(np, case.label)(*tensors, **case.attributes))
    expected = case(*tensors)
    assert_same(out, expected, 0, "output")
    assert [y.requires_grad for y in out] == [y.requires_grad for y in expected]


FUSED_OPS = [name for name, op in OURS.items() if op.composite]
CALLED_BY = {"distances": "cdist", "sample": "grid_sample"}  # where names differ
FUSED = [
    c
    for c in DIFFERENTIABLE
    if any(c.name.startswith(CALLED_BY.get(name, name)) for name in FUSED_OPS)
]


def fused_call(outs):
    """The one node of an op with a composite."""
    (node,) = [n for n in nodes_under(outs) if n.plan.op.composite]
    return node


@grouped("case", FUSED, by=op_of)
def test_fused_ops_equal_their_composites(case):
    """Forward, and backward: an ordinary walk runs the kernel, create_graph the composite."""
    arrays = case.arrays()
    _, grads = run(case, arrays)
    _, of_composite = run(case, arrays, create_graph=True)
    assert_same(grads, of_composite, 1e-12, "gradient")
    outs = case(*as_tensors(arrays))
    node = fused_call(outs)
    op, saved = node.plan.op, dict(zip(node.plan.saves, node.saved, strict=True))
    inputs = [saved[INPUT, i] for i in range(len(op.inputs))]
    expected = op.composite(*inputs, **{k: saved[ATTRIBUTE, k] for k in op.attributes})
    expected = expected if op.several else (expected,)
    if len(expected) == len(outs):
        # One example without the axis of a batch gets that axis inside.
        pairs = zip(expected, outs, strict=True)
        assert_same(outs, [e.reshape(y.shape) for e, y in pairs], 1e-12, "output")


@pytest.mark.parametrize("name", FUSED_OPS)
def test_fused_op_has_a_row(name):
    calls = [fused_call(c(*as_tensors(c.arrays()))).plan.op.name for c in FUSED]
    assert name in calls
