"""ArrayLike: what stands in for an array while a function is watched (Batched, Traced)."""

import math
from typing import Any


class ArrayLike:
    """The sizes of an array that has only a `shape` and a `dtype`."""

    __slots__ = ()

    shape: Any
    dtype: Any

    @property
    def ndim(self):
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self):
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def itemsize(self):
        """The bytes of an element."""
        return self.dtype.itemsize
