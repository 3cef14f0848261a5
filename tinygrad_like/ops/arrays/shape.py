"""Ops that move elements without changing them. Most outputs are views of the input."""

import math

import numpy as np

from tinygrad_like.backend import in_one_dtype
from tinygrad_like.engine import by_element, check_integer, composed, op


def normal_axes(name, axis, ndim):
    """An axis, a tuple of axes, or None (all), as a tuple of ints from 0 to ndim - 1.

    Raises IndexError for an axis out of range, ValueError for one named twice.
    """
    if type(axis) is int and 0 <= axis < ndim:
        return (axis,)
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    if not ndim and len(axes) == 1 and type(axes[0]) is int and axes[0] in (0, -1):
        return ()  # as in NumPy and PyTorch, a number may be reduced along its only element
    for a in axes:
        if not isinstance(a, (int, np.integer)) or isinstance(a, bool):
            raise TypeError(f"[{name}] axis is {axis!r}, expected an integer or a tuple of them")
        if not -ndim <= a < ndim:
            raise IndexError(
                f"[{name}] axis {a} is out of range for a tensor with {ndim} axes, "
                f"expected {-ndim} to {ndim - 1}"
            )
    normal = tuple(int(a) % ndim for a in axes)
    if len(set(normal)) != len(normal):
        raise ValueError(f"[{name}] axis {axis!r} names an axis twice")
    return normal


def normal_axis(name, axis, ndim):
    """One axis as an int from 0 to ndim - 1; TypeError for None or a tuple."""
    axis = check_integer(name, "axis", axis)
    return normal_axes(name, axis, ndim)[0] if ndim else normal_axes(name, (axis, axis), 0)[0]


def integers(name, what, values):
    """One integer, or a sequence or array of them, as a tuple of ints."""
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    several = values if isinstance(values, (tuple, list)) else (values,)
    return tuple(check_integer(name, what, value) for value in several)


def along_axes(call, arrays, attributes):
    """The rule by which vmap applies an op along `axis` or `axes`: they are one further on.

    All inputs have as many axes.
    """
    name = "axis" if "axis" in attributes else "axes"
    axes = normal_axes(call.op.name, attributes[name], arrays[0].ndim)
    one = isinstance(attributes[name], (int, np.integer))
    moved = axes[0] + 1 if one and axes else tuple(a + 1 for a in axes)
    return call(*(x.full() for x in arrays), **{**attributes, name: moved})


@op(complex=True, batch=by_element, x=lambda g: g)
def copy(be, x):
    """A copy of `x` through which the gradient flows, unlike through `Tensor(x)`."""
    return x.copy()


