"""The places that an index names: its normal form, and the rows that it reads or adds to.

`raw_index` turns everything that NumPy takes as an index into ints, slices, None, `...` and arrays
of integers or booleans on the tensor's device. Only arrays of integers can name a place twice.
"""

import math
import operator

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Batched, GraphError, Tensor, all_examples, backend_of
from tinygrad_like.engine.errors import describe
from tinygrad_like.engine.modes import tell_of_copy
from tinygrad_like.ops.arrays.shape import moveaxis

PLAIN = frozenset((int, type(None), type(Ellipsis)))  # parts of an index that stay as they are
BOUNDS = frozenset((int, type(None)))  # what the parts of a plain slice are
WHOLE = slice(None)


def raw_index(name, x, index):
    """An index of a Tensor or array `x` in normal form, checked; it shares no memory.

    Sequences, Tensors and foreign arrays become arrays on the device of `x`, a single integer in
    an array becomes an int. Raises IndexError where NumPy would.
    """
    for p in index if type(index) is tuple else (index,):
        kind = type(p)
        if kind is slice:
            if type(p.start) in BOUNDS and type(p.stop) in BOUNDS and type(p.step) in BOUNDS:
                continue
        elif kind in PLAIN:
            continue
        return _checked(name, x, index if isinstance(index, tuple) else (index,))
    return index


def _checked(name, x, index):
    be = backend_of(x)
    parts = [_part(name, be, p) for p in index]
    axes = [_axes_of(p) for p in parts]
    rest = x.ndim - sum(axes)
    if rest < 0:
        raise IndexError(
            f"[{name}] the index names {sum(axes)} axes, expected at most {x.ndim} (x: {x.shape})"
        )
    if sum(p is Ellipsis for p in parts) > 1:
        raise IndexError(f"[{name}] the index has more than one '...' (x: {x.shape})")
    axis = 0
    for p, count in zip(parts, axes, strict=True):
        if p is Ellipsis:
            axis += rest
        elif is_mask(p):
            if p.shape != x.shape[axis : axis + count]:
                raise IndexError(
                    f"[{name}] a boolean index is {p.shape}, expected "
                    f"{x.shape[axis : axis + count]} (x: {x.shape})"
                )
        elif hasattr(p, "dtype"):
            backend.of(p).check_index(name, p, x.shape[axis])
        axis += count
    return tuple(parts)


def _part(name, be, p):
    """One part of an index in normal form."""
    if p is None or p is Ellipsis or type(p) is int:
        return p
    if isinstance(p, slice):
        return slice(*(b if b is None else _bound(name, b) for b in (p.start, p.stop, p.step)))
    if isinstance(p, Tensor):
        p = p._array
    if type(p) is Batched:
        return p
    array = p.copy() if type(p) is be.array_type else be.from_host(host_array(name, be, p))
    if array.dtype.kind == "O" and array.ndim == 0 and hasattr(p, "__index__"):
        return operator.index(p)
    if array.dtype.kind not in "iub":
        what = f"has dtype {array.dtype}" if hasattr(p, "dtype") else f"is {_shown(p)}"
        raise IndexError(
            f"[{name}] an index {what}, expected integers, booleans, slices, None or '...'"
        )
    follows = tell_of_copy(p, array)
    return int(array) if not (array.ndim or array.dtype.kind == "b" or follows) else array


def _bound(name, value):
    try:
        return operator.index(value)
    except TypeError:
        raise IndexError(
            f"[{name}] a slice is bounded by {_shown(value)}, expected an integer or None"
        ) from None


def _shown(value):
    return repr(value) if isinstance(value, (str, float, complex)) else describe(value)


def host_array(name, be, p):
    """A new NumPy array of a sequence, a number, a foreign array, or an array of another device."""
    is_sequence = isinstance(p, (list, tuple))
    if not is_sequence:
        _refuse_misplaced(name, be, p)
    try:
        array = np.from_dlpack(p) if _speaks_dlpack_only(p) else np.asarray(p)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise IndexError(f"[{name}] an index cannot be made an array: {error}") from error
    if not is_sequence:
        return array.copy()
    return array.astype(int) if array.size == 0 and array.dtype.kind == "f" else array


