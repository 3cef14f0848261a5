"""NumPy's functions of Tensors: the op of the same name, or one of the files numpy_*.py.

    np.exp(t)   np.concatenate([t, u])   np.sum(t, axis=0)   array * t

They are differentiable. For everything else NumPy needs the values: a function without an op, an
argument that the op does not know (`out`). It gets them as arrays as long as no gradient is being
recorded, see protocol.py. LEFT_OUT.md has the functions without an op, and why.
"""

import functools
import inspect

import numpy as np

from tinygrad_like.engine import Tensor, astype, broadcast_to, mode
from tinygrad_like.engine.containers import tensors_in
from tinygrad_like.ops.arrays import create, shape
from tinygrad_like.ops.elements import arithmetic, elementwise, transcendental
from tinygrad_like.ops.indexing import index, padding
from tinygrad_like.ops.matrices import (
    decompositions,
    diagonal,
    eigen,
    linalg,
    matrix_functions,
    measures,
    systems,
)
from tinygrad_like.ops.neural import patches, softmax
from tinygrad_like.ops.protocols import numpy_names, numpy_options, numpy_places, numpy_series
from tinygrad_like.ops.protocols.families import CURE, find
from tinygrad_like.ops.reductions import reduce, scan
from tinygrad_like.ops.samples import statistics
from tinygrad_like.ops.signals import fft

UFUNCS = """
    add subtract multiply divide power negative sign floor ceil exp expm1 log log1p log2 sqrt
    square sin cos tan arcsin arccos arctan sinh cosh tanh maximum minimum floor_divide remainder
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
    logical_not bitwise_and bitwise_or bitwise_xor invert isnan isfinite isinf matmul conj
    bitwise_left_shift bitwise_right_shift positive trunc signbit copysign heaviside fmod reciprocal
    float_power ldexp gcd lcm arctan2 hypot deg2rad rad2deg exp2 log10 cbrt logaddexp logaddexp2
    arcsinh arccosh arctanh fmax fmin
""".split()
FUNCTIONS = """
    allclose nan_to_num sinc clip isclose sum mean var std max min prod argmax argmin any all cumsum
    reshape transpose
    swapaxes moveaxis expand_dims squeeze concatenate stack split pad flip roll tile repeat take
    take_along_axis tril triu sort argsort einsum outer dot round zeros_like ones_like full_like
    nonzero argwhere copy real imag angle isreal iscomplex cumprod quantile percentile median
    nanquantile nanpercentile nanmedian nancumsum nancumprod unique searchsorted digitize bincount
    histogram interp ptp count_nonzero
    average nansum nanprod nanmean nanvar nanstd nanmax nanmin diff trapezoid cov corrcoef trace
    diagonal diag diagflat kron tensordot vdot inner cross vstack hstack dstack column_stack append
    block broadcast_arrays meshgrid array_split hsplit vsplit dsplit rot90 delete insert select
    piecewise atleast_1d atleast_2d atleast_3d
""".split()
FURTHER = """
    real_if_close matrix_transpose cumulative_sum cumulative_prod ediff1d polyval vander
""".split()  # of numpy_names.py
SERIES = """
    linspace logspace geomspace unwrap convolve correlate polyadd polysub polymul polyder polyint
    polyfit
""".split()
PLACES = """
    flatnonzero extract compress choose resize trim_zeros nanargmax nanargmin lexsort isposinf
    isneginf array_equal array_equiv isin union1d intersect1d setdiff1d setxor1d apply_along_axis
    apply_over_axes
""".split()
OPTIONS = """
    sum prod max min any all mean var std nansum nanprod nanmean nanvar nanstd cumsum
    cumprod nancumsum nancumprod trace sort argsort reshape ravel copy
""".split()
FOURIER = [name for name in fft.__all__ if not name.endswith("freq")]  # of np.fft
OPERANDS = frozenset(("b", "min", "max"))  # arguments of ops that NumPy takes as lists, too
RENAMED = {"a_min": "min", "a_max": "max", "constant_values": "value"}


# Functions of any number of arrays, which NumPy takes as lists, too.
OF_TENSORS = {
    *(np.broadcast_arrays, np.meshgrid, np.atleast_1d, np.atleast_2d, np.atleast_3d),
}


def _pad(x, pad_width, mode="constant", value=0, **options):
    """np.pad: the op, if it has the mode, else NumPy's function on the values."""
    if mode in padding.MODES and not options:
        return padding.pad(x, pad_width, mode, value)
    if mode == "constant":
        options["constant_values"] = value
    return _by_numpy(np.pad, "pad", f"with mode={mode!r}", (x, pad_width, mode), options)


def _where(condition, *choices):
    """np.where; with a condition alone it gives the indices where that is true."""
    return elementwise.where(condition, *choices) if choices else index.nonzero(condition)


