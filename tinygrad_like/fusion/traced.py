"""Traced: an array without elements that remembers what is computed from it.

A function is traced by calling it once on Tensors of such arrays. So the ops' own forwards and
gradient rules, which are written for arrays of any kind, say what they compute: there is no second
list of formulas here. NumPy's functions reach a Traced through NumPy's own protocols, the kernels
through the table `KERNELS`. What neither knows is NotFusible.
"""

import math
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import ArrayLike
from tinygrad_like.fusion.terms import AFTER, BEFORE, FULL, ROW, NotFusible, combined
from tinygrad_like.kernels.reference.contract import KERNELS as REFERENCE

BOOLEAN = np.dtype(np.bool_)
UFUNCS = {
    "absolute": "abs",
    "true_divide": "divide",
    **{
        name: name
        for name in (
            *("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "negative"),
            *("sign", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh"),
            *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"),
            *("logical_and", "logical_or"),
        )
    },
}
COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
LOGIC = {"logical_and", "logical_or"}


class Traced(ArrayLike):
    """What a function has computed so far: a term, with the shape and dtype of the array."""

    __slots__ = ("dtype", "shape", "term", "terms")
    base = ()  # no memory is its own, so the engine does not add to it in place

    def __init__(self, terms, term, shape, dtype):
        self.terms, self.term, self.shape, self.dtype = terms, term, tuple(shape), dtype

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if ufunc is np.square:
            ufunc, inputs = np.multiply, (*inputs, *inputs)
        elif ufunc is np.isnan:
            ufunc, inputs = np.not_equal, (*inputs, *inputs)
        elif ufunc is np.logical_not:
            return _not(*inputs)
        elif ufunc is np.reciprocal:
            ufunc, inputs = np.divide, (1, *inputs)
        elif ufunc in BITS:
            return _logic(BITS[ufunc], *inputs)
        name = UFUNCS.get(ufunc.__name__)
        if method != "__call__" or options or name is None:
            raise NotFusible(f"it calls {ufunc.__name__}")
        return elementwise(name, *inputs)

    def __array_function__(self, function, kinds, args, options):
        made: Any = FUNCTIONS.get(function)
        if made is None:
            raise NotFusible(f"it calls {function.__name__}")
        return made(*args, **options)

    def __array__(self, dtype=None, copy=None):
        raise NotFusible("it reads the values of its arguments")

    def __bool__(self):
        raise NotFusible("what it computes depends on the values of its arguments")

    __int__ = __float__ = __index__ = __len__ = __iter__ = item = tolist = __bool__

    def __getitem__(self, index):
        raise NotFusible("it indexes")

    def __setitem__(self, index, value):
        raise NotFusible("it changes an argument in place")

    def __isub__(self, value):
        raise NotFusible("it changes an argument in place")

    __imul__ = __itruediv__ = __ipow__ = __isub__

    def __iadd__(self, value):
        if self.terms.are_arguments_watched:
            raise NotFusible("it changes an argument in place")
        return self + value  # the engine adds up gradients

    def copy(self):
        """Itself: nothing changes a Traced."""
        return self

    def astype(self, dtype, **options):
        """Truth values as numbers; any other change of dtype is NotFusible."""
        if np.dtype(dtype) == self.dtype:
            return self
        if self.dtype == BOOLEAN and np.dtype(dtype) == self.terms.dtype:
            return _as_number(self)
        raise NotFusible(f"it casts {self.dtype} to {np.dtype(dtype)}")

    def reshape(self, *shape):
        """The same rows in another shape."""
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        rest = max(1, -math.prod(wanted))  # the product of the others, if one length is -1
        shape, term = tuple(self.size // rest if n == -1 else n for n in wanted), self.term
        if shape == self.shape:
            return self
        if term.place in (BEFORE, AFTER):
            term = self.terms.make("reshape", term, place=term.place, detail=shape)
        elif term.place == FULL and shape[-1:] != (self.terms.columns,):
            raise NotFusible(f"it reshapes {self.shape} to {shape}")
        return Traced(self.terms, term, shape, self.dtype)

    def sum(self, axis=None, keepdims=False):
        """The sum along the last axis."""
        return _reduced("sum", self, axis, keepdims)

    def max(self, axis=None, keepdims=False):
        """The maximum along the last axis."""
        return _reduced("max", self, axis, keepdims)

    def min(self, axis=None, keepdims=False):
        """The minimum along the last axis."""
        return -_reduced("max", -self, axis, keepdims)

    def __neg__(self):
        return elementwise("negative", self)

    def __and__(self, other):
        return _logic("logical_and", self, other)

    def __or__(self, other):
        return _logic("logical_or", self, other)

    def __invert__(self):
        return _logic("not", self)

    def __abs__(self):
        return elementwise("abs", self)


def _operator(name):
    def forward(self, other):
        return elementwise(name, self, other)

    def reflected(self, other):
        return elementwise(name, other, self)

    return forward, reflected


for _name, _method in {
    **{"add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "power": "pow"},
    **{"less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge"},
    **{"equal": "eq", "not_equal": "ne"},
}.items():
    _forward, _reflected = _operator(_name)
    setattr(Traced, f"__{_method}__", _forward)
    if _name not in COMPARISONS:
        setattr(Traced, f"__r{_method}__", _reflected)
Traced.__hash__ = object.__hash__  # type: ignore[method-assign]


def elementwise(name, *operands):
    """The Traced of an elementwise step, with NumPy's broadcasting."""
    first = next(x for x in operands if isinstance(x, Traced))
    terms = first.terms
    _check_dtypes(name, operands)
    if name == "power" and not isinstance(operands[1], Traced):
        short = _power(*operands)
        if short is not None:
            return short
    shape = np.broadcast_shapes(*(x.shape for x in operands if isinstance(x, Traced)))
    place = combined([x.term.place for x in operands if isinstance(x, Traced)])
    place = _widened(place, operands, shape, terms)
    for x in operands:
        if isinstance(x, Traced):
            _check_alignment(x, place, shape, terms)
    given = [x.term if isinstance(x, Traced) else terms.number(x) for x in operands]
    dtype = BOOLEAN if name in COMPARISONS or name in LOGIC else terms.dtype
    return Traced(terms, terms.make(name, *given, place=place), shape, dtype)


def _widened(place, operands, shape, terms):
    """FULL for values of rows beside values that all rows share, column by column."""
    columns = shape[-1:] == (terms.columns,) and terms.columns > 1
    return FULL if place == ROW and columns and math.prod(shape) > terms.rows else place


def _check_alignment(x, place, shape, terms):
    """Raise NotFusible unless an operand lies along the rows of the result as a loop reads it."""
    if place not in (FULL, ROW):
        return
    padded = (1,) * (len(shape) - len(x.shape)) + x.shape
    rows, last = shape[:-1], shape[-1:]
    if place == FULL:
        expected = {FULL: [shape], ROW: [(*rows, 1)]}.get(x.term.place)
        expected = expected or [(1,) * len(rows) + last, (1,) * len(shape)]
        whole = math.prod(shape) == terms.rows * terms.columns
    else:
        expected = [shape] if x.term.place == ROW else [(1,) * len(shape)]
        whole = math.prod(shape) == terms.rows
    if padded not in expected or not whole:
        raise NotFusible(f"it combines {x.shape} to {shape} along other axes than the last")


def _check_dtypes(name, operands):
    """Raise NotFusible unless the result has the dtype of the arguments, or is boolean."""
    arrays = [x for x in operands if isinstance(x, Traced)]
    others = [x for x in operands if not isinstance(x, Traced)]
    for x in others:
        if not isinstance(x, (bool, int, float, np.bool_, np.integer, np.floating)):
            raise NotFusible(f"it combines an argument with {type(x).__name__}")
        if isinstance(x, np.float64) and arrays[0].terms.dtype != np.float64:
            raise NotFusible("it combines an argument with a float64 of NumPy")
    logical = name in LOGIC or name == "where"
    floats = [x for x in arrays if x.dtype != BOOLEAN]
    if name == "where":
        floats = [x for x in operands[1:] if isinstance(x, Traced) and x.dtype != BOOLEAN]
    if not floats and not (name in LOGIC and len(arrays) == len(operands)):
        raise NotFusible(f"it calls {name} on truth values" if not logical else f"it calls {name}")


def _power(x, exponent):
    """NumPy's short cuts for numbers as exponents; None for others."""
    if exponent == 0:
        return _constant(x, 1)
    if exponent == 1:
        return x
    if exponent in (2, 3):
        return x * x if exponent == 2 else x * x * x
    if exponent == -1:
        return 1 / x
    return elementwise("sqrt", x) if exponent == 0.5 else None


def _constant(x, number):
    """A number in every element of an array like x."""
    terms, place = x.terms, x.term.place
    number = terms.number(number)
    if place in (BEFORE, AFTER):
        term = terms.make("broadcast", number, place=BEFORE, detail=x.shape)
    else:
        term = terms.make("spread", number, place=place)
    return Traced(terms, term, x.shape, terms.dtype)


def _as_number(x):
    """Truth values as 1 and 0, which they are inside a loop."""
    return Traced(x.terms, x.term, x.shape, x.terms.dtype)


def _logic(name, *operands):
    """A step of truth values; integers, whose bits an operator would combine, are none."""
    if not all(isinstance(x, Traced) and x.dtype == BOOLEAN for x in operands):
        raise NotFusible("it combines bits")
    return _not(*operands) if name == "not" else elementwise(name, *operands)


def _not(x):
    return elementwise("equal", _as_number(x), 0)


BITS = {np.bitwise_and: "logical_and", np.bitwise_or: "logical_or", np.invert: "not"}


def _reduced(name, x, axis, keepdims):
    """A reduction: along the last axis, or of something small."""
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % x.ndim for a in axes) if x.ndim else ()
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    shape = kept if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
    if x.dtype == BOOLEAN:
        raise NotFusible(f"it calls {name} on truth values")
    terms, term = x.terms, x.term
    if term.place in (BEFORE, AFTER):
        found = terms.make(f"{name}_over", term, place=term.place, detail=(axes, shape))
    elif all(x.shape[i] == 1 for i in axes):
        found = term  # one element is its own sum
        if term.place == FULL and terms.columns == 1 and x.ndim - 1 in axes:
            found = terms.make(name, term, place=ROW)
    elif term.place == FULL and [i for i in axes if x.shape[i] != 1] == [x.ndim - 1]:
        found = terms.make(name, term, place=ROW)
    elif name == "sum":
        return _summed_over_rows(x, axes, shape)
    else:
        raise NotFusible(f"it calls {name} over other axes than the last")
    if found is term and term.place == FULL and shape[-1:] != (terms.columns,):
        raise NotFusible("it drops an axis")
    return Traced(terms, found, shape, x.dtype)


def _summed_over_rows(x, axes, shape):
    """A sum over all rows: of every column, or of every element."""
    terms, term = x.terms, x.term
    rows = {i for i in range(x.ndim - 1) if x.shape[i] != 1}
    summed = {i for i in axes if x.shape[i] != 1}
    if term.place == ROW and summed == {i for i in range(x.ndim) if x.shape[i] != 1}:
        found = terms.make("total", terms.make("spread", term, place=ROW), place=AFTER)
    elif term.place == FULL and summed == rows:
        found = terms.make("columns", term, place=AFTER)
    elif term.place == FULL and summed == rows | {x.ndim - 1}:
        found = terms.make("total", term, place=AFTER)
    else:
        raise NotFusible(f"it sums {x.shape} over the axes {axes}")
    found = terms.make("reshape", found, place=AFTER, detail=shape)
    return Traced(terms, found, shape, x.dtype)


def _broadcast(x, shape, subok=False):
    """The same values repeated to a shape."""
    shape = tuple(shape)
    if shape == x.shape:
        return x
    terms, place = x.terms, x.term.place
    size, last = math.prod(shape), shape[-1:]
    if place == AFTER or (place == BEFORE and size not in (terms.rows * terms.columns, terms.rows)):
        term = terms.make("broadcast", x.term, place=place, detail=shape)
        return Traced(terms, term, shape, x.dtype)
    target = FULL if size == terms.rows * terms.columns and last == (terms.columns,) else ROW
    _check_alignment(x, target, shape, terms)
    return Traced(terms, terms.make("spread", x.term, place=target), shape, x.dtype)


def _where(condition, a, b):
    if not isinstance(condition, Traced):
        if not isinstance(condition, (bool, np.bool_)):
            raise NotFusible("it calls where with a condition from outside")
        chosen = a if condition else b
        like = next(x for x in (a, b) if isinstance(x, Traced))
        return chosen if isinstance(chosen, Traced) else _constant(like, chosen)
    return elementwise("where", condition, a, b)


def _clip(x, low=None, high=None):
    for limit in (low, high):
        if not isinstance(limit, (int, float, type(None))):
            raise NotFusible("it calls clip with arrays as limits")
    x = x if low is None else elementwise("maximum", x, low)
    return x if high is None else elementwise("minimum", x, high)


FUNCTIONS = {
    np.where: _where,
    np.clip: _clip,
    np.broadcast_to: _broadcast,
    np.zeros_like: lambda x, dtype=None: _constant(x, 0),
    np.ones_like: lambda x, dtype=None: _constant(x, 1),
    np.sum: lambda x, axis=None, keepdims=False: _reduced("sum", x, axis, keepdims),
    np.max: lambda x, axis=None, keepdims=False: _reduced("max", x, axis, keepdims),
    np.min: lambda x, axis=None, keepdims=False: x.min(axis, keepdims),
}


class _Module:
    """NumPy, where it makes arrays of Traced ones: those stay as they are."""

    __name__ = "numpy"

    def __getattr__(self, name):
        return getattr(np, name)

    def asarray(self, x, dtype=None):
        """A Traced, unchanged."""
        if not isinstance(x, Traced):
            raise NotFusible("it makes an array of something else than its arguments")
        return x

    array = asarray


def _unknown(name):
    def kernel(*args):
        raise NotFusible(f"it calls {name}")

    return kernel


def _step(name):
    return lambda *operands: elementwise(name, *operands)


KERNELS: dict[str, Any] = {name: _unknown(name) for name in REFERENCE}
KERNELS |= {
    name: _step(name)
    for name in (
        *("add", "erf", "sigmoid", "sigmoid_backward", "tanh_backward", "relu", "relu_backward"),
        *("silu", "silu_backward", "softplus"),
    )
}
KERNELS |= {
    "softplus_backward": lambda g, x: g * elementwise("sigmoid", x),
    "gelu": lambda x, tanh: elementwise("gelu_tanh" if tanh else "gelu", x),
    "gelu_backward": lambda g, x, tanh: elementwise(
        "gelu_tanh_backward" if tanh else "gelu_backward", g, x
    ),
    "sum_in_pairs": lambda x, reduction, keepdims: _reduced("sum", x, reduction[0], keepdims),
    "sum_axes": lambda x, axes: _reduced("sum", x, axes, False),
    "sum_copies": lambda x, axes: _reduced("sum", x, axes, False),
    "spread": lambda x, kept, shape: _broadcast(x.reshape(kept), shape),
    "divide_by": lambda x, number: x / number,
}
for _kernel in KERNELS.values():
    _kernel.any_layout = True


class _Table:
    """The kernels above, as a module that `backend.Backend` loads."""

    KERNELS = KERNELS


BACKEND = backend.Backend("a fused function", _Module(), lambda: _Table, Traced)
backend.BY_TYPE[Traced] = BACKEND
