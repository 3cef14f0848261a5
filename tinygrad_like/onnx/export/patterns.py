"""Constants whose shape follows the dynamic axes, told from what they are at several sizes.

Zeros for a first state, positions `arange(T)`, causal masks: what `fitted` recognises is computed
by the exported model from the sizes of its inputs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.onnx.export.sizes import Size, size_of


class Uniform(NamedTuple):
    """One value everywhere."""

    value: Any


class Ramp(NamedTuple):
    """(start + the sum of step * place along each axis) // divisor."""

    start: "int | Size"
    steps: "tuple[int | Size, ...]"
    divisor: "int | Size" = 1


class Band(NamedTuple):
    """`inside` where low <= column - row <= high in the last two axes, else `outside`.

    A bound of None is no bound.
    """

    inside: Any
    outside: Any
    low: "int | Size | None"
    high: "int | Size | None"


def fitted(arrays: Sequence[np.ndarray]) -> "Uniform | Ramp | Band | None":
    """The pattern that an array has in all runs, or None."""
    if any(x.ndim != arrays[0].ndim or not x.size for x in arrays):
        return None
    return _uniform(arrays) or _ramp(arrays) or _band(arrays)


def _uniform(arrays: Sequence[np.ndarray]) -> Uniform | None:
    value = arrays[0].flat[0]
    same = all((x == value).all() for x in arrays) or all((x != x).all() for x in arrays)
    return Uniform(value) if same else None


def _ramp(arrays: Sequence[np.ndarray]) -> Ramp | None:
    """The Ramp, of whole numbers, that all arrays are."""
    if arrays[0].dtype.kind not in "iuf" or not all(np.isfinite(x).all() for x in arrays):
        return None
    first = [x.flat[0].item() for x in arrays]
    steps = [[_step(x, axis) for x in arrays] for axis in range(arrays[0].ndim)]
    for each in steps:  # an axis of one place says nothing about its step
        known = {step for step in each if step is not None} or {0}
        if None in each and len(known) > 1:
            return None
        each[:] = [max(known) if step is None else step for step in each]
    lines = zip(arrays, first, *steps, strict=True)
    if all(v == int(v) for v in first) and all(_is_ramp(*line) for line in lines):
        return Ramp(size_of(first), tuple(map(size_of, steps)))
    return _stairs(arrays)


def _step(x: np.ndarray, axis: int) -> Any:
    """The difference of the first two elements along an axis, None if there is one."""
    if x.shape[axis] < 2:
        return None
    line = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])[0]
    return line[1].item() - line[0].item()


def _is_ramp(x: np.ndarray, start: Any, *steps: Any) -> bool:
    """Whether an array rises from `start` by whole steps along each axis."""
    if any(step != int(step) for step in steps):
        return False
    places = np.indices(x.shape)
    return bool((x == start + sum(s * p for s, p in zip(steps, places, strict=True))).all())


def _stairs(arrays: Sequence[np.ndarray]) -> Ramp | None:
    """0, 0, 1, 1, 2, 2: each number as often as the first one."""
    if any(x.ndim != 1 or x[0] for x in arrays):
        return None
    widths = [int((x == 0).sum()) for x in arrays]
    right = all((x == np.arange(len(x)) // n).all() for x, n in zip(arrays, widths, strict=True))
    return Ramp(0, (1,), size_of(widths)) if right else None


def _band(arrays: Sequence[np.ndarray]) -> Band | None:
    """The Band that all arrays are, of two values."""
    values = np.unique(np.concatenate([np.unique(x) for x in arrays]))
    if arrays[0].ndim < 2 or len(values) != 2:
        return None
    for inside, outside in (values, values[::-1]):
        ends = [_ends(x == inside) for x in arrays]
        if all(e is not None for e in ends):
            low, high = (_bound([e[side] for e in ends if e is not None]) for side in (0, 1))
            if low is not UNKNOWN and high is not UNKNOWN:
                return Band(inside, outside, low, high)
    return None


UNKNOWN: Any = object()


def _ends(mask: np.ndarray) -> tuple | None:
    """(lowest diagonal that is true, whether it is the last there is), and the same of the highest.

    None unless the diagonals that are true follow each other, and all matrices are alike.
    """
    matrices = mask.reshape(-1, *mask.shape[-2:])
    n, m = matrices.shape[1:]
    if not (matrices == matrices[0]).all() or not matrices[0].any():
        return None
    diagonal = np.arange(m) - np.arange(n)[:, None]
    true = diagonal[matrices[0]]
    low, high = int(true.min()), int(true.max())
    if not (matrices[0] == ((low <= diagonal) & (diagonal <= high))).all():
        return None
    return (low, low == 1 - n), (high, high == m - 1)


def _bound(ends: list[tuple[int, bool]]) -> Any:
    """A bound that has been reached in all runs, or in none; UNKNOWN for anything else."""
    if all(last for _, last in ends):
        return None
    inner = {d for d, last in ends if not last}
    if not any(last for _, last in ends):
        return size_of([d for d, _ in ends])
    (d, *more) = inner
    return d if not more and all(abs(e) <= abs(d) for e, last in ends if last) else UNKNOWN
