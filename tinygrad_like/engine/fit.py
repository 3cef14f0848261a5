"""The ops with which a gradient is fitted to the input that it belongs to; the others are in ops/.

Broadcasting an input repeats it, so that its gradient is a sum, and a cast is undone by a cast.

Gradients of complex numbers. For a real loss L of z = x + iy they are what PyTorch gives:

    z.grad = dL/dx + i dL/dy        so that z - lr * z.grad goes downhill

Inside a walk the conjugate is carried, G = dL/dx - i dL/dy: then dL = Re(G dz), and the rule of an
analytic function f is what it is for real numbers, g f'(z), without a conjugate. A function that is
not analytic (conj, abs, var) has a rule in these terms: dL = Re(g df), put as Re(G dz). Where users
give or see gradients (backward, hooks, tg.grad and its relatives, custom_gradient), `conjugated`
turns one into the other; the rules of `tg.op` are those of this library, and see G.

A real input of an op with a complex result gets the real part of its gradient.
"""

import functools

from tinygrad_like import backend
from tinygrad_like.backend import is_half, narrow, wide
from tinygrad_like.engine.batching import by_element
from tinygrad_like.engine.casts import check_cast
from tinygrad_like.engine.definition import op
from tinygrad_like.engine.modes import mode


def fit(g, node):
    """Undo broadcasting and promotion: a gradient in the shape and dtype of its node."""
    if g.shape != node.shape:
        be = backend.BY_TYPE.get(type(g))  # None for Tensors
        g = sum_to(g, shape=node.shape) if be is None else _sum_to(be, g, shape=node.shape)
    if g.dtype == node.dtype:
        return g
    if g.dtype.kind == "c" and node.dtype.kind != "c":
        g = real(g)
    return g if g.dtype == node.dtype else astype(g, dtype=node.dtype)


@functools.lru_cache(1024)
def _sum_axes(have, want):
    """The axes along which an array was broadcast from shape `want` to `have`."""
    lead = len(have) - len(want)
    if lead < 0 or any(n not in (1, m) for n, m in zip(want, have[lead:], strict=True)):
        raise ValueError(f"[sum_to] shape {want} does not broadcast to the shape of x, {have}")
    return tuple(range(lead)) + tuple(
        lead + i for i, n in enumerate(want) if n == 1 and have[lead + i] != 1
    )


@op(view=True, batch=by_element, complex=True, x=lambda g: g)
def itself(be, x):
    """`x` with a node of its own, for a walk to stop at."""
    return x


def _sum_all_to(call, arrays, attributes):
    (x,), shape = arrays, tuple(attributes["shape"])
    kept = (call.size, *(1,) * (x.ndim - len(shape)), *shape)
    return call(x.full(), shape=kept).reshape((call.size, *shape))


@op(batch=_sum_all_to, complex=True, x=lambda g, x_shape: broadcast_to(g, shape=x_shape))
def sum_to(be, x, *, shape):
    """Sum `x` down to `shape`, which broadcasts to that of `x`: the gradient of broadcasting."""
    shape = tuple(shape)
    axes = _sum_axes(x.shape, shape)
    if is_half(x.dtype):
        y = narrow(be.k.sum_copies(wide(x), axes), x.dtype)
    else:
        y = be.k.sum_copies(x, axes)
    return y if y.shape == shape != () else y.reshape(shape)  # a view would be copied in the end


_sum_to = sum_to.op.forward  # of arrays, without the checks of a call


def _broadcast_all(call, arrays, attributes):
    shape = tuple(attributes["shape"])
    if len(shape) < arrays[0].ndim:
        return call.of_one(arrays, attributes)
    return call(arrays[0].aligned(len(shape)), shape=(call.size, *shape))


@op(view=True, batch=_broadcast_all, complex=True, x=lambda g, x_shape: sum_to(g, shape=x_shape))
def broadcast_to(be, x, *, shape):
    """`x` repeated along new axes and axes of length 1 to fill `shape` (a read-only view)."""
    return be.xp.broadcast_to(x, shape)


@op(any_dtype=True, batch=by_element, complex=True, x=lambda g: g)
def astype(be, x, *, dtype):
    """A copy of `x` with elements of another dtype; the gradient returns to the dtype of `x`.

    Raises ValueError for values that an integer dtype cannot hold (NaN, or out of range), TypeError
    for complex values and a real dtype.
    """
    dtype = be.checked_dtype("astype", dtype)
    if dtype.kind in "iu" or x.dtype.kind == "c":
        check_cast("astype", x, dtype)
    return x.astype(dtype)


@op(any_dtype=True, batch=by_element, complex=True, x=lambda g: g)
def real(be, x):
    """The real part, a copy; real numbers have their own dtype."""
    return x.real.copy()


@op(batch=by_element, complex=True, x=lambda g: conj(g))
def conj(be, x):
    """The complex conjugate, with the sign of the imaginary part reversed."""
    return be.xp.conj(x) if x.dtype.kind == "c" else x.copy()


def conjugated(g):
    """A gradient as users see it, of one as the walk carries it, and the other way round."""
    return conj(g) if g.dtype.kind == "c" and "steps" not in mode.changed else g
