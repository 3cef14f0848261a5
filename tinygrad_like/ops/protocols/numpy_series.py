"""Series and polynomials by NumPy's names: `np.linspace(t, u)`, `np.convolve(t, v)`, `np.polyfit`.

Each is composed of ops, and called by the protocol alone. Polynomials are rows of coefficients,
that of the highest power first.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    astype,
    backend_of,
    check_choice,
    check_flag,
    check_integer,
    composed,
    conj,
    real,
)
from tinygrad_like.ops.arrays.shape import (
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    normal_axis,
    reshape,
    slice_at,
)
from tinygrad_like.ops.elements.arithmetic import lerp
from tinygrad_like.ops.elements.compare import equal, greater, less, logical_and
from tinygrad_like.ops.elements.complex import complex, imag
from tinygrad_like.ops.elements.elementwise import (
    abs,
    exp,
    floor,
    floor_divide,
    log,
    power,
    sign,
    sqrt,
    where,
)
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.matrices.matrix_functions import lstsq
from tinygrad_like.ops.protocols.numpy_names import vander
from tinygrad_like.ops.reductions.reduce import any, cumsum, sum
from tinygrad_like.ops.samples.order import as_array
from tinygrad_like.ops.samples.statistics import diff
from tinygrad_like.ops.signals.convolve import convolve as convolve_reals

# Numbers between two


def _both(start, stop):
    """Two ends as inexact arrays on one device; a number in the dtype of the other one."""
    beside = stop if np.isscalar(start) else start
    dtype = beside.dtype if beside.dtype.kind in INEXACT else np.float32
    of_number = backend_of(beside).from_host
    ends = [
        of_number(np.asarray(x, dtype)) if np.isscalar(x) else as_array(x, beside)
        for x in (start, stop)
    ]
    return [x if x.dtype.kind in INEXACT else astype(x, dtype=np.float32) for x in ends]


def _spaced(name, start, stop, num, endpoint, axis, between):
    """`num` values of `between(start, stop, share)`, shares from 0 to 1, along a new axis."""
    num, endpoint = check_integer(name, "num", num, 0), check_flag(name, "endpoint", endpoint)
    start, stop = _both(start, stop)
    ndim = max(start.ndim, stop.ndim)
    shares = np.arange(num) / max(num - 1 if endpoint else num, 1)
    be, dtype = backend_of(start), np.finfo(np.result_type(start.dtype, stop.dtype)).dtype
    shares = be.from_host(shares.astype(dtype).reshape(-1, *(1,) * ndim))
    y = between(start, stop, shares)
    return moveaxis(y, 0, axis)


def _in_dtype(y, dtype):
    """In a dtype if one is asked for; an integer one has what is below."""
    if dtype is None:
        return y
    return astype(y if np.dtype(dtype).kind in INEXACT else floor(y), dtype=dtype)


@composed
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` numbers evenly spaced from `start` to `stop`, along a new axis of these tensors.

    Without `endpoint` the last one is a step before `stop`; with `retstep` that step comes as well.
    """
    y = _in_dtype(_spaced("linspace", start, stop, num, endpoint, axis, lerp), dtype)
    if not check_flag("linspace", "retstep", retstep):
        return y
    start, stop = _both(start, stop)
    pieces = num - 1 if endpoint else num
    return y, (stop - start) / pieces if pieces > 0 else (stop - start) * math.nan


@composed
def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    """The powers of `base` with the exponents of `linspace`."""
    y = power(base, _spaced("logspace", start, stop, num, endpoint, axis, lerp))
    return _in_dtype(y, dtype)


def _in_ratio(start, stop, share):
    return sign(start) * exp(lerp(log(abs(start)), log(stop * sign(start)), share))


@composed
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """`num` numbers from `start` to `stop`, each the same multiple of the one before.

    Raises ValueError for an end of 0, and for ends of two signs.
    """
    a, b = _both(start, stop)
    if any(less(sign(a) * sign(b), 1)).item():
        raise ValueError("[geomspace] the ends are 0, or have two signs: there is no ratio")
    return _in_dtype(_spaced("geomspace", a, b, num, endpoint, axis, _in_ratio), dtype)


@composed
def unwrap(p, discont=None, axis=-1, period=2 * math.pi):
    """Angles without jumps: multiples of `period` are added where neighbours differ by half of it.

    Jumps below `discont` stay. The gradient is that of adding constants: 1.
    """
    axis = normal_axis("unwrap", axis, p.ndim)
    step, half = diff(p, axis=axis), period / 2
    beyond, within = floor_divide(step + half, period), (step + half) % period - half
    ties = logical_and(equal(within, -half), greater(step, 0))  # a rise by half of it stays
    least = half if discont is None or discont < half else discont
    jumps = where(less(abs(step), least), 0, period * (where(ties, 1, 0) - beyond))
    first, rest = p[slice_at(axis, 0, 1)], p[slice_at(axis, 1, p.shape[axis])]
    return concatenate([first, rest + cumsum(jumps, axis=axis)], axis)


