"""Scans: at each place of an axis, what an associative function makes of all elements up to there.

`associative_scan` takes any function. `linear_scan` is the one that state-space layers and other
linear recurrences need, as a fused op.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT, narrow, wide
from tinygrad_like.engine import (
    backend_of,
    broadcast_to,
    check_flag,
    composed,
    in_single,
    op,
)
from tinygrad_like.ops.arrays.shape import (
    along_axes,
    concatenate,
    expand_dims,
    flip,
    normal_axis,
    of_one,
    reshape,
    slice_at,
    stack,
)
from tinygrad_like.ops.elements.compare import equal, isnan
from tinygrad_like.ops.elements.elementwise import exp, where
from tinygrad_like.ops.indexing.lines import as_lines, read_lines
from tinygrad_like.ops.reductions.reduce import cumsum


def _state(x, axis):
    """A state, whose `axis` has length 1, as (N, M)."""
    return as_lines(x, axis)[:, 0]


def _a_step_before(x, first, axis, reverse):
    """At each step of a scan what `x` was one step before: at the first step `first`."""
    n = x.shape[axis]
    if reverse:
        return concatenate([x, first], axis)[slice_at(axis, 1, n + 1)]
    return concatenate([first, x], axis)[slice_at(axis, 0, n)]


def _linear_scan_rule(g, a, initial, out, axis, reverse):
    return list(_linear_scan_gradients(g, a, out, initial, axis=axis, reverse=reverse))


@op(
    complex=True,
    autocast=in_single,
    floating=True,
    batch=along_axes,
    backward=_linear_scan_rule,
)
def _linear_scan(be, a, b, initial, *, axis, reverse):
    """h_t = a_t h_(t-1) + b_t, for a and b of one shape; `initial` has length 1 along `axis`."""
    lines = as_lines(a, axis), as_lines(b, axis), _state(initial, axis)
    return be.k.linear_scan(*lines, reverse).reshape(b.shape)


def _second_rule(gs, be, a, h, initial, out, axis, reverse):
    """The forward scan again, of the gradients of da, db and dinitial.

    u = db obeys u_t = g_t + a_(t+1) u_(t+1); da_t = u_t h_(t-1), dinitial is a u at the first step.
    """
    ga, gb, ginitial = gs
    u = out[1]
    v = _linear_scan(
        a, gb + ga * _a_step_before(h, initial, axis, reverse), ginitial, axis=axis, reverse=reverse
    )
    at_h, nothing = ga * u, be.xp.zeros(initial.shape, initial.dtype)
    later = _a_step_before(at_h, nothing, axis, not reverse)
    n = a.shape[axis]
    first = at_h[slice_at(axis, max(n - 1, 0), n) if reverse else slice_at(axis, 0, 1)]
    return [v, u * _a_step_before(v, ginitial, axis, reverse), later, first if n else nothing]


@op(complex=True, several=True, batch=along_axes, backward=_second_rule)
def _linear_scan_gradients(be, g, a, h, initial, *, axis, reverse):
    """(da, db, dinitial) of `_linear_scan`, for g, the gradient of h."""
    lines = (*(as_lines(x, axis) for x in (g, a, h)), _state(initial, axis))
    da, db, dinitial = be.k.linear_scan_backward(*lines, reverse)
    return da.reshape(a.shape), db.reshape(a.shape), dinitial.reshape(initial.shape)


@composed
def linear_scan(a, b, axis=-1, *, initial=None, reverse=False):
    """h_t = a_t h_(t-1) + b_t at all steps t along an axis: a linear recurrence.

    As a fused op, whose gradient is one more scan, from the other end.

    Args:
        a, b: Tensors or arrays that broadcast to one shape, that of the result.
        initial: h before the first step, of that shape without the axis, or what broadcasts to it;
            None: zeros.
        reverse: whether the steps run from the end of the axis to its start.

    Raises ValueError for shapes that do not fit. Source: Blelloch 1990, section 1.4; as a layer,
    Martin and Cundy 2018.

    >>> import tinygrad_like as tg
    >>> tg.linear_scan(tg.Tensor([0.5, 0.5, 0.5]), tg.Tensor([8.0, 0.0, 1.0])).numpy()
    array([8., 4., 3.], dtype=float32)
    """
    reverse = check_flag("linear_scan", "reverse", reverse)
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(
            f"[linear_scan] a is {a.shape}, b is {b.shape}: they do not broadcast"
        ) from None
    axis = normal_axis("linear_scan", axis, len(shape))
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    if initial is None:
        initial = backend_of(b).xp.zeros(kept, b.dtype)
    else:
        of_state = shape[:axis] + shape[axis + 1 :]
        if initial.shape != of_state:
            initial = broadcast_to(initial, shape=of_state)
        initial = expand_dims(initial, axis)
    a, b = (x if x.shape == shape else broadcast_to(x, shape=shape) for x in (a, b))
    return _linear_scan(a, b, initial, axis=axis, reverse=reverse)


def _pieces(xs, axis, start, stop=None, step=None):
    cut = (*(slice(None),) * axis, slice(start, stop, step))
    return [x[cut] for x in xs]


def _alternating(evens, odds, axis):
    """One element of `evens` and one of `odds` by turns; there may be one more even one."""
    n = odds.shape[axis]
    pairs = stack([evens[slice_at(axis, 0, n)], odds], axis + 1)
    joined = reshape(pairs, (*odds.shape[:axis], 2 * n, *odds.shape[axis + 1 :]))
    if evens.shape[axis] == n:
        return joined
    return concatenate([joined, evens[slice_at(axis, n, n + 1)]], axis)


def _scanned(f, xs, axis):
    """The scan of `xs`: first that of pairs of neighbours, and between these what is left."""
    n = xs[0].shape[axis]
    if n < 2:
        return xs
    pairs = f(_pieces(xs, axis, 0, n - 1, 2), _pieces(xs, axis, 1, None, 2))
    odds = _scanned(f, pairs, axis)
    evens = first = _pieces(xs, axis, 0, 1)
    if n > 2:
        rest = f(_pieces(odds, axis, 0, (n - 1) // 2), _pieces(xs, axis, 2, None, 2))
        evens = [concatenate([x, y], axis) for x, y in zip(first, rest, strict=True)]
    return [_alternating(x, y, axis) for x, y in zip(evens, odds, strict=True)]


@composed
def associative_scan(f, x, axis=-1, *, reverse=False):
    """At each place of an axis `f` of all elements of `x` up to there.

    An associative `f` may be applied to neighbours first. So there are 2 log2(n) calls of it, on
    parts of the axis, instead of n.

    Args:
        f: of two Tensors, or of two tuples of them, which are parts of `x`; it returns the same,
            element by element along the axis. f(f(a, b), c) must equal f(a, f(b, c)).
        x: a Tensor, or a tuple of Tensors that have as many elements along the axis.
        reverse: whether to begin at the end of the axis.

    Raises ValueError for lengths that differ, or an `f` that does not keep them. Source: Blelloch
    1990, "Prefix sums and their applications".

    >>> import tinygrad_like as tg
    >>> tg.associative_scan(tg.multiply, tg.Tensor([1.0, 2.0, 3.0, 4.0])).numpy()
    array([ 1.,  2.,  6., 24.], dtype=float32)
    """
    reverse = check_flag("associative_scan", "reverse", reverse)
    several = isinstance(x, (tuple, list))
    xs = [*x] if several else [x]
    if not xs:
        raise ValueError("[associative_scan] x is an empty tuple, expected Tensors")
    axes = [normal_axis("associative_scan", axis, part.ndim) for part in xs]
    if len({part.shape[a] for part, a in zip(xs, axes, strict=True)}) > 1 or len({*axes}) > 1:
        raise ValueError(
            f"[associative_scan] x has parts of shapes {[part.shape for part in xs]}, expected one "
            f"length of axis {axis}"
        )
    axis = axes[0]

    def of_parts(a, b):
        found = f(tuple(a), tuple(b)) if several else f(a[0], b[0])
        parts = [*found] if several else [found]
        if [y.shape for y in parts] != [y.shape for y in a]:
            raise ValueError(
                f"[associative_scan] f returned shapes {[y.shape for y in parts]} for "
                f"{[y.shape for y in a]}, expected the same"
            )
        return parts

    xs = [flip(part, axis=axis) for part in xs] if reverse else xs
    ys = _scanned(of_parts, xs, axis)
    ys = [flip(y, axis=axis) for y in ys] if reverse else ys
    return tuple(ys) if several else ys[0]


@op(any_dtype=True, batch=along_axes)
def _integer_cumprod(be, x, *, axis):
    return x.cumprod(axis=axis)


@composed
def nancumsum(x, axis=None):
    """`cumsum` of the elements that are not NaN, which count as 0."""
    return cumsum(where(isnan(x), 0, x), axis)


@composed
def nancumprod(x, axis=None):
    """`cumprod` of the elements that are not NaN, which count as 1."""
    return cumprod(where(isnan(x), 1, x), axis)


@composed
def cumprod(x, axis=None):
    """The running product along an axis; by default of all elements in order, as one row.

    Its gradient is exact at zeros, too.

    >>> import tinygrad_like as tg
    >>> tg.cumprod(tg.Tensor([2, 3, 4])).tolist()
    [2, 6, 24]
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = normal_axis("cumprod", axis, x.ndim)
    if x.dtype.kind not in INEXACT:
        return _integer_cumprod(x, axis=axis)
    xp = backend_of(x).xp
    first = xp.ones((*x.shape[:axis], 1, *x.shape[axis + 1 :]), x.dtype)
    return _linear_scan(x, xp.zeros(x.shape, x.dtype), first, axis=axis, reverse=False)


