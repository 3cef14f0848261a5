"""The ops by family, and their attachment to Tensor: operators, methods, NumPy's protocols.

Families from left to right; each imports only from those to its left:

    create  elementwise  shape  reduce  linalg  index  inplace  random  softmax  norm  conv
"""

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor, astype, broadcast_to, op
from tinygrad_like.ops import (
    conv,
    create,
    elementwise,
    index,
    inplace,
    linalg,
    norm,
    random,
    reduce,
    shape,
    softmax,
)

FAMILIES = (create, elementwise, shape, reduce, linalg, index, random, softmax, norm, conv)

# Operators: __add__ and __radd__ and so on.
BINARY = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.power,
    "matmul": linalg.matmul,
    "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or,
    "xor": elementwise.bitwise_xor,
}
OTHER = {
    "eq": elementwise.equal,
    "ne": elementwise.not_equal,
    "lt": elementwise.less,
    "le": elementwise.less_equal,
    "gt": elementwise.greater,
    "ge": elementwise.greater_equal,
    "neg": elementwise.negative,
    "pos": lambda x: x,
    "abs": elementwise.abs,
    "invert": elementwise.invert,
    "getitem": index.getitem,
    "setitem": inplace.setitem,
    "iadd": inplace.iadd,
    "isub": inplace.isub,
    "imul": inplace.imul,
    "itruediv": inplace.itruediv,
    "ipow": inplace.ipow,
}

# Methods of the same name as the op, as NumPy or PyTorch has them.
METHODS = """
    abs exp expm1 log log1p log2 sqrt rsqrt square sin cos tan sinh cosh tanh erf sigmoid relu
    floor ceil round maximum minimum clip sum mean var std max min prod argmax argmin any all
    logsumexp norm cumsum swapaxes moveaxis expand_dims squeeze flatten flip roll repeat tile split
    matmul dot take take_along_axis scatter_add sort argsort topk tril triu softmax log_softmax
""".split()

# NumPy functions that become the op of the same name when they meet a Tensor.
NUMPY_NAMES = """
    add subtract multiply divide power negative abs sign floor ceil round exp expm1 log log1p log2
    sqrt square sin cos tan arcsin arccos arctan sinh cosh tanh maximum minimum clip where
    floor_divide remainder equal not_equal less less_equal greater greater_equal logical_and
    logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor invert isnan isfinite
    isinf sum mean var std max min prod argmax argmin any all cumsum reshape transpose swapaxes
    moveaxis expand_dims squeeze concatenate stack split pad flip roll tile repeat take
    take_along_axis tril triu sort argsort matmul einsum outer dot zeros_like ones_like full_like
""".split()


def find(name):
    """The op of this name, from whichever family has it."""
    return next(getattr(family, name) for family in FAMILIES if hasattr(family, name))


def _vector_norm(x, ord=None, axis=None, keepdims=False):
    return reduce.norm(x, 2 if ord is None else ord, axis, keepdims)


BY_NUMPY = {getattr(np, name): find(name) for name in NUMPY_NAMES} | {
    np.linalg.inv: linalg.inv,
    np.linalg.solve: linalg.solve,
    np.linalg.cholesky: linalg.cholesky,
    np.linalg.slogdet: linalg.slogdet,
    np.linalg.norm: _vector_norm,
    np.broadcast_to: broadcast_to,
}


@op(any_dtype=True, x=lambda g, device, source: to_device(g, device=source, source=device))
def to_device(be, x, *, device, source):
    """A copy of `x` on another device; the gradient goes back to the device of `x`."""
    return backend.get(device).from_host(be.to_host(x))


def to(x, device_or_dtype):
    """`x` on another device (`"cpu"`, `"cuda"`) or in another dtype; itself if nothing changes."""
    if backend.is_device(device_or_dtype):
        target = backend.get(device_or_dtype).device
        return x if x.device == target else to_device(x, device=target, source=x.device)
    try:
        dtype = np.dtype(device_or_dtype)
    except TypeError:
        raise backend.DeviceError(
            f"[to] {device_or_dtype!r} is no dtype and no device, expected 'cpu', 'cuda' or a dtype"
        ) from None
    return x if x.dtype == dtype else astype(x, dtype=dtype)


def _array(x, dtype=None, copy=None):
    """`np.asarray(t)`: the values outside the graph, read-only unless they are copied."""
    array = x.numpy()
    return np.array(array, dtype=dtype, copy=copy) if copy or dtype is not None else array


def _array_ufunc(x, ufunc, method, *inputs, **options):
    if method != "__call__" or ufunc not in BY_NUMPY:
        name = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
        raise TypeError(f"[{name}] np.{name} has no op for Tensors; use .numpy() for the values")
    return BY_NUMPY[ufunc](*inputs, **options)


def _array_function(x, function, types, args, options):
    if function not in BY_NUMPY:
        name = function.__name__
        raise TypeError(f"[{name}] np.{name} has no op for Tensors; use .numpy() for the values")
    return BY_NUMPY[function](*args, **options)


def _swapped(function):
    return lambda a, b: function(b, a)


def _spread(function):
    """A method that takes lengths or axes one by one as well: `x.reshape(2, 3)`."""

    def method(x, *lengths):
        whole = len(lengths) == 1 and (lengths[0] is None or isinstance(lengths[0], (tuple, list)))
        return function(x, *(lengths if whole or not lengths else (lengths,)))

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


def _attach():
    """Give Tensor its operators, methods and protocols."""
    attributes = {f"__{name}__": function for name, function in OTHER.items()}
    for name, function in BINARY.items():
        attributes[f"__{name}__"] = function
        attributes[f"__r{name}__"] = _swapped(function)
    attributes |= {name: find(name) for name in METHODS}
    attributes |= {f.__name__: _spread(f) for f in (shape.reshape, shape.transpose, broadcast_to)}
    attributes |= {
        "T": property(shape.transpose, doc="The tensor with its axes reversed."),
        "astype": astype,
        "to": to,
        "cpu": lambda x: to(x, "cpu"),
        "cuda": lambda x: to(x, "cuda"),
        "__array__": _array,
        "__array_ufunc__": _array_ufunc,
        "__array_function__": _array_function,
        "__dlpack__": lambda x, **options: x.data.__dlpack__(**options),
        "__dlpack_device__": lambda x: x.data.__dlpack_device__(),
    }
    for name, attribute in attributes.items():
        setattr(Tensor, name, attribute)


_attach()
