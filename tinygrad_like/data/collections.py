"""Datasets of lists, and datasets made of datasets: parts, chains, and samples that are mapped."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from tinygrad_like.data import arguments
from tinygrad_like.data.arguments import DRAWN
from tinygrad_like.data.dataset import Dataset
from tinygrad_like.engine import check_number
from tinygrad_like.engine.errors import describe


def check_dataset(owner: str, dataset: Any) -> None:
    """Raise TypeError unless it has a length and can be indexed, as datasets can."""
    is_plain = isinstance(dataset, (list, tuple, dict, str, bytes)) or hasattr(dataset, "shape")
    if is_plain or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        kind = type(dataset).__name__
        fix = "ListDataset(samples)" if isinstance(dataset, list) else "Dataset(x, y)"
        raise TypeError(f"[{owner}] got {kind}, expected a Dataset: try {fix}")


def checked_index(owner: str, index: Any, length: int) -> int:
    """An index from 0 to less than `length`; negative ones count from the end."""
    if isinstance(index, (bool, np.bool_)) or not isinstance(index, (int, np.integer)):
        raise IndexError(f"[{owner}] index is {describe(index)}, expected an integer")
    place = int(index)
    if not -length <= place < length:
        raise IndexError(f"[{owner}] index {place} does not fit {length} samples")
    return place % length


class ListDataset:
    """Samples of any kind, one by one: those of a list, or all that a generator gives.

    `dataset[i]` is a sample: an array, a tuple of them, a dict, a string. DataLoader makes batches
    of them with `collate`.

    Raises TypeError for what cannot be walked through.

    >>> dataset = ListDataset((n, n * n) for n in range(4))
    >>> len(dataset), dataset[-1]
    (4, (3, 9))
    """

    def __init__(self, samples: Iterable[Any]):
        if not hasattr(samples, "__iter__"):
            raise TypeError(f"[ListDataset] samples is {describe(samples)}, expected an iterable")
        self.samples = list(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: Any) -> Any:
        return self.samples[checked_index("ListDataset", index, len(self))]


class Subset:
    """The samples of a dataset at some indices, in their order; an index may come twice.

    Raises TypeError for what is not a dataset or not integers, IndexError for an index out of
    range.

    >>> part = Subset(Dataset(np.arange(5) * 10), [3, 1])
    >>> [int(x) for (x,) in (part[0], part[1])]
    [30, 10]
    """

    def __init__(self, dataset: Any, indices: Any):
        check_dataset("Subset", dataset)
        self.dataset = dataset
        self.indices = np.array(indices)
        if self.indices.size == 0:
            self.indices = self.indices.astype(np.int64).reshape(0)
        if self.indices.dtype.kind not in "iu" or self.indices.ndim != 1:
            raise TypeError(
                f"[Subset] indices are {self.indices.dtype} {self.indices.shape}, expected "
                "integers of shape (N,)"
            )
        wrong = self.indices[(self.indices < 0) | (self.indices >= len(dataset))]
        if wrong.size:
            raise IndexError(f"[Subset] there is no sample {wrong[0]} among {len(dataset)}")

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[int(self.indices[checked_index("Subset", index, len(self))])]


class ConcatDataset:
    """Datasets one after another.

    Raises TypeError for what is not a dataset, ValueError for none.

    >>> both = ConcatDataset([ListDataset("ab"), ListDataset("c")])
    >>> len(both), both[2]
    (3, 'c')
    """

    def __init__(self, datasets: Iterable[Any]):
        if hasattr(datasets, "shape") or not hasattr(datasets, "__iter__"):
            kind = describe(datasets)
            raise TypeError(f"[ConcatDataset] got {kind}, expected a list of datasets")
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("[ConcatDataset] got no datasets, expected at least one")
        for dataset in self.datasets:
            check_dataset("ConcatDataset", dataset)
        self._ends = list(accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: Any) -> Any:
        place = checked_index("ConcatDataset", index, len(self))
        i = bisect_right(self._ends, place)
        return self.datasets[i][place - (self._ends[i - 1] if i else 0)]


class MappedDataset:
    """`function(sample)` of each sample of a dataset, when it is asked for.

    A function that draws random numbers belongs to `Map`, which repeats and resumes them.

    Raises TypeError for what is not a dataset or not a function.

    >>> dataset = MappedDataset(ListDataset([1, 2, 3]), lambda n: n * n)
    >>> dataset[2]
    9
    """

    def __init__(self, dataset: Any, function: Callable[[Any], Any]):
        check_dataset("MappedDataset", dataset)
        if not callable(function):
            raise TypeError(
                f"[MappedDataset] function is {describe(function)}, expected a function"
            )
        self.dataset, self.function = dataset, function

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.function(self.dataset[checked_index("MappedDataset", index, len(self))])


def random_split(dataset: Any, lengths: Sequence[float], *, seed: Any = DRAWN) -> list[Subset]:
    """The samples of a dataset, shuffled and cut into parts.

    Args:
        dataset: what has a length and indices.
        lengths: how many samples each part has, all together those of the dataset; or fractions
            whose sum is 1: each part has as many as its fraction rounded down, and those that
            are left go one each to the first parts.
        seed: that of the shuffle; by default one that is drawn from the stream of `tg.seed`.

    Returns:
        A Subset for each part.

    Raises TypeError for other arguments, ValueError for lengths that do not fit.

    >>> train, test = random_split(ListDataset(range(10)), [0.8, 0.2], seed=0)
    >>> len(train), len(test), sorted([*train.indices, *test.indices]) == list(range(10))
    (8, 2, True)
    """
    name = "random_split"
    check_dataset(name, dataset)
    if not isinstance(lengths, (list, tuple)) or not lengths:
        raise TypeError(f"[{name}] lengths is {lengths!r}, expected a list of counts or fractions")
    total = len(dataset)
    if any(isinstance(each, (float, np.floating)) for each in lengths):
        parts = [check_number(name, "a fraction", each, 0, 1) for each in lengths]
        if abs(sum(parts) - 1) > 1e-6:
            raise ValueError(f"[{name}] the fractions {lengths} have the sum {sum(parts)}, not 1")
        # A product such as 0.29 * 100 may lie just below the integer that is meant.
        counts = [int(total * part + 1e-9) for part in parts]
        for i in range(total - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = [arguments.count(name, "a length", each) for each in lengths]
    if sum(counts) != total:
        raise ValueError(f"[{name}] the lengths {lengths} have the sum {sum(counts)}, not {total}")
    key = np.array([arguments.seed(name, seed), 0], dtype=np.uint64)
    order = np.random.Generator(np.random.Philox(key=key)).permutation(total)
    ends = list(accumulate(counts))
    return [Subset(dataset, order[end - n : end]) for n, end in zip(counts, ends, strict=True)]


def samples_at(dataset: Any, indices: np.ndarray) -> Any:
    """The batch at some indices, a tuple of arrays; None if the dataset is not one of arrays."""
    while isinstance(dataset, Subset):
        dataset, indices = dataset.dataset, dataset.indices[indices]
    return dataset[indices] if isinstance(dataset, Dataset) else None