@op(any_dtype=True, batch=along_axes)
def _running_extreme(be, x, *, axis, largest):
    return be.k.running_extreme(as_lines(x, axis), largest).reshape(x.shape)


def _with_places(name, x, axis, largest):
    axis = normal_axis(name, axis, x.ndim)
    places = _running_extreme(x, axis=axis, largest=largest)
    return read_lines(x, places, axis=axis), places


@composed
def cummax(x, axis=-1):
    """(the maximum so far at each step along an axis, the place where it stands).

    Of equal elements it is the latest one, to which the gradient goes, as in PyTorch. After the
    first NaN all are NaN. A number is its own maximum along axis 0 or -1.

    >>> import tinygrad_like as tg
    >>> [y.tolist() for y in tg.cummax(tg.Tensor([1, 3, 2, 3]))]
    [[1, 3, 3, 3], [0, 1, 1, 3]]
    """
    if not x.ndim:
        return of_one(cummax, x, axis)
    return _with_places("cummax", x, axis, True)


@composed
def cummin(x, axis=-1):
    """(the minimum so far at each step along an axis, the place where it stands); see `cummax`."""
    if not x.ndim:
        return of_one(cummin, x, axis)
    return _with_places("cummin", x, axis, False)


def _share(a, b):
    """exp(a - b), and 0 where b is -inf: nothing of nothing."""
    nothing = equal(b, -math.inf)
    return where(nothing, 0, exp(a - where(nothing, 0, b)))