def _reshape_all(call, arrays, attributes):
    (x,), shape = arrays, attributes["shape"]
    shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    rest = math.prod(n for n in shape if n != -1)
    if shape.count(-1) > 1 or x.size % max(rest, 1) or (-1 not in shape and rest != x.size):
        return call.of_one(arrays, attributes)
    shape = tuple(x.size // max(rest, 1) if n == -1 else n for n in shape)
    return call(x.full(), shape=(call.size, *shape))


@op(complex=True, view=True, batch=_reshape_all, x=lambda g, x_shape: reshape(g, shape=x_shape))
def reshape(be, x, *, shape):
    """`x` with its elements in another shape, in the same order; one length may be -1."""
    shape = shape if isinstance(shape, (tuple, list)) else (shape,)
    rest = math.prod(n for n in shape if n != -1)
    if -1 in shape:
        fills = shape.count(-1) == 1 and rest > 0 and x.size % rest == 0
    else:
        fills = rest == x.size and all(n >= 0 for n in shape)
    if not fills:
        raise ValueError(
            f"[reshape] {x.size} elements do not fill shape {tuple(shape)} (x: {x.shape})"
        )
    return x.reshape(shape)


def _transpose_rule(g, axes):
    if axes is None:
        return _transpose(g)
    return _transpose(g, axes=tuple(np.argsort(axes).tolist()))


def _transpose_all(call, arrays, attributes):
    (x,), axes = arrays, attributes["axes"]
    axes = range(x.ndim)[::-1] if axes is None else axes
    return call(x.full(), axes=(0, *(a + 1 for a in axes)))


@op(complex=True, view=True, batch=_transpose_all, x=_transpose_rule)
def _transpose(be, x, *, axes=None):
    return x.transpose(axes)


reversed_axes = _transpose.operator  # `.T` of a Tensor


@composed
def transpose(x, axes=None):
    """`x` with its axes in another order; by default reversed."""
    if axes is None:
        return _transpose(x)
    normal = normal_axes("transpose", axes, x.ndim)
    if len(normal) != x.ndim:
        raise ValueError(
            f"[transpose] axes are {tuple(axes)}, expected an order of all {x.ndim} axes"
        )
    return _transpose(x, axes=normal)


@composed
def swapaxes(x, axis1, axis2):
    """`x` with two axes exchanged."""
    i, j = normal_axis("swapaxes", axis1, x.ndim), normal_axis("swapaxes", axis2, x.ndim)
    order = list(range(x.ndim))
    order[i], order[j] = j, i
    return _transpose(x, axes=tuple(order))


@composed
def moveaxis(x, source, destination):
    """`x` with the axes `source` moved to the places `destination`, the others in order."""
    sources = normal_axes("moveaxis", source, x.ndim)
    destinations = normal_axes("moveaxis", destination, x.ndim)
    if len(sources) != len(destinations):
        raise ValueError(f"[moveaxis] {len(sources)} source axes, {len(destinations)} destinations")
    order = [i for i in range(x.ndim) if i not in sources]
    for to, i in sorted(zip(destinations, sources, strict=True)):
        order.insert(to, i)
    return _transpose(x, axes=tuple(order))


@composed
def expand_dims(x, axis):
    """`x` with axes of length 1 inserted, at these places of the result."""
    ndim = x.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1)
    places = normal_axes("expand_dims", axis, ndim)
    lengths = iter(x.shape)
    return reshape(x, tuple(1 if i in places else next(lengths) for i in range(ndim)))


@composed
def squeeze(x, axis=None):
    """`x` without its axes of length 1, or without those named (ValueError if one is longer)."""
    places = normal_axes("squeeze", axis, x.ndim)
    if axis is None:
        places = [i for i in places if x.shape[i] == 1]
    for i in places:
        if x.shape[i] != 1:
            raise ValueError(f"[squeeze] axis {i} has length {x.shape[i]}, expected 1")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in places))


@composed
def flatten(x, start_axis=0, end_axis=-1):
    """`x` with the axes from `start_axis` to `end_axis` joined into one."""
    if x.ndim == 0:
        return reshape(x, (1,))
    first = normal_axis("flatten", start_axis, x.ndim)
    last = normal_axis("flatten", end_axis, x.ndim)
    if first > last:
        raise ValueError(f"[flatten] start_axis {start_axis} comes after end_axis {end_axis}")
    joined = math.prod(x.shape[first : last + 1])
    return reshape(x, (*x.shape[:first], joined, *x.shape[last + 1 :]))


def _cut(g, xs_shape, axis):
    """The pieces of `g` that a concatenation of arrays of these shapes joined."""
    axis %= len(g.shape)
    stops = np.cumsum([shape[axis] for shape in xs_shape]).tolist()
    return [
        g[slice_at(axis, stop - shape[axis], stop)]
        for shape, stop in zip(xs_shape, stops, strict=True)
    ]


def slice_at(axis, start, stop):
    """The index that takes a slice of one axis and the whole of those before it."""
    return (*(slice(None),) * axis, slice(start, stop))


@op(complex=True, batch=along_axes, backward=_cut)
def concatenate(be, *xs, axis=0):
    """The tensors of a list joined along an existing axis."""
    axis = normal_axis("concatenate", axis, xs[0].ndim)
    for i, x in enumerate(xs):
        if x.shape[:axis] != xs[0].shape[:axis] or x.shape[axis + 1 :] != xs[0].shape[axis + 1 :]:
            raise ValueError(
                f"[concatenate] all axes but axis {axis} must agree: xs[0] is {xs[0].shape}, "
                f"xs[{i}] is {x.shape}"
            )
    return be.xp.concatenate(in_one_dtype(*xs), axis=axis)


