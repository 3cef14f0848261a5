"""Dataset: arrays of samples, read together."""

import numpy as np

from tinygrad_like.engine import errors


class Dataset:
    """Arrays of one length N, read together: `dataset[index]` is a tuple of `array[index]`.

    An index is an integer, a slice, an array of integers or a boolean mask of shape (N,). Indexing
    follows NumPy: a slice is a view, an array of integers or a mask makes a copy.

    Raises ValueError for no arrays, arrays without axes, or different lengths; IndexError for an
    index that does not fit.

    >>> dataset = Dataset(np.eye(3), np.arange(3), classes=("x", "y", "z"))
    >>> points, labels = dataset[:2]
    >>> labels
    array([0, 1])
    """

    def __init__(self, *arrays, name="", classes=None):
        if not arrays:
            raise ValueError("[Dataset] got no arrays, expected at least one")
        for i, array in enumerate(arrays):
            errors.refuse_masked("Dataset", f"array {i}", array)
        self.arrays = tuple(np.asarray(array) for array in arrays)
        self.name = name
        self.classes = None if classes is None else tuple(classes)
        shapes = ", ".join(str(array.shape) for array in self.arrays)
        if any(array.ndim == 0 for array in self.arrays):
            raise ValueError(f"[Dataset] an array has no axis of samples (shapes: {shapes})")
        if len({len(array) for array in self.arrays}) > 1:
            raise ValueError(f"[Dataset] arrays differ in length (shapes: {shapes})")

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, index):
        if isinstance(index, tuple):
            raise IndexError(f"[Dataset] index {index} is a tuple; samples have one index")
        try:
            return tuple(array[index] for array in self.arrays)
        except IndexError as error:
            raise IndexError(f"[Dataset] index does not fit {len(self)} samples: {error}") from None

    def __repr__(self):
        arrays = ", ".join(f"{array.dtype} {array.shape}" for array in self.arrays)
        return f"Dataset({self.name!r}: {arrays})"