def _refuse_misplaced(name, be, p):
    home = backend.of(p)
    if home is not None and home is not backend.CPU:
        raise backend.DeviceError(
            f"[{name}] an index is on {home.device}, x is on {be.device}; bring it there with .to()"
        )
    if isinstance(p, np.ma.MaskedArray):
        raise IndexError(f"[{name}] an index is a masked array, whose mask would be lost")


def _speaks_dlpack_only(p):
    return hasattr(p, "__dlpack__") and not (
        hasattr(p, "__array__") or hasattr(p, "__array_interface__")
    )


class AllPlaces:
    """Inside vmap: the places that an index of one example names in all examples.

    Attributes:
        index: of a tensor (size, *shape), in normal form.

    NumPy puts the axes that arrays make either in their place or in front of all others, and so
    the axis of examples may not come first in what is read.
    """

    def __init__(self, call, shape, index):
        parts = _one_for_each_axis(len(shape), index if isinstance(index, tuple) else (index,))
        arrays = [p for p in parts if hasattr(p, "dtype")]
        self.arrays_ndim = max((p.ndim or int(is_mask(p)) for p in arrays), default=0)
        at = [i for i, p in enumerate(parts) if _is_integer_or_array(p)]
        self.in_place = not arrays or at == list(range(at[0], at[-1] + 1))
        self.before = at[0] if arrays and self.in_place else 0  # axes in front of the arrays'
        self.differs = any(type(p) is Batched and p.mapped for p in parts)
        first = WHOLE
        if self.differs:
            count = backend_of(next(p for p in parts if type(p) is Batched).inner).xp.arange
            first = count(call.size).reshape(-1, *(1,) * self.arrays_ndim)
        self.index = (first, *(self._of_all(p) for p in parts))

    def _of_all(self, p):
        return p.aligned(self.arrays_ndim)._array if type(p) is Batched else p

    def _moves(self):
        """(source, destination) axes that bring what is read to (size, *one example's)."""
        n = self.arrays_ndim
        if self.differs:  # (size, the arrays' axes, the others)
            return tuple(range(1, n + 1)), tuple(range(self.before + 1, self.before + n + 1))
        return ((0,), (0,)) if self.in_place else ((n,), (0,))

    def first(self, y):
        """What was read, with the axis of examples first."""
        source, destination = self._moves()
        return y if source == destination else moveaxis(y, source, destination)

    def as_read(self, g):
        """The opposite of `first`."""
        source, destination = self._moves()
        return g if source == destination else moveaxis(g, destination, source)


def _one_for_each_axis(ndim, index):
    """An index with whole axes for `...`, and arrays of integers for masks."""
    rest = ndim - sum(map(_axes_of, index))
    parts: list = []
    for p in index:
        if p is Ellipsis:
            parts += [WHOLE] * rest
        elif is_mask(p) and p.ndim:
            if type(p) is Batched and p.mapped:
                raise GraphError(
                    "[getitem] a boolean index may choose another number of elements in each "
                    "example, so that vmap cannot join them; use where()"
                )
            raw = all_examples(p)
            parts += backend.of(raw).xp.nonzero(raw)
        else:
            parts.append(p)
    return parts


def is_mask(p):
    """Whether a part of an index in normal form is an array of booleans."""
    return getattr(getattr(p, "dtype", None), "kind", None) == "b"


def _axes_of(p):
    """How many axes of the tensor a part of an index reads, without those of `...`."""
    return p.ndim if is_mask(p) else int(p is not None and p is not Ellipsis)


def may_repeat(index):
    """Whether an index in normal form may name a place more than once."""
    return isinstance(index, tuple) and any(
        getattr(p, "size", 0) > 1 and p.dtype.kind != "b" for p in index
    )


