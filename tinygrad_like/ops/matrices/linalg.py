"""Products and factorisations of matrices; leading axes are a batch and broadcast."""

import functools
import math
import string

import numpy as np

from tinygrad_like.backend import is_half, narrow, result_dtype, wide, wide_dtype
from tinygrad_like.engine import (
    backend_of,
    broadcast_to,
    by_matrix,
    check_integer,
    composed,
    in_half,
    in_single,
    op,
    wrap,
)
from tinygrad_like.engine.errors import describe
from tinygrad_like.ops.arrays.shape import expand_dims, moveaxis, reshape
from tinygrad_like.ops.elements.complex import imag
from tinygrad_like.ops.elements.elementwise import multiply, where
from tinygrad_like.ops.reductions.reduce import reduction_of, sum


def refuse_half(*dtypes):
    """Raise TypeError for half types, which LAPACK has not."""
    for dtype in dtypes:
        if is_half(dtype):
            raise TypeError(f"{dtype} is unsupported in linalg; use .astype('float32')")


def lapack(be, *arrays):
    """The module linalg of the arrays' device, which would take bfloat16 for float64."""
    refuse_half(*(x.dtype for x in arrays))
    return be.xp.linalg


def _t(x):
    """The last two axes exchanged."""
    return x.T if len(x.shape) == 2 else x.swapaxes(-1, -2)


def _rows(x):
    """All leading axes joined into one: (..., n) -> (rows, n)."""
    return x if len(x.shape) == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_a(g, b, a_shape):
    if len(a_shape) == b.ndim == 2:
        return matmul(g, b.T)
    if len(b.shape) == 1:
        return expand_dims(g, -1) * b
    if len(a_shape) == 1:
        return matmul(expand_dims(g, -2), _t(b))[..., 0, :]
    return matmul(g, _t(b))


def _matmul_b(g, a, b_shape):
    if len(b_shape) == a.ndim == 2:
        return matmul(a.T, g)
    if len(a.shape) == 1:
        return multiply(expand_dims(a, -1), expand_dims(g, -2)) if len(b_shape) > 1 else a * g
    if len(b_shape) == 1:
        return matmul(_t(a), expand_dims(g, -1))[..., 0]
    if len(b_shape) == 2 and len(a.shape) > 2:  # one product over the whole batch
        return matmul(_rows(a).T, _rows(g))
    return matmul(_t(a), g)


def _matmul_all(call, arrays, attributes):
    a, b = arrays
    if not a.ndim or not b.ndim:
        return call.of_one(arrays, attributes)
    if (not b.mapped and b.ndim <= 2) or (not a.mapped and a.ndim <= 2 and b.ndim == 2):
        return call(a.inner, b.inner)  # examples are rows, or matrices, of one product
    if not a.mapped and b.ndim == 1 and a.ndim == 2:
        return call(b.inner, a.inner.T)
    ndim = max((a.ndim, b.ndim, 2))
    rows = a.aligned(ndim) if a.ndim > 1 else _aligned_row(call, a, ndim)
    columns = b.aligned(ndim) if b.ndim > 1 else expand_dims(_aligned_row(call, b, ndim - 1), -1)
    y = call(rows, columns)
    y = y if b.ndim > 1 else y[..., 0]
    return y if a.ndim > 1 else y[..., 0, :] if b.ndim > 1 else y[..., 0]


def _aligned_row(call, x, ndim):
    """The vectors (size, n) of all examples, or the one they share, as (size, 1, ..., n)."""
    return reshape(x.inner, (call.size if x.mapped else 1, *(1,) * (ndim - 1), x.shape[0]))


@op(complex=True, autocast=in_half, batch=_matmul_all, a=_matmul_a, b=_matmul_b)
def matmul(be, a, b):
    """The matrix product of `a` (..., n, k) and `b` (..., k, m): (..., n, m).

    A 1-d `a` is a row, a 1-d `b` a column, and that axis is left out of the result. Products of
    integers have their dtype, and wrap around in it, as in NumPy: cast int8 to int64 first.
    """
    if not (type(a) is type(b) and a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]):
        _check_product(a, b)  # the usual products need no check
    return be.k.matmul(a, b)


def _check_product(a, b):
    """Raise ValueError unless NumPy's rules let a and b be multiplied."""
    m, n = getattr(a, "ndim", 0), getattr(b, "ndim", 0)
    if not m or not n:
        raise ValueError("[matmul] a number has no axis to sum over; use * to scale")
    if a.shape[-1] != b.shape[-2 if n > 1 else 0]:
        raise ValueError(
            f"[matmul] the last axis of a has length {a.shape[-1]}, the "
            f"{'second last' if b.ndim > 1 else 'only'} axis of b {b.shape[-2:][0]} "
            f"(a: {a.shape}, b: {b.shape})"
        )
    for axis in range(-3, -min(a.ndim, b.ndim) - 1, -1):
        m, n = a.shape[axis], b.shape[axis]
        if m != n and 1 not in (m, n):
            raise ValueError(
                f"[matmul] axis {axis} is {m} in a, {n} in b: they do not broadcast "
                f"(a: {a.shape}, b: {b.shape})"
            )


