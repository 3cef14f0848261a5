"""Samplers: in which order a DataLoader takes the samples of an epoch, and in what batches.

An order depends on the random numbers of the epoch alone, and these on the loader's seed and the
epoch's number; so a sampler has no state, and any of them is resumed within an epoch. A new one is
a class with a length and an order:

    class Backwards(Sampler):
        def __len__(self):
            return 10

        def order(self, random):
            return np.arange(10)[::-1]
"""

import zlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from tinygrad_like.data import arguments
from tinygrad_like.engine import check_flag


class Sampler(ABC):
    """The order of the samples of an epoch."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples an epoch has."""

    @abstractmethod
    def order(self, random: np.random.Generator) -> np.ndarray:
        """Their indices, integers (len(self),), from the random numbers of the epoch."""

    def fingerprint(self) -> int:
        """A number that depends on all settings: a state has to bring the same."""
        return _fingerprint(self)


class BatchSampler(ABC):
    """The batches of an epoch."""

    @abstractmethod
    def __len__(self) -> int:
        """How many batches an epoch has."""

    @abstractmethod
    def batches(self, random: np.random.Generator) -> list[np.ndarray]:
        """Their indices, len(self) arrays of integers, from the random numbers of the epoch."""

    def fingerprint(self) -> int:
        """A number that depends on all settings: a state has to bring the same."""
        return _fingerprint(self)


def _fingerprint(sampler):
    """Of the class, and of the attributes that are arrays or plain values, by their names."""
    found = zlib.crc32(type(sampler).__name__.encode())
    for name, value in sorted(vars(sampler).items()):
        if isinstance(value, np.ndarray) and value.dtype != object:
            found = zlib.crc32(f"{name}={value.dtype}{value.shape}".encode(), found)
            found = zlib.crc32(np.ascontiguousarray(value).tobytes(), found)
        elif value is None or isinstance(value, (bool, int, float, str)):
            found = zlib.crc32(f"{name}={value!r}".encode(), found)
    return found


class WeightedSampler(Sampler):
    """`count` samples, each drawn with a probability proportional to its weight.

    Args:
        weights: one number of at least 0 for each sample, (N,).
        count: how many an epoch has; N by default.
        replacement: whether a sample may be drawn again.

    Raises TypeError or ValueError for other weights, and for a count that there are not enough
    samples for.

    >>> from tinygrad_like.data import DataLoader, Dataset
    >>> sampler = WeightedSampler([0, 0, 1], count=4)
    >>> [x.tolist() for (x,) in DataLoader(Dataset(np.arange(3)), 4, sampler=sampler)]
    [[2, 2, 2, 2]]
    """

    def __init__(self, weights: Any, count: int | None = None, *, replacement: bool = True):
        name = "WeightedSampler"
        self.weights = np.array(weights, dtype=np.float64)
        if self.weights.ndim != 1 or not self.weights.size:
            raise ValueError(f"[{name}] weights have shape {self.weights.shape}, expected (N,)")
        if not (np.isfinite(self.weights).all() and self.weights.min() >= 0):
            raise ValueError(f"[{name}] weights have to be finite and at least 0")
        if not self.weights.any():
            raise ValueError(f"[{name}] all weights are 0: no sample can be drawn")
        self.count = (
            len(self.weights) if count is None else arguments.positive(name, "count", count)
        )
        self.replacement = check_flag(name, "replacement", replacement)
        enough = np.count_nonzero(self.weights)
        if not self.replacement and self.count > enough:
            raise ValueError(
                f"[{name}] count is {self.count}, but only {enough} samples have a weight; pass "
                "replacement=True or a lower count"
            )

    def __len__(self) -> int:
        return self.count

    def order(self, random: np.random.Generator) -> np.ndarray:
        peak = self.weights.max()
        if self.replacement:
            sums = np.cumsum(self.weights / peak)
            found = np.searchsorted(sums, random.random(self.count) * sums[-1], side="right")
            return np.minimum(found, np.flatnonzero(self.weights)[-1])
        # The largest of uniform^(1 / weight), as logarithms: Efraimidis and Spirakis 2006.
        with np.errstate(divide="ignore"):
            keys = np.log(random.random(len(self.weights))) / (self.weights / peak)
        keys[self.weights == 0] = -np.inf
        return np.argsort(-keys, kind="stable")[: self.count]