def _rollaxis(x, axis, start=0):
    """np.rollaxis: an axis moved before the place `start`."""
    axis = shape.normal_axis("rollaxis", axis, x.ndim)
    start = start + x.ndim if start < 0 else start
    return shape.moveaxis(x, axis, start - (axis < start))


BY_UFUNC = {getattr(np, name): find(name) for name in UFUNCS} | {
    np.absolute: elementwise.abs,
    np.fabs: elementwise.abs,
    np.radians: transcendental.deg2rad,
    np.degrees: transcendental.rad2deg,
    np.divmod: numpy_names.divmod,
    np.modf: numpy_names.modf,
    np.rint: numpy_names.rint,
    np.vecdot: numpy_names.vecdot,
    np.frexp: arithmetic.frexp,
}
BY_FUNCTION = {getattr(np, name): find(name) for name in FUNCTIONS} | {
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x, axis=None: x.size if axis is None else x.shape[axis],
    np.where: _where,
    np.fix: arithmetic.trunc,
    np.amax: reduce.max,
    np.amin: reduce.min,
    np.broadcast_to: broadcast_to,
    np.linalg.vector_norm: reduce.norm,
    np.linalg.eig: eigen.eig,
    np.linalg.eigvals: eigen.eigvals,
    np.pad: _pad,
    np.gradient: statistics.gradient,
    np.lib.stride_tricks.sliding_window_view: patches.sliding_window_view,
    np.around: elementwise.round,
    np.concatenate: numpy_names.joined,
    np.einsum: numpy_names.einsum_in_any_order,
    np.linalg.trace: numpy_names.matrix_trace,
    np.linalg.diagonal: numpy_names.matrix_diagonal,
    np.linalg.outer: linalg.outer,
    np.linalg.cross: diagonal.cross,
    np.linalg.matmul: linalg.matmul,
    np.linalg.tensordot: diagonal.tensordot,
    np.linalg.vecdot: numpy_names.vecdot,
    np.linalg.matrix_transpose: numpy_names.matrix_transpose,
    **{getattr(np, name): getattr(numpy_names, name) for name in FURTHER if hasattr(np, name)},
    **{getattr(np, name): getattr(numpy_series, name) for name in SERIES},
    **{getattr(np, name): getattr(numpy_places, name) for name in PLACES},
    np.empty_like: create.zeros_like,
    np.linalg.tensorinv: numpy_names.tensorinv,
    np.linalg.tensorsolve: numpy_names.tensorsolve,
    np.fliplr: lambda x: shape.flip(x, axis=1),
    np.flipud: lambda x: shape.flip(x, axis=0),
    np.ravel: numpy_names.ravel,
    np.rollaxis: _rollaxis,
    np.partition: lambda x, kth, axis=-1: index.sort(x, axis),  # where every element is in place
    np.argpartition: lambda x, kth, axis=-1: index.argsort(x, axis),
    **{getattr(np.fft, name): getattr(fft, name) for name in FOURIER},
}
if hasattr(np, "matvec"):  # since NumPy 2.2
    BY_UFUNC |= {np.matvec: numpy_names.matvec, np.vecmat: numpy_names.vecmat}
if hasattr(np, "unstack"):  # since NumPy 2.1
    BY_FUNCTION |= {np.unstack: shape.unbind, np.astype: lambda x, dtype: astype(x, dtype=dtype)}
BY_FUNCTION |= {
    getattr(np.linalg, name): getattr(family, name)
    for family, names in (
        (linalg, "inv slogdet"),
        (systems, "solve cholesky"),
        (decompositions, "eigh eigvalsh svd svdvals qr"),
        (measures, "det norm matrix_norm cond matrix_rank"),
        (matrix_functions, "pinv lstsq matrix_power multi_dot"),
    )
    for name in names.split()
}


# The op to call where a function is given options that the one in BY_FUNCTION does not know.
WITH_OPTIONS = {getattr(np, name): getattr(numpy_options, name) for name in OPTIONS} | {
    np.amax: numpy_options.max,
    np.amin: numpy_options.min,
}

# The methods of ufuncs: `np.add.reduce(t)`, `np.multiply.accumulate(t)`.
REDUCTIONS = {
    np.add: numpy_options.sum,
    np.multiply: numpy_options.prod,
    np.maximum: numpy_options.max,
    np.minimum: numpy_options.min,
    np.logical_and: numpy_options.all,
    np.logical_or: numpy_options.any,
    np.logaddexp: softmax.logsumexp,
}
RUNNING = {
    np.add: numpy_options.cumsum,
    np.multiply: numpy_options.cumprod,
    np.maximum: numpy_options.cummax,
    np.minimum: numpy_options.cummin,
    np.logaddexp: scan.logcumsumexp,
}

# Functions that write into their first argument, and what to do instead.
WRITING = {
    np.copyto: "t[...] = values",
    np.put: "t.ravel()[indices] = values, or tg.scatter",
    np.put_along_axis: "tg.scatter(t, indices, values, axis)",
    np.place: "t[mask] = values, or tg.masked_scatter",
    np.putmask: "t[mask] = values, or tg.masked_fill",
    np.fill_diagonal: "t[i, i] = values, or tg.where(tg.eye(n) == 1, values, t)",
}