def _linear_all(call, arrays, attributes):
    x, weight, bias = arrays
    if not x.ndim or weight.ndim != 2 or x.shape[-1] != weight.shape[0]:
        return call.of_one(arrays, attributes)
    if bias is not None and bias.shape != weight.shape[1:]:
        return call.of_one(arrays, attributes)
    if not weight.mapped and (bias is None or not bias.mapped):
        return call(x.inner, weight.inner, None if bias is None else bias.inner)
    y = matmul(wrap(x), wrap(weight))
    return call.full(y if bias is None else y + wrap(bias))


@op(
    complex=True,
    autocast=in_half,
    batch=_linear_all,
    x=lambda g, weight: matmul(g, weight.T),
    weight=lambda g, x: matmul(_rows(x).T, _rows(g)),
    bias=lambda g: g,
)
def linear(be, x, weight, bias=None):
    """x @ weight + bias for `x` (..., n_in), `weight` (n_in, n_out), `bias` (n_out,)."""
    if weight.ndim != 2:
        raise ValueError(f"[linear] weight is {weight.shape}, expected (n_in, n_out)")
    if not x.ndim or x.shape[-1] != weight.shape[0]:
        raise ValueError(
            f"[linear] x has {x.shape[-1] if x.ndim else 'no'} features, weight expects "
            f"{weight.shape[0]} (x: {x.shape}, weight: {weight.shape})"
        )
    if bias is not None and bias.shape != weight.shape[1:]:
        raise ValueError(f"[linear] bias is {bias.shape}, expected {weight.shape[1:]}")
    rows = _rows(x)
    y = be.k.matmul(rows, weight) if bias is None else be.k.linear(rows, weight, bias)
    return y.reshape(*x.shape[:-1], weight.shape[1])


@composed
def outer(a, b):
    """The products of every element of `a` with every element of `b`: (a.size, b.size)."""
    return multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@composed
def dot(a, b):
    """NumPy's dot: a sum over the last axis of `a` and the second last (or only) of `b`.

    A number or a 0-d tensor scales the other operand.
    """
    if any(isinstance(x, (int, float, complex, np.generic)) for x in (a, b)):
        return multiply(a, b)
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    if a.ndim == 1 or b.ndim <= 2:
        return matmul(a, b)
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"[dot] the last axis of a has length {a.shape[-1]}, the second last of b "
            f"{b.shape[-2]} (a: {a.shape}, b: {b.shape})"
        )
    summed, *letters = list(string.ascii_letters[: a.ndim + b.ndim - 1])
    left, right = letters[: a.ndim - 1], letters[a.ndim - 1 :]
    subscripts = f"{''.join(left)}{summed},{''.join(right[:-1])}{summed}{right[-1]}"
    return einsum(f"{subscripts}->{''.join(letters)}", a, b)


def _einsum_rule(g, xs, subscripts, needs):
    """For each operand: the output's gradient against the other operands."""
    sources, target = subscripts.split("->")
    terms = sources.split(",")
    grads: list = []
    for i, (x, term) in enumerate(zip(xs, terms, strict=True)):
        if not needs[i]:
            grads.append(None)
            continue
        others = [t for j, t in enumerate(terms) if j != i]
        known = "".join(others) + target
        seen = "".join(c for c in term if c in known)
        rest = [y for j, y in enumerate(xs) if j != i]
        grad = _einsum([g, *rest], subscripts=f"{','.join([target, *others])}->{seen}")
        # An index of this operand alone was summed: its gradient is the same all along it.
        grad = expand_dims(grad, tuple(k for k, c in enumerate(term) if c not in known))
        sizes = zip(grad.shape, x.shape, strict=True)
        grad = broadcast_to(grad, tuple(n if m == 1 else m for m, n in sizes))
        grads.append(grad)
    return grads


def _einsum_all(call, arrays, attributes):
    sources, target = attributes["subscripts"].split("->")
    axis = next(c for c in string.ascii_letters if c not in sources)
    terms = [
        axis + term if x.mapped else term
        for x, term in zip(arrays, sources.split(","), strict=True)
    ]
    return call(*(x.inner for x in arrays), subscripts=f"{','.join(terms)}->{axis}{target}")