class BalancedSampler(Sampler):
    """As many samples of each class: those of small classes come several times in an epoch.

    Args:
        labels: the class of each sample, (N,) of integers or strings.
        per_class: how many samples of each class an epoch has; by default as many as the largest
            class. Each sample of a class comes once before one comes again.

    Raises ValueError for labels of another shape.

    >>> sampler = BalancedSampler([0, 0, 0, 1])
    >>> order = sampler.order(np.random.default_rng(0))
    >>> len(sampler), np.sort(order).tolist()
    (6, [0, 1, 2, 3, 3, 3])
    """

    def __init__(self, labels: Any, per_class: int | None = None):
        name = "BalancedSampler"
        self.labels = np.array(labels)
        if self.labels.ndim != 1 or not self.labels.size or self.labels.dtype.kind in "Ofc":
            raise ValueError(
                f"[{name}] labels are {self.labels.dtype} {self.labels.shape}, expected "
                "integers or strings of shape (N,)"
            )
        counts = np.unique(self.labels, return_counts=True)[1]
        self._classes = len(counts)
        self.per_class = int(counts.max())
        if per_class is not None:
            self.per_class = arguments.positive(name, "per_class", per_class)

    def __len__(self) -> int:
        return self._classes * self.per_class

    def order(self, random: np.random.Generator) -> np.ndarray:
        parts = []
        for label in np.unique(self.labels):
            members = np.flatnonzero(self.labels == label)
            rounds = -(-self.per_class // len(members))
            drawn = [random.permutation(members) for _ in range(rounds)]
            parts.append(np.concatenate(drawn)[: self.per_class])
        return random.permutation(np.concatenate(parts))


class BucketSampler(BatchSampler):
    """Batches of samples of similar lengths, so that little is padded.

    With `shuffle`, the samples are shuffled and sorted by length within pools of `pool` batches;
    the batches are then shuffled. Without, they are sorted as a whole, once and for all.

    Args:
        lengths: the length of each sample, integers (N,).
        batch_size: samples in a batch; the last ones may be fewer, `drop_last` leaves them out.

    Raises TypeError or ValueError for other arguments.

    >>> sampler = BucketSampler([5, 1, 4, 2], 2, shuffle=False)
    >>> [batch.tolist() for batch in sampler.batches(np.random.default_rng(0))]
    [[1, 3], [2, 0]]
    """

    def __init__(
        self,
        lengths: Any,
        batch_size: int,
        *,
        pool: int = 100,
        shuffle: bool = True,
        drop_last: bool = False,
    ):
        name = "BucketSampler"
        self.lengths = np.array(lengths)
        if self.lengths.dtype.kind not in "iu" or self.lengths.ndim != 1 or not self.lengths.size:
            raise ValueError(
                f"[{name}] lengths are {self.lengths.dtype} {self.lengths.shape}, expected "
                "integers of shape (N,)"
            )
        self.batch_size = arguments.positive(name, "batch_size", batch_size)
        self.pool = arguments.positive(name, "pool", pool)
        self.shuffle = check_flag(name, "shuffle", shuffle)
        self.drop_last = check_flag(name, "drop_last", drop_last)

    def __len__(self) -> int:
        full, rest = divmod(len(self.lengths), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def batches(self, random: np.random.Generator) -> list[np.ndarray]:
        count, size = len(self.lengths), self.batch_size
        order = random.permutation(count) if self.shuffle else np.arange(count)
        width = size * self.pool if self.shuffle else count
        pools = [order[i : i + width] for i in range(0, count, width)]
        pools = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
        found = [pool[i : i + size] for pool in pools for i in range(0, len(pool), size)]
        if self.drop_last:
            found = [batch for batch in found if len(batch) == size]
        return [found[i] for i in random.permutation(len(found))] if self.shuffle else found
