"""NumPy's protocols: NumPy functions that meet a Tensor become the op of the same name.

    np.exp(t)   np.concatenate([t, u])   np.sum(t, axis=0)   array * t

They are differentiable. An argument that the op does not know (`out`, `dtype`, `where`) raises.
"""

import functools
import inspect

import numpy as np

from tinygrad_like.engine import broadcast_to
from tinygrad_like.ops import (
    activation,
    compare,
    conv,
    create,
    elementwise,
    index,
    linalg,
    norm,
    random,
    reduce,
    repetition,
    shape,
    softmax,
)

FAMILIES = (
    *(create, compare, elementwise, activation, shape, reduce, linalg, index, repetition),
    *(random, softmax, norm, conv),
)

UFUNCS = """
    add subtract multiply divide power negative sign floor ceil exp expm1 log log1p log2 sqrt
    square sin cos tan arcsin arccos arctan sinh cosh tanh maximum minimum floor_divide remainder
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
    logical_not bitwise_and bitwise_or bitwise_xor invert isnan isfinite isinf matmul
""".split()
FUNCTIONS = """
    clip where isclose sum mean var std max min prod argmax argmin any all cumsum reshape transpose
    swapaxes moveaxis expand_dims squeeze concatenate stack split pad flip roll tile repeat take
    take_along_axis tril triu sort argsort einsum outer dot round zeros_like ones_like full_like
    nonzero argwhere copy
""".split()
RENAMED = {"a_min": "min", "a_max": "max", "constant_values": "value"}


def find(name):
    """The op of this name, from whichever family has it."""
    return next(getattr(family, name) for family in FAMILIES if hasattr(family, name))


def _vector_norm(x, ord=None, axis=None, keepdims=False):
    """np.linalg.norm as far as it is a norm of vectors; NumPy's matrix norms are refused."""
    matrix = isinstance(axis, tuple) or (axis is None and x.ndim > 1)
    if ord is not None and matrix:
        raise ValueError("[norm] matrix norms have no op for Tensors; give one axis, or no ord")
    return reduce.norm(x, 2 if ord is None else ord, axis, keepdims)


BY_UFUNC = {getattr(np, name): find(name) for name in UFUNCS} | {np.absolute: elementwise.abs}
BY_FUNCTION = {getattr(np, name): find(name) for name in FUNCTIONS} | {
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.amax: reduce.max,
    np.amin: reduce.min,
    np.broadcast_to: broadcast_to,
    np.linalg.inv: linalg.inv,
    np.linalg.solve: linalg.solve,
    np.linalg.cholesky: linalg.cholesky,
    np.linalg.slogdet: linalg.slogdet,
    np.linalg.norm: _vector_norm,
}


def array(x, dtype=None, copy=None):
    """`np.asarray(t)`: the values outside the graph, read-only unless they are copied."""
    values = x.numpy()
    return np.array(values, dtype=dtype, copy=copy) if copy or dtype is not None else values


def array_ufunc(x, ufunc, method, *inputs, **options):
    """`np.exp(t)`, `array + t`."""
    if method != "__call__" or ufunc not in BY_UFUNC:
        _refuse(ufunc.__name__ + ("" if method == "__call__" else f".{method}"))
    return BY_UFUNC[ufunc](*inputs, **options)


def array_function(x, function, types, args, options):
    """`np.sum(t, axis=0)`, `np.concatenate([t, u])`."""
    if function not in BY_FUNCTION:
        _refuse(function.__name__)
    signature = _signature(function)
    if signature is not None:
        args, options = _by_name(signature, args, options)
    return BY_FUNCTION[function](*args, **options)


def _refuse(name):
    raise TypeError(f"[{name}] np.{name} has no op for Tensors; use .numpy() for the values")


@functools.cache
def _signature(function):
    """The signature of a NumPy function; None for those in C, whose arguments pass unchanged."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return None
    kinds = [p.kind for p in signature.parameters.values()]
    return None if inspect.Parameter.VAR_POSITIONAL in kinds else signature


def _by_name(signature, args, options):
    """The first argument in its place, the others by name where they are not NumPy's defaults.

    NumPy's and our orders of arguments differ behind the first few, their names do not.
    """
    given = signature.bind(*args, **options).arguments
    given |= given.pop("kwargs", {})
    in_place: list = []
    by_name: dict = {}
    for name, value in given.items():
        parameter = signature.parameters.get(name)
        if not in_place or (parameter and parameter.kind is parameter.POSITIONAL_ONLY):
            in_place.append(value)
        elif parameter is None or value is not parameter.default:
            by_name[RENAMED.get(name, name)] = value
    return in_place, by_name