# Functions whose result depends on shapes, dtypes and addresses alone, or is text to read.
WITHOUT_VALUES = {
    getattr(np, name)
    for name in (
        "result_type can_cast iscomplexobj isrealobj may_share_memory shares_memory array_repr "
        "array_str array2string tril_indices_from triu_indices_from diag_indices_from common_type "
        "einsum_path"
    ).split()
}


def array_ufunc(ufunc, method, inputs, options):
    """`np.exp(t)`, `array + t`, `np.add.reduce(t)`; by NumPy, on the values, `array += t`."""
    lists = any(isinstance(x, (list, tuple)) for x in inputs)
    if not options and method == "__call__" and ufunc in BY_UFUNC and not lists:
        return BY_UFUNC[ufunc](*inputs)
    name = ufunc.__name__
    if method == "at" and isinstance(inputs[0], Tensor):  # NumPy would write into its values
        raise TypeError(f"[{name}.at] cannot write into a Tensor; use tg.scatter_add")
    if method != "__call__":
        op = None if lists else _method_of(ufunc, method)
        if op and not _unknown(op, options):
            return op(*inputs, **options)
        return _by_numpy(getattr(ufunc, method), f"{name}.{method}", "", inputs, options)
    what = f"with {', '.join(options)}=" if ufunc in BY_UFUNC and options else ""
    what = "with a list" if lists else what
    return _by_numpy(ufunc, name, what, inputs, options)


@functools.cache
def _method_of(ufunc, method):
    """The op that is a method of a ufunc; None if there is none."""
    if method == "outer" and ufunc in BY_UFUNC and ufunc.nin == 2:
        return numpy_options.outer_of(BY_UFUNC[ufunc])
    op = {"reduce": REDUCTIONS, "accumulate": RUNNING}.get(method, {}).get(ufunc)
    return op and numpy_options.along_first_axis(op)


def array_function(function, args, options):
    """`np.sum(t, axis=0)`, `np.concatenate([t, u])`; by NumPy, on the values, `np.spacing(t)`."""
    if function not in BY_FUNCTION:
        if function in WRITING and isinstance(args[0] if args else None, Tensor):
            name, cure = function.__name__, WRITING[function]
            raise TypeError(f"[{name}] NumPy cannot write into a Tensor t; use {cure}")
        return _by_numpy(function, function.__name__, "", args, options)
    op, signature = BY_FUNCTION[function], _signature(function)
    in_place, by_name = args, options
    if signature is not None:
        in_place, by_name = _by_name(signature, args, options)
    elif function in OF_TENSORS and any(isinstance(a, (list, tuple)) for a in args):
        return _by_numpy(function, function.__name__, "with a list", args, options)
    if _unknown(op, by_name):
        op = WITH_OPTIONS.get(function, op)
    unknown = _unknown(op, by_name)
    lists = [n for n in OPERANDS & by_name.keys() if isinstance(by_name[n], (list, tuple))]
    if unknown or lists:
        what = f"with {', '.join(unknown)}=" if unknown else f"with a list as {lists[0]}"
        return _by_numpy(function, function.__name__, what, args, options)
    return op(*in_place, **by_name)


def _by_numpy(function, name, what, args, options):
    """A function of NumPy on the values, refused if the gradient of one of them is recorded.

    `what` says which of its uses this is, for the message.
    """
    if tensors_in(options.get("out")):
        raise TypeError(
            f"[{name}] out is a Tensor, expected an array; assign the result: t[...] = {name}(...)"
        )
    recorded = any(t.node is not None for t in tensors_in((args, options)))
    if recorded and mode.grad and function not in WITHOUT_VALUES:
        raise TypeError(
            f"[{name}]{what and ' ' + what} has no op for Tensors, and NumPy, which sees values "
            f"alone, would lose the gradient of one that is recorded; {CURE}"
        )
    return function(*_values_of(args), **_values_of(options))


def _values_of(x):
    """An argument with the arrays of its Tensors in their places."""
    if isinstance(x, Tensor):
        return x.numpy()
    if type(x) in (list, tuple):
        return type(x)(map(_values_of, x))
    return {k: _values_of(v) for k, v in x.items()} if type(x) is dict else x


def _unknown(op, options):
    """The options that an op does not take."""
    names, takes_any = _names(op)
    return () if takes_any else options.keys() - names


@functools.cache
def _names(op):
    """(the names of an op's arguments, whether it takes any other as well)."""
    parameters = inspect.signature(op).parameters
    kinds = [p.kind for p in parameters.values()]
    return frozenset(parameters), inspect.Parameter.VAR_KEYWORD in kinds


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

    NumPy's order of arguments differs from ours after the first few, their names do not.
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