def _logcumsumexp_rule(g, be, x, out, axis):
    """The sum over all later t of g_t exp(x - out_t), by a scan of factors that are at most 1."""
    n = x.shape[axis]
    last = out[slice_at(axis, n - 1, n)]
    later = _a_step_before(out, last, axis, True)
    nothing = be.xp.zeros(last.shape, last.dtype)
    u = _linear_scan(_share(out, later), g, nothing, axis=axis, reverse=True)
    return u * _share(x, out)


@op(autocast=in_single, floating=True, batch=along_axes, x=_logcumsumexp_rule)
def _logcumsumexp(be, x, *, axis):
    """Everything is measured from the maximum so far; where that rises, the sum is scaled down."""
    if not x.size:
        return x.copy()
    xp, dtype, x = be.xp, x.dtype, wide(x)
    lines = as_lines(x, axis)
    top = be.k.gather_lines(lines, be.k.running_extreme(lines, True)).reshape(x.shape)
    zero = xp.where(xp.isfinite(top), top, 0)
    past = (*(slice(None),) * axis, slice(0, 1)), slice_at(axis, 0, x.shape[axis] - 1)
    before, zero_before = (xp.concatenate([a[p] for p in past], axis) for a in (top, zero))
    with np.errstate(under="ignore", divide="ignore"):  # small terms, and the log of no terms
        known = xp.isfinite(top) & xp.isfinite(before)
        scale = xp.exp(xp.where(known, zero_before - zero, 0))
        lines = [as_lines(a, axis) for a in (scale, xp.exp(x - zero))]
        sums = be.k.linear_scan(*lines, 0 * lines[0][:, 0], False).reshape(x.shape)
        return narrow(xp.log(sums) + zero, dtype)


@composed
def logcumsumexp(x, axis=-1):
    """log(cumsum(exp(x))) along an axis, for x of any size. Of a number it is that number.

    >>> import tinygrad_like as tg
    >>> tg.logcumsumexp(tg.Tensor([0.0, -float('inf'), 0.0])).exp().tolist()
    [1.0, 1.0, 2.0]
    """
    if not x.ndim:
        return of_one(logcumsumexp, x, axis)
    return _logcumsumexp(x, axis=normal_axis("logcumsumexp", axis, x.ndim))
