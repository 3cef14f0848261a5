"""All ops, and their attachment to Tensor: operators, methods, NumPy's protocols.

Families from left to right; each imports only from those to its left:

    create  elementwise  shape  reduce  linalg  index  inplace  random  softmax  norm  conv
"""

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor, astype, broadcast_to, op
from tinygrad_like.ops import inplace
from tinygrad_like.ops.conv import avg_pool2d, conv1d, conv2d, conv_transpose2d, max_pool2d
from tinygrad_like.ops.create import (
    arange,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from tinygrad_like.ops.elementwise import (
    abs,
    add,
    arccos,
    arcsin,
    arctan,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    elu,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    gelu,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    leaky_relu,
    less,
    less_equal,
    log,
    log1p,
    log2,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    relu,
    remainder,
    round,
    rsqrt,
    sigmoid,
    sign,
    silu,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    where,
)
from tinygrad_like.ops.index import (
    argsort,
    embedding,
    getitem,
    one_hot,
    repeat,
    scatter_add,
    sort,
    take,
    take_along_axis,
    topk,
    tril,
    triu,
)
from tinygrad_like.ops.linalg import (
    cholesky,
    dot,
    einsum,
    inv,
    linear,
    matmul,
    outer,
    slogdet,
    solve,
)
from tinygrad_like.ops.norm import batch_norm, group_norm, layer_norm, normalize_channels, rms_norm
from tinygrad_like.ops.random import (
    dropout,
    permutation,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
)
from tinygrad_like.ops.reduce import (
    all,
    any,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from tinygrad_like.ops.shape import (
    concatenate,
    expand_dims,
    flatten,
    flip,
    moveaxis,
    pad,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
)
from tinygrad_like.ops.softmax import log_softmax, logsumexp, softmax, softmax_cross_entropy


def _swapped(function):
    return lambda a, b: function(b, a)


OPERATORS = {
    "__add__": add,
    "__radd__": add,
    "__sub__": subtract,
    "__rsub__": _swapped(subtract),
    "__mul__": multiply,
    "__rmul__": multiply,
    "__truediv__": divide,
    "__rtruediv__": _swapped(divide),
    "__pow__": power,
    "__rpow__": _swapped(power),
    "__matmul__": matmul,
    "__rmatmul__": _swapped(matmul),
    "__neg__": negative,
    "__pos__": lambda x: x,
    "__abs__": abs,
    "__eq__": equal,
    "__ne__": not_equal,
    "__lt__": less,
    "__le__": less_equal,
    "__gt__": greater,
    "__ge__": greater_equal,
    "__floordiv__": floor_divide,
    "__rfloordiv__": _swapped(floor_divide),
    "__mod__": remainder,
    "__rmod__": _swapped(remainder),
    "__and__": bitwise_and,
    "__rand__": bitwise_and,
    "__or__": bitwise_or,
    "__ror__": bitwise_or,
    "__xor__": bitwise_xor,
    "__rxor__": bitwise_xor,
    "__invert__": invert,
    "__getitem__": getitem,
    "__setitem__": inplace.setitem,
    "__iadd__": inplace.iadd,
    "__isub__": inplace.isub,
    "__imul__": inplace.imul,
    "__itruediv__": inplace.itruediv,
    "__ipow__": inplace.ipow,
}

# Ops that are methods under their own name, as NumPy or PyTorch has them.
METHODS = (
    *(abs, exp, expm1, log, log1p, log2, sqrt, rsqrt, square, sin, cos, tan, tanh, erf, sigmoid),
    *(relu, floor, ceil, round, sign, maximum, minimum, clip, power),
    *(sum, mean, var, std, max, min, prod, argmax, argmin, any, all, logsumexp, norm, cumsum),
    *(swapaxes, moveaxis, expand_dims, squeeze, flatten, flip, roll, repeat, tile, split, astype),
    *(matmul, dot, take, take_along_axis, scatter_add, sort, argsort, topk, tril, triu),
    *(softmax, log_softmax),
)


def _spread(function):
    """A method that takes lengths or axes one by one as well: `x.reshape(2, 3)`."""

    def method(x, *lengths):
        single = len(lengths) == 1 and (lengths[0] is None or isinstance(lengths[0], (tuple, list)))
        return function(x, *(lengths if single or not lengths else (lengths,)))

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


@op(any_dtype=True, x=lambda g, device, source: to_device(g, device=source, source=device))
def to_device(be, x, *, device, source):
    """A copy of `x` on another device; the gradient goes back to the device of `x`."""
    return backend.get(device).from_host(be.to_host(x))


def to(x, device_or_dtype):
    """`x` on another device (`"cpu"`, `"cuda"`) or in another dtype; itself if nothing changes."""
    if device_or_dtype in ("cpu", "cuda"):
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
    """`np.asarray(t)`: the values outside the graph; a read-only view unless a copy is asked for."""
    array = x.numpy()
    return np.array(array, dtype=dtype, copy=copy) if copy or dtype is not None else array


# NumPy functions on Tensors become the op of the same name, and are differentiable.
_NUMPY_NAMES = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "negative",
    "abs",
    "absolute",
    "sign",
    "floor",
    "ceil",
    "round",
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sqrt",
    "square",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "maximum",
    "minimum",
    "clip",
    "where",
    "floor_divide",
    "remainder",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "invert",
    "isnan",
    "isfinite",
    "isinf",
    "sum",
    "mean",
    "var",
    "std",
    "max",
    "min",
    "amax",
    "amin",
    "prod",
    "argmax",
    "argmin",
    "any",
    "all",
    "cumsum",
    "reshape",
    "transpose",
    "swapaxes",
    "moveaxis",
    "expand_dims",
    "squeeze",
    "concatenate",
    "stack",
    "split",
    "pad",
    "flip",
    "roll",
    "tile",
    "repeat",
    "broadcast_to",
    "take",
    "take_along_axis",
    "tril",
    "triu",
    "sort",
    "argsort",
    "matmul",
    "einsum",
    "outer",
    "dot",
    "zeros_like",
    "ones_like",
    "full_like",
]
_ALIASES = {"absolute": "abs", "amax": "max", "amin": "min"}
_BY_NUMPY = {getattr(np, name): globals()[_ALIASES.get(name, name)] for name in _NUMPY_NAMES}
_BY_NUMPY |= {
    np.linalg.inv: inv,
    np.linalg.solve: solve,
    np.linalg.cholesky: cholesky,
    np.linalg.slogdet: slogdet,
    np.linalg.norm: lambda x, ord=None, axis=None, keepdims=False: norm(
        x, 2 if ord is None else ord, axis, keepdims
    ),
}


def _array_ufunc(x, ufunc, method, *inputs, **options):
    ours = _BY_NUMPY.get(ufunc) if method == "__call__" else None
    if ours is None:
        raise TypeError(f"[{ufunc.__name__}] np.{ufunc.__name__} ({method}) has no op for Tensors")
    return ours(*inputs, **options)


def _array_function(x, function, types, args, options):
    if function not in _BY_NUMPY:
        raise TypeError(
            f"[{function.__name__}] np.{function.__name__} has no op for Tensors; "
            "use .numpy() for the values, outside the graph"
        )
    return _BY_NUMPY[function](*args, **options)


def _attach():
    for name, function in OPERATORS.items():
        setattr(Tensor, name, function)
    for function in METHODS:
        setattr(Tensor, function.__name__, function)
    Tensor.reshape, Tensor.transpose = _spread(reshape), _spread(transpose)
    Tensor.broadcast_to = _spread(broadcast_to)
    Tensor.T = property(transpose, doc="The tensor with its axes reversed.")
    Tensor.to = to
    Tensor.cpu = lambda x: to(x, "cpu")
    Tensor.cuda = lambda x: to(x, "cuda")
    Tensor.__array__ = _array
    Tensor.__array_ufunc__ = _array_ufunc
    Tensor.__array_function__ = _array_function
    Tensor.__dlpack__ = lambda x, **options: x.data.__dlpack__(**options)
    Tensor.__dlpack_device__ = lambda x: x.data.__dlpack_device__()


_attach()