# Convolutions of rows


def _rows(name, a, v):
    """Two rows of numbers, the sequences as arrays."""
    beside = a if hasattr(a, "dtype") else v
    a, v = as_array(a, beside), as_array(v, beside)
    a, v = (reshape(x, (1,)) if x.ndim == 0 else x for x in (a, v))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ValueError(f"[{name}] got {a.shape} and {v.shape}, expected two rows of numbers")
    return a, v


def _convolved(a, v, mode):
    """The convolution of two rows of which the first is at least as long; by parts of complex ones.

    `tg.signal.convolve` knows real numbers.
    """
    if "c" not in a.dtype.kind + v.dtype.kind:
        return convolve_reals(a, v, mode)
    (a, b), (v, w) = ((real(x), imag(x)) for x in (a, v))
    products = [convolve_reals(x, y, mode) for x, y in ((a, v), (b, w), (a, w), (b, v))]
    return complex(products[0] - products[1], products[2] + products[3])


@composed
def convolve(a, v, mode="full"):
    """The convolution of two rows: `tg.signal.convolve`; "same" is as long as the longer one."""
    check_choice("convolve", "mode", mode, ("full", "same", "valid"))
    a, v = _rows("convolve", a, v)
    return _convolved(*((a, v) if len(a) >= len(v) else (v, a)), mode)


@composed
def correlate(a, v, mode="valid"):
    """Sums over n of a[n + k] conj(v[n]), for all shifts k at which `mode` wants them."""
    check_choice("correlate", "mode", mode, ("full", "same", "valid"))
    a, v = _rows("correlate", a, v)
    v = conj(v) if v.dtype.kind == "c" else v
    if len(a) >= len(v):
        return _convolved(a, flip(v, axis=0), mode)
    return flip(_convolved(v, flip(a, axis=0), mode), axis=0)


# Polynomials


def _of_one_length(name, a, b):
    """Two polynomials with as many coefficients, zeros in front of the shorter one."""
    a, b = _rows(name, a, b)
    n = max(len(a), len(b))
    return [pad(x, ((n - len(x), 0),)) for x in (a, b)]


@composed
def polyadd(a1, a2):
    """The sum of two polynomials."""
    a, b = _of_one_length("polyadd", a1, a2)
    return a + b


@composed
def polysub(a1, a2):
    """The difference of two polynomials."""
    a, b = _of_one_length("polysub", a1, a2)
    return a - b


@composed
def polymul(a1, a2):
    """The product of two polynomials."""
    return convolve(a1, a2)


def _powers(p):
    """n, ..., 1 for a row of n coefficients, in their dtype or as integers."""
    dtype = p.dtype if p.dtype.kind in INEXACT else np.int64
    return backend_of(p).from_host(np.arange(len(p), 0, -1, dtype=dtype))


@composed
def polyder(p, m=1):
    """The m-th derivative of a polynomial."""
    for _ in range(check_integer("polyder", "m", m, 0)):
        p = p[:-1] * _powers(p[:-1])
    return p


@composed
def polyint(p, m=1, k=None):
    """The m-th integral of a polynomial; `k` has the constants, one for each integration, or one.

    Without `k` they are 0.
    """
    m = check_integer("polyint", "m", m, 0)
    k = reshape(as_array(0.0 if k is None else k, p), (-1,))
    if len(k) not in (1, m):
        raise ValueError(f"[polyint] k has {len(k)} constants, expected 1 or {m}")
    for i in range(m):
        q = p / _powers(p)
        constant = k[min(i, len(k) - 1)]
        p = concatenate([q, reshape(astype(constant, dtype=q.dtype), (1,))], 0)
    return p


@composed
def polyfit(x, y, deg, rcond=None, w=None):
    """The coefficients of the polynomial of degree `deg` nearest to the points, by least squares.

    Differentiable in `x`, in `y` (n,) or (n, k), and in the weights `w` of the errors. Raises
    ValueError for shapes that do not fit.
    """
    deg = check_integer("polyfit", "deg", deg, 0)
    x, y = (astype(a, dtype=np.float32) if a.dtype.kind not in INEXACT else a
            for a in (as_array(x, y), as_array(y, x)))  # fmt: skip
    if x.ndim != 1 or y.ndim not in (1, 2) or not x.size or y.shape[0] != x.size:
        raise ValueError(f"[polyfit] x is {x.shape}, y is {y.shape}, expected (n,) and (n[, k])")
    powers, y_columns = vander(x, deg + 1), reshape(y, (x.size, -1))
    if w is not None:
        w = expand_dims(as_array(w, x), 1)
        powers, y_columns = powers * w, y_columns * w
    scale = sqrt(sum(powers * powers, axis=0))
    rcond = x.size * float(np.finfo(x.dtype).eps) if rcond is None else rcond
    c = lstsq(powers / scale, y_columns, rcond)[0] / expand_dims(scale, 1)
    return c if y.ndim > 1 else c[:, 0]
