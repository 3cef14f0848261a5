"""Statistics and differences, composed of other ops; those named nan... leave out the NaN.

They have NumPy's arguments. Where only NaN is left, the result is NaN (0 for nansum, 1 for
nanprod), without a warning.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    Tensor,
    all_examples,
    astype,
    backend_of,
    broadcast_to,
    check_flag,
    check_integer,
    composed,
    conj,
    real,
)
from tinygrad_like.ops.arrays.shape import (
    concatenate,
    expand_dims,
    normal_axes,
    normal_axis,
    reshape,
    slice_at,
)
from tinygrad_like.ops.elements.compare import (
    equal,
    greater,
    isnan,
    logical_and,
    logical_not,
    not_equal,
)
from tinygrad_like.ops.elements.complex import complex, imag
from tinygrad_like.ops.elements.elementwise import clip, sqrt, where, zeros_of
from tinygrad_like.ops.matrices.diagonal import diagonal
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.reductions.reduce import (
    all,
    cumsum,
    max,
    mean,
    min,
    prod,
    reduction_of,
    std,
    sum,
    var,
)


@composed
def ptp(x, axis=None, keepdims=False):
    """The maximum less the minimum ("peak to peak") along an axis, several, or all.

    >>> import tinygrad_like as tg
    >>> tg.ptp(tg.Tensor([[1.0, 4.0], [7.0, 2.0]]), axis=1).tolist()
    [3.0, 5.0]
    """
    return max(x, axis=axis, keepdims=keepdims) - min(x, axis=axis, keepdims=keepdims)


@composed
def count_nonzero(x, axis=None, keepdims=False):
    """How many elements along an axis, several, or all are not zero; NaN counts.

    >>> import tinygrad_like as tg
    >>> tg.count_nonzero(tg.Tensor([[0, 3], [0, 0]]), axis=1).tolist()
    [1, 0]
    """
    return sum(not_equal(x, 0), axis=axis, keepdims=keepdims)


@composed
def average(x, axis=None, weights=None, returned=False, keepdims=False):
    """The mean with weights: sum(x weights) / sum(weights), differentiable in both.

    `weights` have the shape of `x` or, along one axis, its length. With `returned` the sum of the
    weights is returned as well. Raises ValueError for weights of another shape.

    >>> import tinygrad_like as tg
    >>> tg.average(tg.Tensor([1.0, 5.0]), weights=tg.Tensor([3.0, 1.0])).item()
    2.0
    """
    returned = check_flag("average", "returned", returned)
    if weights is None:
        y = mean(x, axis=axis, keepdims=keepdims)
        count = reduction_of("average", x.shape, axis)[2]
        return (y, y * 0 + count) if returned else y
    if weights.shape != x.shape:
        if axis is None or isinstance(axis, tuple):
            raise ValueError(f"[average] weights are {weights.shape}, expected {x.shape}")
        place = normal_axis("average", axis, x.ndim)
        if weights.shape != (x.shape[place],):
            raise ValueError(
                f"[average] weights are {weights.shape}, expected {x.shape} or ({x.shape[place]},)"
            )
        lengths = [1] * x.ndim
        lengths[place] = -1
        weights = broadcast_to(reshape(weights, tuple(lengths)), shape=x.shape)
    total = sum(weights, axis=axis, keepdims=keepdims)
    y = sum(x * weights, axis=axis, keepdims=keepdims) / total
    return (y, total) if returned else y


def _is_real(x):
    """Whether x can hold NaN at all."""
    return x.dtype.kind in INEXACT


@composed
def nansum(x, axis=None, keepdims=False):
    """The sum of the elements that are not NaN.

    >>> import tinygrad_like as tg
    >>> tg.nansum(tg.Tensor([1.0, float('nan'), 2.0])).item()
    3.0
    """
    return sum(where(isnan(x), 0, x) if _is_real(x) else x, axis=axis, keepdims=keepdims)


@composed
def nanprod(x, axis=None, keepdims=False):
    """The product of the elements that are not NaN."""
    return prod(where(isnan(x), 1, x) if _is_real(x) else x, axis=axis, keepdims=keepdims)


def _known(x, axis, keepdims, least):
    """How many elements are not NaN, in the dtype of x; NaN where there are less than `least`."""
    count = astype(sum(logical_not(isnan(x)), axis=axis, keepdims=keepdims), dtype=np.float64)
    return astype(where(count < least, math.nan, count), dtype=_exact(x))


def _exact(x):
    """The dtype for counts and sums of x: float32 for a half type."""
    return np.float32 if x.dtype.itemsize == 2 else x.dtype


@composed
def nanmean(x, axis=None, keepdims=False):
    """The mean of the elements that are not NaN.

    >>> import tinygrad_like as tg
    >>> tg.nanmean(tg.Tensor([1.0, float('nan'), 2.0])).item()
    1.5
    """
    if not _is_real(x):
        return mean(x, axis=axis, keepdims=keepdims)
    total = nansum(astype(x, dtype=_exact(x)), axis=axis, keepdims=keepdims)
    return astype(total / _known(x, axis, keepdims, 1), dtype=x.dtype)


def _as_real(y, x):
    """A variance or deviation of x in its dtype, or that of its parts."""
    return y if x.dtype.kind == "c" else astype(y, dtype=x.dtype)


def _nanvar(x, axis, keepdims, ddof):
    """The variance of what is known; of complex numbers, that of |z - mean|, as in `var`."""
    known = real(_known(x, axis, keepdims, ddof + 1))
    x = astype(x, dtype=_exact(x))
    centred = where(isnan(x), 0, x - nanmean(x, axis=axis, keepdims=True))
    squares = real(centred * conj(centred)) if x.dtype.kind == "c" else centred * centred
    return sum(squares, axis=axis, keepdims=keepdims) / (known - ddof)


@composed
def nanvar(x, axis=None, keepdims=False, ddof=0):
    """The variance of the elements that are not NaN."""
    if not _is_real(x):
        return var(x, axis=axis, keepdims=keepdims, ddof=ddof)
    return _as_real(_nanvar(x, axis, keepdims, ddof), x)


@composed
def nanstd(x, axis=None, keepdims=False, ddof=0):
    """The standard deviation of the elements that are not NaN; its gradient at 0 is 0."""
    if not _is_real(x):
        return std(x, axis=axis, keepdims=keepdims, ddof=ddof)
    square = _nanvar(x, axis, keepdims, ddof)
    root = where(equal(square, 0), 0, sqrt(where(equal(square, 0), 1, square)))
    return _as_real(root, x)


def _nanextreme(extreme, x, axis, keepdims, least):
    if not _is_real(x):
        return extreme(x, axis=axis, keepdims=keepdims)
    missing = isnan(x)
    y = extreme(where(missing, least, x), axis=axis, keepdims=keepdims)
    return where(all(missing, axis=axis, keepdims=keepdims), math.nan, y)


@composed
def nanmax(x, axis=None, keepdims=False):
    """The maximum of the elements that are not NaN."""
    return _nanextreme(max, x, axis, keepdims, -math.inf)


@composed
def nanmin(x, axis=None, keepdims=False):
    """The minimum of the elements that are not NaN."""
    return _nanextreme(min, x, axis, keepdims, math.inf)


def _beside(name, what, piece, x, axis):
    """What to put before or behind x along an axis: a number, or a Tensor of as many axes."""
    if not hasattr(piece, "shape"):
        piece = backend_of(x).from_host(np.asarray(piece, x.dtype))
    if piece.ndim == 0:
        return broadcast_to(piece, shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    if piece.ndim != x.ndim:
        raise ValueError(f"[{name}] {what} is {piece.shape}, expected {x.ndim} axes (x: {x.shape})")
    return piece


@composed
def diff(x, n=1, axis=-1, prepend=None, append=None):
    """x[i + 1] - x[i] along an axis, `n` times; of booleans, whether the two differ.

    `prepend` and `append` are put before and behind `x` first: numbers or Tensors.

    >>> import tinygrad_like as tg
    >>> tg.diff(tg.Tensor([1, 4, 9]), prepend=0).tolist()
    [1, 3, 5]
    """
    n = check_integer("diff", "n", n, least=0)
    axis = normal_axis("diff", axis, x.ndim)
    if n == 0:
        return x
    parts = [x if p is x else _beside("diff", what, p, x, axis)
             for what, p in (("prepend", prepend), ("x", x), ("append", append))
             if p is not None]  # fmt: skip
    x = concatenate(parts, axis) if len(parts) > 1 else x
    for _ in range(n):
        length = x.shape[axis]
        later, earlier = x[slice_at(axis, 1, length)], x[slice_at(axis, 0, length - 1)]
        x = not_equal(later, earlier) if x.dtype.kind == "b" else later - earlier
    return x


@composed
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integral of `y` along an axis by the trapezoidal rule.

    At the points `x`, of one axis or of the shape of `y`; without it, they are `dx` apart.

    >>> import tinygrad_like as tg
    >>> tg.trapezoid(tg.Tensor([0.0, 1.0, 4.0]), dx=0.5).item()
    1.5
    """
    return sum(_trapezoids("trapezoid", y, x, dx, axis), axis=axis)