@composed
def stack(xs, axis=0):
    """The tensors of a list, all of one shape, joined along a new axis."""
    if not isinstance(xs, (list, tuple)) or not xs:
        raise TypeError("[stack] expected a non-empty list of tensors")
    for i, x in enumerate(xs):
        if x.shape != xs[0].shape:
            raise ValueError(f"[stack] xs[0] is {xs[0].shape}, xs[{i}] is {x.shape}")
    return concatenate([expand_dims(x, axis) for x in xs], axis)


@op(
    complex=True,
    several=True,
    view=True,
    batch=along_axes,
    x=lambda g, axis: concatenate(g, axis=axis),
)
def _split(be, x, *, stops, axis):
    starts, ends = [0, *stops], [*stops, x.shape[axis]]
    return tuple(x[slice_at(axis, *part)] for part in zip(starts, ends, strict=True))


@op(complex=True, several=True, view=True, batch=along_axes, x=lambda g, axis: stack(g, axis))
def _unbind(be, x, *, axis):
    slices = be.xp.moveaxis(x, axis, 0)
    return tuple(slices[i, ...] for i in range(len(slices)))


@composed
def unbind(x, axis=0):
    """The slices of `x` along an axis, without that axis: a tuple of views."""
    axis = normal_axis("unbind", axis, x.ndim)
    return _unbind(x, axis=axis) if x.shape[axis] else ()


@composed
def split(x, indices_or_sections, axis=0):
    """`x` cut along an axis, as a tuple: into a number of equal sections, or before each index."""
    axis = normal_axis("split", axis, x.ndim)
    n = x.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = check_integer("split", "indices_or_sections", indices_or_sections)
        if sections < 1 or n % sections:
            raise ValueError(
                f"[split] axis {axis} has length {n}, which {sections} sections do not divide"
            )
        stops = [n // sections * i for i in range(1, sections)]
    else:
        cuts = integers("split", "indices_or_sections", indices_or_sections)
        stops = [min(max(i + n if i < 0 else i, 0), n) for i in cuts]
        if stops != sorted(stops):
            raise ValueError(f"[split] indices are {indices_or_sections}, expected rising ones")
    return _split(x, stops=tuple(stops), axis=axis)


@op(complex=True, view=True, batch=along_axes, x=lambda g, axis: flip(g, axis=axis))
def flip(be, x, *, axis=None):
    """`x` with the order along an axis (or several, by default all) reversed."""
    return be.xp.flip(x, normal_axes("flip", axis, x.ndim))


def _roll_all(call, arrays, attributes):
    (x,), shift = arrays, attributes["shift"]
    if attributes["axis"] is None and len(integers("roll", "shift", shift)) == 1:
        rows = call(x.full().reshape((call.size, x.size)), shift=shift, axis=1)
        return rows.reshape((call.size, *x.shape))
    axes = integers("roll", "axis", attributes["axis"])
    moved = tuple(normal_axis("roll", a, x.ndim) + 1 for a in axes)
    return call(x.full(), shift=shift, axis=moved)


@op(complex=True, batch=_roll_all, x=lambda g, shift, axis: roll(g, _negated(shift), axis))
def roll(be, x, *, shift, axis=None):
    """`x` moved by `shift` places along an axis; what leaves at the end enters at the start.

    Several axes have one shift for all of them, or one each.
    """
    shifts = integers("roll", "shift", shift)
    if axis is None and len(shifts) == 1:
        return be.xp.roll(x, shifts[0])
    axes = integers("roll", "axis", axis)
    if len(shifts) not in (1, len(axes)):
        raise ValueError(f"[roll] {len(shifts)} shifts, {len(axes)} axes, expected as many")
    for a in axes:
        normal_axis("roll", a, x.ndim)
    return be.xp.roll(x, shifts, axes)


def _negated(shift):
    return tuple(-s for s in integers("roll", "shift", shift))


def of_one(function, x, *args, **options):
    """`function` of a batch of one, for an example `x` that has no axis of a batch.

    A function that takes both calls this first of all, while its arguments are all the names that
    it has: `of_one(conv2d, **locals())`.
    """
    y = function(expand_dims(x, 0), *args, **options)
    return tuple(squeeze(part, 0) for part in y) if isinstance(y, tuple) else squeeze(y, 0)
