"""Statistics: running statistics of arrays, which are not kept."""

from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor, all_examples

BINS = 64  # of a histogram, an even number
LARGEST = 1e150


class Statistics:
    """Moments, extremes, zeros and a histogram of all arrays that were added so far.

    Complex numbers count by their absolute values. NaN, infinities and values of 1e150 or more,
    whose squares overflow a sum, are counted in `nonfinite` and left out of all other figures.

    >>> import numpy as np
    >>> seen = Statistics()
    >>> seen.add(np.array([0.0, 1.0, 2.0]))
    >>> seen.add(np.array([5.0]))
    >>> seen.count, seen.mean, seen.min, seen.max, seen.zeros
    (4, 2.0, 0.0, 5.0, 0.25)
    """

    def __init__(self) -> None:
        self.count = 0  # of finite elements
        self.nonfinite = 0
        self.mean = self._squares = self._energy = 0.0  # _squares: of the distances from the mean
        self.min, self.max = np.inf, -np.inf
        self._zeros = 0
        self._low = self._width = 0.0  # of the first bin
        self._counts = np.zeros(BINS, np.int64)

    def add(self, x: Any) -> None:
        """Count the elements of a Tensor or an array, inside vmap those of all examples.

        Raises TypeError for what holds no numbers, or is neither.
        """
        array = all_examples(x._array if type(x) is Tensor else x)
        be = backend.of(array)
        if be is None or array.dtype.kind not in "biufcV":
            got = f"a {type(x).__name__}" if be is None else f"an array of {array.dtype}"
            raise TypeError(f"[Statistics] x is {got}, expected a Tensor or an array of numbers")
        values = be.to_host(array).ravel()
        values = np.abs(values) if values.dtype.kind == "c" else values
        values = values.astype(np.float64)
        finite = np.abs(values) < LARGEST
        if not finite.all():
            self.nonfinite += int(values.size - finite.sum())
            values = values[finite]
        if not values.size:
            return
        n, mean, total = values.size, float(values.mean()), self.count + values.size
        shift = mean - self.mean
        self._squares += float(np.square(values - mean).sum()) + shift**2 * self.count * n / total
        self._energy += float(np.square(values).sum())
        self.mean += shift * n / total
        self.count = total
        self.min, self.max = min(self.min, float(values.min())), max(self.max, float(values.max()))
        self._zeros += int(n - np.count_nonzero(values))
        self._fit_range()
        reach = self._low, self._low + BINS * self._width
        self._counts += np.histogram(values, BINS, reach)[0]

    def _fit_range(self) -> None:
        """Widen the bins until they cover all values: pairs of neighbours are merged.

        Their width is a power of two and their bounds are multiples of it, so that no rounding
        moves a value from one bin to another.
        """
        if not self._width:
            span = max(self.max - self.min, abs(self.max) * 2.0**-40, 2.0**-100)
            self._width = 2.0 ** np.ceil(np.log2(span / (BINS - 1)))
            self._low = float(np.floor(self.min / self._width)) * self._width
        half = BINS // 2
        while self.max >= self._low + BINS * self._width:
            self._counts = np.append(self._counts.reshape(half, 2).sum(1), np.zeros(half, np.int64))
            self._width *= 2
        while self.min < self._low:
            self._counts = np.append(np.zeros(half, np.int64), self._counts.reshape(half, 2).sum(1))
            self._low -= BINS * self._width
            self._width *= 2

    @property
    def std(self) -> float:
        """The standard deviation, divided by the count (ddof = 0)."""
        return float(np.sqrt(self._squares / self.count)) if self.count else 0.0

    @property
    def norm(self) -> float:
        """The Euclidean norm of all elements together."""
        return float(np.sqrt(self._energy))

    @property
    def zeros(self) -> float:
        """The fraction of elements that are zero."""
        return self._zeros / self.count if self.count else 0.0

    @property
    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """(counts, edges) as `np.histogram` returns them, of 64 bins of equal width."""
        return self._counts.copy(), self._low + self._width * np.arange(BINS + 1)

    def __repr__(self) -> str:
        if not self.count:
            return f"Statistics(count=0, nonfinite={self.nonfinite})"
        text = f"mean={self.mean:.4g}, std={self.std:.4g}, min={self.min:.4g}, max={self.max:.4g}"
        text += f", zeros={self.zeros:.1%}, norm={self.norm:.4g}, count={self.count:,}"
        return f"Statistics({text}{f', nonfinite={self.nonfinite}' if self.nonfinite else ''})"
