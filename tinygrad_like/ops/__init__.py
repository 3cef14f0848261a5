"""The ops by family, and their attachment to Tensor: operators, methods, NumPy's protocols.

Rooms from the ground up; each imports only from those before it, and in each a file from those that
stand to its left:

    arrays      create shape
    elements    compare elementwise special activation complex transcendental arithmetic
    indexing    places lines index inplace arrange repetition window padding
    reductions  reduce scan scatter
    matrices    linalg diagonal systems decompositions measures matrix_functions eigen lengths
    samples     order ranks quantiles statistics random
    signals     fft spectrogram convolve
    neural      softmax ctc norm conv conv_nd resize sampling pool pool_nd unpool patches recurrent
                attention bag experts
    protocols   notebook families numpy_names numpy_series numpy_places numpy_options
                numpy_functions protocol sharing

At kinks and ties the gradient is that of this table, which tests/ops/test_ties.py holds. At poles
and infinities (log, sqrt and x / 0, arcsin at 1, 0 ** -1) it is what the formula gives, inf or NaN,
as in PyTorch; tests/ops/test_singular.py has the exceptions:

    abs, norm at 0; relu at 0       0; so l1, i0e, lp_pool, pairwise_distance,
                                    cdist, pdist
    leaky_relu, elu at 0            that of the left side
    prelu, celu, selu at 0          that of the left side
    abs, sign, angle at 0 + 0i      0, of the first order; norm, std and powers as of real numbers
    angle of real numbers           0 everywhere
    frexp                           that of a constant exponent, also at powers of 2
    clip at a bound                 1, as inside; so grid_sample at the border
    hardtanh, relu6, hardsigmoid    at a bound 0, as outside; as PyTorch's
    hardshrink, softshrink          at +-lambd 0; threshold at the threshold 0
    floor, ceil, round, trunc, sign 0 everywhere
    copysign at 0, of the sign      0; nan_to_num of what it replaces: 0
    maximum, minimum at a tie       half to each
    maximum, minimum of NaN         all to both
    std of one number               0, of every order
    fmax, fmin                      at a tie half to each; of a NaN and a number all to the number
    relu, clip of NaN               0
    max, min of tied elements       equal shares to each; of NaN to the NaN, as PyTorch's
    std of equal numbers, of one    0, as PyTorch's; the second derivatives of std and norm: NaN
    max_pool of tied elements       all to the first in reading order, of NaN to the first one
    embedding_bag "max"             equal shares to each
    sort, topk of equal elements    they keep their order (stable)
    median, quantile, kthvalue      all to those that stand there in a stable order; a quantile
                                    between two elements has their weights
    cummax, cummin of equals        all to the latest one, as PyTorch's
    unique, mode of equals          all to the first one
    scatter to one place            assigned: all to the last one; amax, amin: equal shares
    cumprod, scatter "prod"         the product of the other elements, with zeros, too
    interp at a point               the slope of the piece on its right, at the end on its left
    nanstd of equal numbers         0; nanmax, nanprod, nanmedian: as without NaN
    unwrap                          1, also where it adds a multiple of the period
    power(x, 0)                     0, also at x = 0, infinity and NaN; by both x and the exponent
                                    1 / x, where its powers are finite, else 0
    power, of its exponent          0 at 0 ** 0 and where the power is 0: 0 ** 2, inf ** -1;
                                    -inf at 0 ** -1; NaN for negative bases
    prod with zeros                 the product of the other elements
    losses: hinge at its margin     0, as relu's; of an infinite loss with the share 0: 0
    binary_cross_entropy            0 where its logarithm is cut off
    cosine_similarity of 0          of a norm that eps stands for: that of the scalar product
    wasserstein of equal values     that of the order in which those of u come first
    log-probabilities at x = 0      0 with respect to x where log(p) is infinite
    hypot, arctan2 at the origin    0, as norm; the second derivatives: NaN
    logaddexp of equal infinities   half to each; logaddexp2, too
    logsumexp of -inf alone         0, and logcumsumexp
    xlogy where x is 0              of x: 0 if y is not positive; of y: 0 at y = 0; so xlog1py
    rel_entr, kl_div at (0, 0)      of x: 0; of y: that from the right, 0 and 1

Of matrices, where tests/ops/test_linalg.py holds it:

    norm of order below 1, at 0     0; of a negative order, if an element is 0: 0 everywhere
    equal eigen-, singular values   alone: that of the vectors that were found, right for losses
                                    that treat them alike; 2nd derivatives: NaN
    vectors of equal values         what does not change as they turn, without the values: right (a
                                    projector on their space, the polar factor); else inf or NaN
    vectors and values, equal ones  NaN where the derivative is lost in rounding errors
    svd: vectors of values of 0     right if they do not count, else inf or NaN
    phases of complex vectors       NaN if the loss depends on them (test_complex_linalg.py)
    svd: the rest of full_matrices  right if it counts as a space only, else NaN
    matrix_norm                     ties as in max and min; "nuc" 0 at singular values of 0
    det of a singular matrix        its cofactors; 2nd derivatives: right to rank n - 1, else NaN,
                                    and of complex ones NaN
    pinv, lstsq                     that of matrices of one rank
    qr, lu, sqrtm, singular         ValueError: the factors do not determine it
    slogdet, inv, solve, singular   ValueError: log(0) has no slope; `det` has one
"""