def add_at(be, out, index, updates):
    """A C-contiguous `out` with `updates` added at an index in normal form; repeats add up.

    Works in `out` where it can. The sums are those of the kernel scatter_add_: of half types in
    float32, and the same bits each time. The index becomes a list of row numbers. Axes that it
    leaves whole are the columns; those in front of the others are first moved behind them.
    """
    index, last = _without_trailing(index, out.ndim)
    lead = _leading(index)
    if lead and updates.size and is_one_array(index[lead:]):
        size, width = out.shape[lead], math.prod(out.shape[lead + 1 :])
        numbers = _row_numbers(be, (size,), index[lead:]).reshape(-1)
        count = math.prod(out.shape[:lead])
        new = be.xp.ascontiguousarray(updates).reshape(count, numbers.size, width)
        be.k.add_slices_(out.reshape(count, size, width), numbers, new)
        return out
    if lead:
        front, behind = tuple(range(lead)), tuple(range(last - lead, last))
        out = be.xp.ascontiguousarray(be.xp.moveaxis(out, front, behind))
        reads = updates.ndim - (out.ndim - last) - lead  # axes that the index made of those it read
        updates = be.xp.moveaxis(updates, front, tuple(range(reads, reads + lead)))
        index, last = index[lead:], last - lead
    table, row = out.shape[:last], out.shape[last:]
    if updates.size:
        numbers = _row_numbers(be, table, index).reshape(-1)
        width = math.prod(row)
        flat = out.reshape(math.prod(table), width)
        updates = be.xp.ascontiguousarray(updates).reshape(numbers.size, width)
        be.k.scatter_add_(flat, numbers, updates)
    if lead:
        out = be.xp.ascontiguousarray(be.xp.moveaxis(out, behind, front))
    return out


def is_one_array(parts):
    """Whether parts of an index are an array of integers alone."""
    return len(parts) == 1 and getattr(getattr(parts[0], "dtype", None), "kind", "") in ("i", "u")


def is_whole(p):
    return type(p) is slice and p == WHOLE


def _without_trailing(index, ndim):
    """(an index without the whole axes at its end, how many axes are left)."""
    parts, popped = list(index), 0
    while parts and (is_whole(parts[-1]) or parts[-1] is Ellipsis):
        popped += parts.pop() is not Ellipsis
    if any(p is Ellipsis for p in parts):
        return _without_leading_ellipsis(parts, ndim - popped), ndim - popped
    return parts, sum(map(_axes_of, parts))


def _without_leading_ellipsis(parts, last):
    """`[..., i]` as `[:, :, i]`; elsewhere an ellipsis may separate arrays, and stays."""
    if parts[0] is not Ellipsis:
        return parts
    return [WHOLE] * (last - sum(map(_axes_of, parts))) + parts[1:]


def _leading(parts):
    """How many whole axes stand before the others, if those are read by integers and arrays."""
    lead = next(i for i, p in enumerate(parts) if not is_whole(p))
    return lead if all(_is_integer_or_array(p) for p in parts[lead:]) else 0


def _is_integer_or_array(p):
    return type(p) is int or hasattr(p, "dtype")


def _row_numbers(be, table, index):
    """The numbers of the rows that an index reads, in the order in which it reads them."""
    xp = be.xp
    steps = [math.prod(table[i + 1 :]) for i in range(len(table))]
    if not all(map(_is_integer_or_array, index)):
        # The positions along each axis, broadcast to the table, and read as the table would be.
        total = 0
        for axis, (n, step) in enumerate(zip(table, steps, strict=True)):
            line = xp.arange(n).reshape(n, *(1,) * (len(table) - axis - 1))
            total = total + xp.broadcast_to(line, table)[tuple(index)] * step
        return total
    total, axis = xp.zeros(1, np.int64), 0
    for p in index:
        for at in xp.nonzero(p) if is_mask(p) and p.ndim else () if is_mask(p) else (p,):
            n, step = table[axis], steps[axis]
            if type(at) is int:
                at = at + n if at < 0 else at
            else:
                at = at.astype(np.int64)
                at = xp.where(at < 0, at + n, at)
            total, axis = total + at * step, axis + 1
    return total