@op(complex=True, view=True, batch=_einsum_all, backward=_einsum_rule)
def _einsum(be, *xs, subscripts):
    dtype = result_dtype(*(x.dtype for x in xs))
    sources, target = subscripts.split("->")
    operands = list(zip(map(wide, xs), sources.split(","), strict=True))
    for chosen in _order_of_products(subscripts, xs):
        pair = [operands.pop(i) for i in sorted(chosen, reverse=True)]
        needed = set(target).union(*(term for _, term in operands))
        pair = [_summed_alone(be, pair, i, needed) for i in range(len(pair))]
        operands.append(_product(be, pair, needed) if len(pair) == 2 else pair[0])
    ((y, term),) = operands
    y = y.transpose([term.index(c) for c in target])
    return narrow(y if y.dtype == wide_dtype(dtype) else y.astype(wide_dtype(dtype)), dtype)


@functools.lru_cache(256)
def _cheapest_order(subscripts, shapes):
    """Which operands to multiply, step by step; each product is appended to the operands."""
    stand_ins = [np.broadcast_to(np.float32(), shape) for shape in shapes]
    return np.einsum_path(subscripts, *stand_ins, optimize="greedy")[0][1:]


def _order_of_products(subscripts, xs):
    if len(xs) <= 2:
        return [tuple(range(len(xs)))]
    steps = _cheapest_order(subscripts, tuple(x.shape for x in xs))
    return steps if all(len(step) <= 2 for step in steps) else [(0, 1)] * (len(xs) - 1)


def _summed_alone(be, operands, i, needed):
    """An operand summed over the indices that are in no other, nor needed later."""
    x, term = operands[i]
    elsewhere = needed.union(*(t for j, (_, t) in enumerate(operands) if j != i))
    axes = tuple(k for k, c in enumerate(term) if c not in elsewhere)
    if not axes:
        return x, term
    total = be.k.sum_in_pairs(x, reduction_of("einsum", x.shape, axes), False)
    return total, "".join(c for c in term if c in elsewhere)


def _product(be, pair, needed):
    """Two operands multiplied, and summed over the indices that are not needed."""
    (a, left), (b, right) = pair
    both = [c for c in left if c in right]
    batch = [c for c in both if c in needed]
    summed = [c for c in both if c not in needed]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]
    size = dict(zip(left, a.shape, strict=True))
    for c, n in zip(right, b.shape, strict=True):
        size[c] = n if size.get(c, 1) == 1 else size[c]  # an axis of length 1 is repeated

    def arranged(x, term, order):
        x = x.transpose([term.index(c) for c in order])
        shape = tuple(size[c] for c in order)
        return x if x.shape == shape else be.xp.broadcast_to(x, shape)

    if summed and (rows or columns):  # as matrices
        counts = [math.prod(size[c] for c in group) for group in (batch, rows, summed, columns)]
        a = arranged(a, left, batch + rows + summed).reshape(*counts[:3])
        b = arranged(b, right, batch + summed + columns).reshape(counts[0], *counts[2:])
        y = be.k.matmul(a, b) if batch else be.k.matmul(a[0], b[0])
        order = batch + rows + columns
        return y.reshape([size[c] for c in order]), "".join(order)
    order = batch + summed + rows + columns
    shape = [1 if c in columns else size[c] for c in order]
    a = arranged(a, left, [c for c in order if c in left]).reshape(shape)
    shape = [1 if c in rows else size[c] for c in order]
    y = a * arranged(b, right, [c for c in order if c in right]).reshape(shape)
    axes = tuple(range(len(batch), len(batch) + len(summed)))
    if axes:
        y = be.k.sum_in_pairs(y, reduction_of("einsum", y.shape, axes), False)
    return y, "".join(batch + rows + columns)


@composed
def einsum(subscripts, *operands):
    """Einstein's sum, as `np.einsum("ij,jk->ik", a, b)`: ellipsis and repeated indices too.

    Or with each operand before a list of integers that name its axes, and last those of the result:
    `einsum(a, [0, 1], b, [1, 2], [0, 2])`; `...` may stand in a list as well.

    As in NumPy, integers keep their dtype, while `sum` widens them to int64: cast int8 first.

    Raises ValueError for subscripts that do not fit the operands.
    """
    if not isinstance(subscripts, str) and operands:
        subscripts, operands = _spelled((subscripts, *operands))
    if not operands:
        raise TypeError("[einsum] expected a subscripts string, then tensors")
    subscripts = subscripts.replace(" ", "")
    sources, arrow, target = subscripts.partition("->")
    terms = sources.split(",")
    if len(terms) != len(operands):
        raise ValueError(
            f"[einsum] {subscripts!r} names {len(terms)} operands, got {len(operands)}"
        )
    terms, spread = _without_ellipsis(subscripts, terms, operands)
    if arrow:
        target = target.replace("...", spread, 1)  # a second one is refused as a name of no axis
    else:
        joined = "".join(terms)
        once = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in spread)
        target = spread + "".join(once)
    _check_lengths(subscripts, terms, target, operands)
    xs = []
    for x, term in zip(operands, terms, strict=True):
        while len(set(term)) < len(term):
            x, term = _diagonal(x, term)
        xs.append((x, term))
    explicit = ",".join(term for _, term in xs) + "->" + target
    return _einsum([x for x, _ in xs], subscripts=explicit)


