"""Diagonals of matrices, and products that are arrangements of others: kron, tensordot, cross."""

import math

from tinygrad_like.engine import by_element, by_matrix, check_integer, composed, conj, op
from tinygrad_like.ops.arrays.shape import (
    expand_dims,
    integers,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
    roll,
    transpose,
)
from tinygrad_like.ops.elements.elementwise import multiply
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.reductions.reduce import sum


@op(
    complex=True,
    view=True,
    batch=by_matrix,
    x=lambda g, x_shape, offset: _on_diagonal(
        g, rows=x_shape[-2], columns=x_shape[-1], offset=offset
    ),
)
def _diagonal(be, x, *, offset):
    """The diagonal of matrices (..., n, m): those elements whose column is the row + offset."""
    return be.xp.diagonal(x, offset, -2, -1)


@op(complex=True, batch=by_element, x=lambda g, offset: _diagonal(g, offset=offset))
def _on_diagonal(be, x, *, rows, columns, offset):
    """Matrices (..., rows, columns) of zeros but for their diagonals x (..., n)."""
    y = be.xp.zeros((*x.shape[:-1], rows, columns), x.dtype)
    i = be.xp.arange(x.shape[-1])
    y[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return y


def _two_axes(name, axis1, axis2, ndim):
    axes = normal_axis(name, axis1, ndim), normal_axis(name, axis2, ndim)
    if axes[0] == axes[1]:
        raise ValueError(f"[{name}] axis1 and axis2 are both {axes[0]}, expected two axes")
    return axes


@composed
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonal of the matrices along two axes: the last axis of the result, a view.

    `offset` counts from the main diagonal, to the right (above it).

    >>> import tinygrad_like as tg
    >>> tg.diagonal(tg.Tensor([[1, 2], [3, 4]]), offset=1).tolist()
    [2]
    """
    if x.ndim < 2:
        raise ValueError(f"[diagonal] x is {x.shape}, expected at least two axes")
    offset = check_integer("diagonal", "offset", offset)
    axes = _two_axes("diagonal", axis1, axis2, x.ndim)
    return _diagonal(moveaxis(x, axes, (-2, -1)), offset=offset)


@composed
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum along the diagonal of the matrices along two axes.

    >>> import tinygrad_like as tg
    >>> tg.trace(tg.Tensor([[1, 2], [3, 4]])).item()
    5
    """
    return sum(diagonal(x, offset, axis1, axis2), axis=-1)


@composed
def diag_embed(x, offset=0, axis1=-2, axis2=-1):
    """Square matrices of zeros, but for the last axis of `x` on their diagonals.

    >>> import tinygrad_like as tg
    >>> tg.diag_embed(tg.Tensor([1, 2])).tolist()
    [[1, 0], [0, 2]]
    """
    if not x.ndim:
        raise ValueError("[diag_embed] x is 0-d, expected at least one axis")
    offset = check_integer("diag_embed", "offset", offset)
    axes = _two_axes("diag_embed", axis1, axis2, x.ndim + 1)
    n = x.shape[-1] + abs(offset)
    return moveaxis(_on_diagonal(x, rows=n, columns=n, offset=offset), (-2, -1), axes)


@composed
def diag(x, k=0):
    """The k-th diagonal of a matrix, or the matrix that has a 1-d `x` there.

    >>> import tinygrad_like as tg
    >>> tg.diag(tg.Tensor([5, 6]), k=1).tolist()
    [[0, 5, 0], [0, 0, 6], [0, 0, 0]]
    """
    if x.ndim not in (1, 2):
        raise ValueError(f"[diag] x is {x.shape}, expected one or two axes; see tg.diag_embed")
    return diag_embed(x, k) if x.ndim == 1 else diagonal(x, k)


@composed
def diagflat(x, k=0):
    """The matrix that has all elements of `x`, in order, on its k-th diagonal."""
    return diag_embed(reshape(x, (-1,)), k)


@composed
def kron(a, b):
    """The Kronecker product: each element of `a` times the whole of `b`, side by side.

    >>> import tinygrad_like as tg
    >>> tg.kron(tg.Tensor([1, 10]), tg.Tensor([2, 3])).tolist()
    [2, 3, 20, 30]
    """
    ndim = max(a.ndim, b.ndim)
    a, b = (reshape(x, (1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    odd, even = (tuple(range(start, 2 * ndim, 2)) for start in (1, 0))
    products = multiply(expand_dims(a, odd), expand_dims(b, even))
    return reshape(products, tuple(n * m for n, m in zip(a.shape, b.shape, strict=True)))


@composed
def tensordot(a, b, axes=2):
    """The products of `a` and `b` summed over pairs of axes.

    Args:
        axes: so many of the last axes of `a` and of the first of `b`; or a pair, of axes of `a` and
            those of `b`.

    Raises ValueError for axes whose lengths differ.

    >>> import tinygrad_like as tg
    >>> tg.tensordot(tg.ones(2, 3, 4), tg.ones(4, 3, 5), axes=((1, 2), (1, 0))).shape
    (2, 5)
    """
    if isinstance(axes, (tuple, list)) and len(axes) == 2:
        left, right = (integers("tensordot", "axes", part) for part in axes)
    else:
        count = check_integer("tensordot", "axes", axes, least=0, most=min(a.ndim, b.ndim))
        left, right = tuple(range(a.ndim - count, a.ndim)), tuple(range(count))
    left, right = (normal_axes("tensordot", part, x.ndim) for part, x in ((left, a), (right, b)))
    summed = [a.shape[i] for i in left]
    if summed != [b.shape[i] for i in right]:
        raise ValueError(
            f"[tensordot] axes {left} of a and {right} of b differ (a: {a.shape}, b: {b.shape})"
        )
    rows = tuple(i for i in range(a.ndim) if i not in left)
    columns = tuple(i for i in range(b.ndim) if i not in right)
    count = math.prod(summed)
    shape = tuple(a.shape[i] for i in rows) + tuple(b.shape[i] for i in columns)
    height = math.prod(a.shape[i] for i in rows)
    width = math.prod(b.shape[i] for i in columns)
    products = matmul(
        reshape(transpose(a, rows + left), (height, count)),
        reshape(transpose(b, right + columns), (count, width)),
    )
    return reshape(products, shape)


@composed
def vdot(a, b):
    """The sum of the products of all elements of two tensors of one size, a conjugated.

    >>> import tinygrad_like as tg
    >>> tg.vdot(tg.Tensor([1j, 2.0]), tg.Tensor([1j, 1.0])).item()
    (3+0j)
    """
    if a.size != b.size:
        raise ValueError(f"[vdot] a has {a.size} elements, b has {b.size}, expected as many")
    a = conj(a) if a.dtype.kind == "c" else a
    return matmul(reshape(a, (-1,)), reshape(b, (-1,)))


@composed
def inner(a, b):
    """The products summed over the last axes of both; of 0-d tensors the product."""
    if not a.ndim or not b.ndim:
        return multiply(a, b)
    return tensordot(a, b, ((-1,), (-1,)))


@composed
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """The vector product a x b of vectors of 3 elements along an axis; the others broadcast.

    `axis` stands for all three: the axes of `a`, of `b` and of the result.

    >>> import tinygrad_like as tg
    >>> tg.cross(tg.Tensor([1, 0, 0]), tg.Tensor([0, 1, 0])).tolist()
    [0, 0, 1]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a = moveaxis(a, normal_axis("cross", axisa, a.ndim), -1)
    b = moveaxis(b, normal_axis("cross", axisb, b.ndim), -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"[cross] vectors have {a.shape[-1]} and {b.shape[-1]} elements, not 3")

    def turned(x, by):
        return roll(x, -by, -1)

    c = turned(a, 1) * turned(b, 2) - turned(a, 2) * turned(b, 1)
    return moveaxis(c, -1, normal_axis("cross", axisc, c.ndim))
