"""Which kernels compute: ours, or those of the array library."""

from collections import deque
from functools import partial
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any

from tinygrad_like.kernels.undo import Undoing

WHICH = "ours", "vendor", "reference", "tf32"
_BACKENDS: list[Any] = []  # all that were made
_run_through: Any = deque(maxlen=0).extend


def join(backend):
    """Let a new backend use the kernels that are chosen, now and whenever that changes."""
    backend.k = backend.tables[_Choice.chosen]
    _BACKENDS.append(backend)


class _Choice(Undoing):
    """A choice of kernels: made when the object is, taken back at the end of a `with` block.

    A second block with the same object makes it again.
    """

    chosen = "ours"

    def __init__(self, which):
        super().__init__()
        self._which = which
        self._before: str | None = _Choice.chosen
        Undoing(self._changes(which)).close()  # makes them

    def __enter__(self):
        before = _Choice.chosen if self._before is None else self._before
        self._before = None
        # The same object may be entered again inside its block.
        self._at_end([*self._changes(before), partial(setattr, self, "close", self.close)])
        Undoing(self._changes(self._which)).close()
        return self

    @staticmethod
    def _changes(which):
        """The changes that make a choice, for all backends that exist when they are made."""
        tables = map(itemgetter(which), map(attrgetter("tables"), _BACKENDS))
        return [
            partial(setattr, _Choice, "chosen", which),
            partial(_run_through, map(setattr, _BACKENDS, repeat("k"), tables)),
        ]


def use_kernels(which):
    """Choose, for all devices, which kernels compute.

    * `"ours"`, the default: compiled for the CPU, CUDA C++ on a GPU.
    * `"reference"`: every kernel in plain NumPy (CuPy on a GPU), which defines what it computes.
    * `"vendor"`: those of the array library. As the reference is written in its functions, these
      are the same: NumPy with its BLAS on the CPU, CuPy with cuBLAS on a GPU.
    * `"tf32"`: ours, with products of float32 matrices on a GPU's tensor cores, which round their
      inputs to 11 bits.

    The choice holds for good, or for a `with` block:

    >>> import tinygrad_like as tg
    >>> with tg.use_kernels("reference"):
    ...     tg.ones((2, 2)) @ tg.ones(2)
    Tensor([2., 2.], dtype=float32)

    Raises ValueError for any other name.
    """
    if which not in WHICH:
        expected = ", ".join(map(repr, WHICH[:-1])) + f" or {WHICH[-1]!r}"
        raise ValueError(f"[use_kernels] got {which!r}, expected {expected}")
    return _Choice(which)