def _spelled(arguments):
    """(the subscripts string, the operands) of a call with lists of axes behind each operand."""
    operands, lists = arguments[0:-1:2], arguments[1::2]
    target = arguments[-1] if len(arguments) % 2 else None

    def term(axes):
        if not isinstance(axes, (list, tuple)):
            raise TypeError(
                "[einsum] expected a subscripts string, then tensors, or each tensor before a list "
                f"of its axes; got {describe(axes)} for a list"
            )
        numbers = [
            axis if axis is Ellipsis else check_integer("einsum", "an axis", axis, 0, 51)
            for axis in axes
        ]
        return "".join("..." if n is Ellipsis else string.ascii_letters[n] for n in numbers)

    sources = ",".join(map(term, lists))
    return (sources if target is None else f"{sources}->{term(target)}"), operands


def _without_ellipsis(subscripts, terms, operands):
    """Spell `...` out with letters that are free; returns the terms and the longest spelling."""
    free = [c for c in string.ascii_letters if c not in subscripts]
    widths = [
        x.ndim - len(term) + 3 if "..." in term else 0
        for x, term in zip(operands, terms, strict=True)
    ]
    if max(widths) > len(free) or min(widths) < 0:
        raise ValueError(f"[einsum] {subscripts!r} does not fit {[x.shape for x in operands]}")
    spread = "".join(free[: max(widths)])
    return [
        term.replace("...", spread[len(spread) - w :])
        for term, w in zip(terms, widths, strict=True)
    ], spread


def _check_lengths(subscripts, terms, target, operands):
    lengths: dict[str, int] = {}
    for x, term in zip(operands, terms, strict=True):
        if len(term) != x.ndim or not all(c in string.ascii_letters for c in term):
            raise ValueError(
                f"[einsum] {subscripts!r} names {len(term)} axes of an operand of shape {x.shape}"
            )
        for c, n in zip(term, x.shape, strict=True):
            if lengths.setdefault(c, n) != n and 1 not in (n, lengths[c]):
                raise ValueError(
                    f"[einsum] index {c!r} of {subscripts!r} has lengths {lengths[c]} and {n}"
                )
            lengths[c] = max((lengths[c], n))
    if len(set(target)) != len(target) or not set(target) <= lengths.keys():
        raise ValueError(f"[einsum] the output of {subscripts!r} repeats or invents an index")


def _diagonal(x, term):
    """The diagonal of the first index that a term repeats, and the term without the repeat."""
    c = next(c for c in term if term.count(c) > 1)
    i = term.index(c)
    j = term.index(c, i + 1)
    n = x.shape[i]
    last = moveaxis(x, (i, j), (-2, -1))
    on_diagonal = where(backend_of(x).xp.eye(n, dtype=bool), last, 0)
    rest = term[:i] + term[i + 1 : j] + term[j + 1 :]
    return sum(on_diagonal, axis=-1), rest + c


def _inv_rule(g, out):
    return -(_t(out) @ g @ _t(out))


@op(complex=True, autocast=in_single, batch=by_matrix, x=_inv_rule)
def inv(be, x):
    """The inverse of square matrices (..., n, n); ValueError if one is singular."""
    check_square("inv", x)
    return lapack(be, x).inv(x)


def _slogdet_rule(g, x, out):
    """With t the trace of inv(x) @ dx: the logarithm moves by Re(t), a complex sign by
    i Im(t) sign."""
    of_sign, of_log = g
    if x.dtype.kind == "c":
        of_log = of_log + 1j * imag(of_sign * out[0])
    return of_log[..., None, None] * _t(inv(x))


@op(complex=True, several=True, autocast=in_single, batch=by_matrix, x=_slogdet_rule)
def slogdet(be, x):
    """(sign, log of the absolute value) of the determinants of (..., n, n).

    The sign of complex ones is a number of size 1: the determinant divided by its absolute value.
    """
    check_square("slogdet", x)
    sign, logdet = lapack(be, x).slogdet(x)
    return sign, logdet


def check_square(name, x, what="x"):
    """Raise ValueError unless x is a square matrix, or a batch of such."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"[{name}] {what} is {x.shape}, expected square matrices (..., n, n)")