import functools

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import (
    METHODS,
    Operators,
    Tensor,
    astype,
    backward,
    broadcast_to,
    by_element,
    complete,
    op,
)
from tinygrad_like.ops.arrays import create, shape
from tinygrad_like.ops.elements import activation, arithmetic, compare, complex, elementwise
from tinygrad_like.ops.indexing import arrange, index, inplace, padding
from tinygrad_like.ops.matrices import diagonal, eigen, linalg
from tinygrad_like.ops.neural import (
    attention,
    bag,
    conv,
    conv_nd,
    ctc,
    experts,
    norm,
    patches,
    pool,
    pool_nd,
    recurrent,
    resize,
    softmax,
)
from tinygrad_like.ops.protocols import families, notebook, numpy_names, protocol, sharing
from tinygrad_like.ops.reductions import reduce, scan, scatter
from tinygrad_like.ops.samples import order, quantiles, random, statistics
from tinygrad_like.ops.signals import fft

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
    "and": compare.bitwise_and,
    "or": compare.bitwise_or,
    "xor": compare.bitwise_xor,
    "lshift": arithmetic.bitwise_left_shift,
    "rshift": arithmetic.bitwise_right_shift,
}


def _unless_none(compare_with, answer):
    """A comparison that answers for None at once, as PyTorch's: `t == None` is no mistake."""

    @functools.wraps(compare_with)
    def method(x, other):
        return answer if other is None else compare_with(x, other)

    return method


OTHER = {
    "eq": _unless_none(compare.equal, False),
    "ne": _unless_none(compare.not_equal, True),
    "lt": compare.less,
    "le": compare.less_equal,
    "gt": compare.greater,
    "ge": compare.greater_equal,
    "pos": lambda x: x,
    "abs": elementwise.abs,
    "invert": compare.invert,
    "divmod": numpy_names.divmod,
    "rdivmod": lambda x, other: numpy_names.divmod(other, x),
    "float": protocol.as_float,
    "int": protocol.as_int,
    "complex": protocol.as_complex,
    "getitem": index.getitem,
    "iter": index.iterate,
    "round": lambda x, ndigits=None: elementwise.round(x, decimals=ndigits or 0),
    "setitem": inplace.setitem,
    "iadd": inplace.iadd,
    "isub": inplace.isub,
    "imul": inplace.imul,
    "itruediv": inplace.itruediv,
    "ipow": inplace.ipow,
}


