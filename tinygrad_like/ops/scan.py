"""Scans: at each place of an axis, what an associative function makes of all elements up to there.

`associative_scan` takes any function. `linear_scan` is the one that state-space layers and other
linear recurrences need, as a fused op.
"""

import math

import numpy as np

from tinygrad_like.engine import (
    backend_of,
    broadcast_to,
    check_flag,
    composed,
    in_single,
    op,
)
from tinygrad_like.ops.shape import (
    along_axes,
    concatenate,
    expand_dims,
    normal_axis,
    slice_at,
)


def _lines(x, axis):
    """An array as (N, T, M): the axes before the one to scan, that axis, those behind it."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))


def _state(x, axis):
    """A state, whose `axis` has length 1, as (N, M)."""
    return _lines(x, axis)[:, 0]


def _a_step_before(x, first, axis, reverse):
    """At each step of a scan what `x` was one step before: at the first step `first`."""
    n = x.shape[axis]
    if reverse:
        return concatenate([x, first], axis)[slice_at(axis, 1, n + 1)]
    return concatenate([first, x], axis)[slice_at(axis, 0, n)]


def _linear_scan_rule(g, a, initial, out, axis, reverse):
    return list(_linear_scan_gradients(g, a, out, initial, axis=axis, reverse=reverse))


@op(autocast=in_single, floating=True, batch=along_axes, backward=_linear_scan_rule)
def _linear_scan(be, a, b, initial, *, axis, reverse):
    """h_t = a_t h_(t-1) + b_t, for a and b of one shape; `initial` has length 1 along `axis`."""
    lines = _lines(a, axis), _lines(b, axis), _state(initial, axis)
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


@op(several=True, batch=along_axes, backward=_second_rule)
def _linear_scan_gradients(be, g, a, h, initial, *, axis, reverse):
    """(da, db, dinitial) of `_linear_scan`, for g, the gradient of h."""
    lines = (*(_lines(x, axis) for x in (g, a, h)), _state(initial, axis))
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