@composed
def cumulative_trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integrals of `y` from its first point to each of the others, by the trapezoidal rule.

    The axis becomes shorter by one. `x` and `dx` are those of `trapezoid`.

    >>> import tinygrad_like as tg
    >>> tg.cumulative_trapezoid(tg.Tensor([0.0, 1.0, 4.0]), dx=0.5).tolist()
    [0.25, 1.5]
    """
    return cumsum(_trapezoids("cumulative_trapezoid", y, x, dx, axis), axis=axis)


def _trapezoids(name, y, x, dx, axis):
    """The area under each piece of y along an axis."""
    axis = normal_axis(name, axis, y.ndim)
    n = y.shape[axis]
    if x is not None:
        dx = diff(x, axis=axis if x.ndim > 1 else -1)
        if x.ndim == 1:
            dx = reshape(dx, tuple(-1 if a == axis else 1 for a in range(y.ndim)))
    both = y[slice_at(axis, 1, n)] + y[slice_at(axis, 0, n - 1)]
    return both * dx * 0.5


def _slopes(f, spacing, axis, edge_order):
    """The slopes of f along one axis at points of a spacing, or at coordinates."""
    n = f.shape[axis]
    if n < edge_order + 1:
        raise ValueError(f"[gradient] axis {axis} has length {n}, expected {edge_order + 1}")
    if getattr(spacing, "ndim", 0) == 0:
        steps = (zeros_of(f) + spacing)[slice_at(axis, 1, n)]
    elif spacing.shape == (n,):
        steps = reshape(diff(spacing), tuple(-1 if a == axis else 1 for a in range(f.ndim)))
    else:
        raise ValueError(f"[gradient] coordinates are {spacing.shape}, expected ({n},)")
    rises = diff(f, axis=axis) / steps
    before, behind = slice_at(axis, 0, n - 2), slice_at(axis, 1, n - 1)
    h, k = steps[before], steps[behind]
    if getattr(spacing, "ndim", 0) == 0:  # an element has no part in the slope at its own place
        middle = (f[slice_at(axis, 2, n)] - f[before]) / (h + k)
    else:
        middle = (rises[before] * k + rises[behind] * h) / (h + k)

    def edge(i, j):
        """The slope at the end of piece i, whose neighbour is piece j."""
        i, j = slice_at(axis, i, i + 1), slice_at(axis, j, j + 1)
        if edge_order == 1:
            return rises[i]
        return rises[i] + (rises[i] - rises[j]) * (steps[i] / (steps[i] + steps[j]))

    return concatenate([edge(0, 1), middle, edge(n - 2, n - 3)], axis)


@composed
def gradient(f, *spacing, axis=None, edge_order=1):
    """np.gradient: the slopes of samples by differences, central inside and one-sided at the ends.

    A Tensor, or one for each of several axes, as a tuple. `spacing` is one distance for all axes,
    or for each axis a distance or its coordinates. Not to be confused with `grad`: it is there for
    `np.gradient(tensor)`.
    """
    edge_order = check_integer("gradient", "edge_order", edge_order, least=1, most=2)
    axes = normal_axes("gradient", axis, f.ndim)
    one_for_all = len(spacing) == 1 and not getattr(spacing[0], "ndim", 0)
    if spacing and not one_for_all and len(spacing) != len(axes):
        raise ValueError(
            f"[gradient] got {len(spacing)} spacings, expected one distance, or {len(axes)} "
            "distances or coordinates"
        )
    each = spacing if len(spacing) == len(axes) else [*(spacing or (1.0,))] * len(axes)
    f = f if f.dtype.kind in INEXACT else astype(f, dtype=np.float32)
    slopes = tuple(_slopes(f, step, a, edge_order) for a, step in zip(axes, each, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


@composed
def cov(m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None):
    """The covariances of variables: (n, n) for `m` (n, observations); of one variable a number.

    Of complex numbers they are the means of z conj(w).

    Args:
        y: further variables, of the form of `m`.
        rowvar: whether variables are rows, not columns.
        bias, ddof: sums are divided by the observations less `ddof`, by default 1, with bias 0.
        fweights: how often each observation counts, integers.
        aweights: the weight of each observation, which has a gradient; then `ddof` is multiplied by
            their mean as weighted by themselves, as in NumPy.

    Raises ValueError for more than two axes, too few observations, and weights that do not fit.

    >>> import tinygrad_like as tg
    >>> tg.cov(tg.Tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    rowvar, bias = check_flag("cov", "rowvar", rowvar), check_flag("cov", "bias", bias)
    parts = [m] if y is None else [m, y]
    if not {part.ndim for part in parts} <= {0, 1, 2}:
        raise ValueError(f"[cov] variables are {[p.shape for p in parts]}, expected up to two axes")
    rows = [p if p.ndim == 2 else reshape(p, (1, -1)) for p in parts]
    rows = [r if rowvar or p.ndim < 2 else r.T for r, p in zip(rows, parts, strict=True)]
    x = concatenate(rows, 0) if len(rows) > 1 else rows[0]
    x = x if x.dtype.kind in INEXACT else astype(x, dtype=np.float32)
    ddof = check_integer("cov", "ddof", ddof) if ddof is not None else int(not bias)
    n = x.shape[1]
    if fweights is not None or aweights is not None:
        c = _weighted_cov(x, ddof, fweights, aweights)
    elif n <= ddof:
        raise ValueError(f"[cov] {n} observations with ddof={ddof} have no covariance")
    else:
        centred = x - mean(x, axis=1, keepdims=True)
        c = matmul(centred, conj(centred).T) / (n - ddof)
    return c if len(c.shape) and c.shape[0] != 1 else reshape(c, ())


def _weighted_cov(x, ddof, fweights, aweights):
    """The covariances of rows of observations that count with weights."""
    weights = 1
    for what, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = given if hasattr(given, "shape") else backend_of(x).from_host(np.asarray(given))
        if w.shape != (x.shape[1],) or (what == "fweights" and w.dtype.kind not in "iu"):
            raise ValueError(
                f"[cov] {what} are {w.shape} of {w.dtype}, expected {x.shape[1:]}"
                + (" of integers" if what == "fweights" else "")
            )
        w = astype(w, dtype=real(x[:1, :1]).dtype)
        if (all_examples(w.data if isinstance(w, Tensor) else w) < 0).any():
            raise ValueError(f"[cov] some of the {what} are negative")
        weights = weights * w
    total = sum(weights)
    some = greater(total, 0)
    squares = total if aweights is None else sum(weights * w)
    left = total - ddof * (squares / where(some, total, 1))
    known = logical_and(some, greater(left, 0))
    if not all_examples(known.data if isinstance(known, Tensor) else known).all():
        raise ValueError(f"[cov] the weights add up to too little for ddof={ddof}: no covariance")
    centred = x - sum(x * weights, axis=1, keepdims=True) / total
    return matmul(centred * weights, conj(centred).T) / left


@composed
def corrcoef(x, y=None, rowvar=True):
    """The correlations of variables, from -1 to 1: `cov` over the standard deviations."""
    c = cov(x, y, rowvar)
    if not c.ndim:
        return c / c
    deviations = sqrt(real(diagonal(c)))
    c = c / expand_dims(deviations, 1) / expand_dims(deviations, 0)
    if c.dtype.kind == "c":
        return complex(clip(real(c), min=-1, max=1), clip(imag(c), min=-1, max=1))
    return clip(c, min=-1, max=1)