@op(
    complex=True,
    any_dtype=True,
    batch=by_element,
    x=lambda g, device, source: to_device(g, device=source, source=device),
)
def to_device(be, x, *, device, source):
    """A copy of `x` on another device; the gradient goes back to the device of `x`."""
    moved = backend.get(device).from_host(be.to_host(x))
    return moved.copy() if moved is x else moved


def to(x, device_or_dtype):
    """`x` on another device or in another dtype; itself if nothing changes."""
    if backend.is_device(device_or_dtype):
        target = backend.get(device_or_dtype).device
        return x if x.device == target else to_device(x, device=target, source=x.device)
    try:
        if device_or_dtype is None:  # which NumPy takes for float64
            raise TypeError
        dtype = np.dtype(device_or_dtype)
    except TypeError:
        raise backend.DeviceError(
            f"[to] {device_or_dtype!r} is no dtype and no device, expected 'cpu', 'cuda', "
            "'cuda-emulator' or a dtype"
        ) from None
    return x if x.dtype == dtype else astype(x, dtype=dtype)


def _to_named_device(x, device, stream=None):
    """The array API's `x.to_device(device)`; a stream is CuPy's current one, not an argument."""
    if stream is not None:
        raise ValueError(f"[to_device] stream is {stream!r}, expected None: CuPy's current one")
    return to(x, backend.get(device).device)


def _method(function):
    """An op as a method: the short path of one Tensor, if there can be no attributes."""
    definition = getattr(function, "op", None)
    short = definition is not None and len(definition.inputs) == 1 and not definition.attributes
    return function.operator if short else function


def _swapped(function):
    return lambda a, b: function(b, a)


def _spread(function):
    """A method that takes lengths or axes one by one as well: `x.reshape(2, 3)`."""

    def method(x, *lengths):
        whole = len(lengths) == 1 and (lengths[0] is None or isinstance(lengths[0], (tuple, list)))
        return function(x, *(lengths if whole or not lengths else (lengths,)))

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


def _transposed_matrices(x):
    if x.ndim < 2:
        raise ValueError(f"[mT] x is {x.shape}, expected matrices (..., n, m)")
    return shape.swapaxes(x, -1, -2)


def _conjugate_transposed(x):
    return complex.conj(_transposed_matrices(x))


def _functions():
    """The functions of Tensor's operators, methods and protocols, by name, see engine/methods.py.

    A name without an entry here is the op of the same name.
    """
    functions = {f"__{name}__": function for name, function in OTHER.items()}
    functions["__neg__"] = elementwise.negative.operator
    for name, function in BINARY.items():
        functions[f"__{name}__"] = function.operator
        functions[f"__r{name}__"] = _swapped(function)
    functions |= {f.__name__: _spread(f) for f in (shape.reshape, shape.transpose, broadcast_to)}
    functions |= {
        "backward": backward,
        "clone": _method(shape.copy),  # as PyTorch calls it
        "T": property(shape.reversed_axes, doc="The tensor with its axes reversed."),
        "mT": property(_transposed_matrices, doc="Matrices (..., n, m), transposed."),
        "H": property(_conjugate_transposed, doc="Matrices, transposed, and their conjugates."),
        "real": property(complex.real.operator, doc="The real part, a copy."),
        "imag": property(complex.imag.operator, doc="The imaginary part, a copy."),
        "ravel": numpy_names.ravel,
        "astype": astype,
        "to": to,
        "to_device": _to_named_device,
        "cpu": lambda x: to(x, "cpu"),
        "cuda": lambda x: to(x, "cuda"),
        "graph": notebook.graph,
        "_repr_html_": notebook.html,
        "__array__": protocol.array,
        "__array_ufunc__": protocol.array_ufunc,
        "__array_function__": protocol.array_function,
        "__array_namespace__": sharing.array_namespace,
        "__dlpack__": sharing.dlpack,
        "__dlpack_device__": sharing.dlpack_device,
    }
    same = [name for name in METHODS if name not in functions]
    return functions | {name: _method(families.find(name)) for name in same}


functions = _functions()
for cls in (Tensor, Operators):
    complete(cls, functions)
