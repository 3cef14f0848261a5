"""From samples to a batch: stacked, or padded where their lengths differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.data import arguments
from tinygrad_like.engine import Tensor, check_choice
from tinygrad_like.engine.errors import describe

SIDES = "right", "left"


def collate(samples: Sequence[Any]) -> Any:
    """A batch of samples of one kind: arrays and numbers are stacked, along a new first axis.

    Tuples become tuples of batches, dicts dicts of batches; strings and other objects stay in a
    list.

    Raises ValueError for samples that differ in shape, length or keys; TypeError for Tensors.

    >>> x, words = collate([(np.ones(2), "a"), (np.zeros(2), "b")])
    >>> x.shape, words
    ((2, 2), ['a', 'b'])
    """
    first = samples[0]
    if isinstance(first, Tensor):
        raise TypeError("[collate] a sample is a Tensor; keep arrays in datasets, or .numpy() them")
    if isinstance(first, dict):
        keys = {frozenset(s) if isinstance(s, dict) else None for s in samples}
        if len(keys) > 1:
            raise ValueError(f"[collate] the samples have other keys: {sorted(map(str, keys))}")
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        lengths = {len(s) if isinstance(s, (tuple, list)) else None for s in samples}
        if len(lengths) > 1:
            raise ValueError(f"[collate] samples have {sorted(map(str, lengths))} parts")
        return tuple(collate(parts) for parts in zip(*samples, strict=True))
    if not isinstance(first, (np.ndarray, np.generic, bool, int, float, complex)):
        return list(samples)
    shapes = {np.shape(sample) for sample in samples}
    if len(shapes) > 1:
        raise ValueError(
            f"[collate] samples of a batch have shapes {sorted(shapes, key=str)}, expected one; "
            "pass collate=PadCollate() to pad them"
        )
    return np.stack([np.asarray(sample) for sample in samples])


class Padded(NamedTuple):
    """Sequences of different lengths as one array.

    `values` (N, L, ...), `lengths` int64 (N,) and `padding`, booleans (N, L): True where there is
    none of the sequence, as the `key_padding_mask` of attention has it.
    """

    values: np.ndarray
    lengths: np.ndarray
    padding: np.ndarray


def pad_sequence(
    sequences: Sequence[Any],
    *,
    padding_value: Any = 0,
    padding_side: str = "right",
    length: int | None = None,
) -> Padded:
    """Sequences (L_i, ...) as one array (N, L, ...), filled up with `padding_value`.

    Args:
        sequences: arrays or lists that differ in the length of their first axis alone.
        padding_side: "right" or "left" of the values.
        length: L; by default the largest of theirs.

    Returns:
        A Padded of the values, the lengths and where there is padding.

    Raises TypeError for arrays without axes; ValueError for no sequences, further axes that
    differ, and sequences longer than `length`.

    >>> batch = pad_sequence([[1, 2, 3], [4]])
    >>> batch.values.tolist(), batch.lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    >>> batch.padding.tolist()
    [[False, False, False], [False, True, True]]
    """
    name = "pad_sequence"
    check_choice(name, "padding_side", padding_side, SIDES)
    arrays = [np.asarray(each) for each in sequences]
    if not arrays:
        raise ValueError(f"[{name}] got no sequences, expected at least one")
    for i, array in enumerate(arrays):
        if array.ndim == 0 or array.dtype.kind == "O":
            raise TypeError(
                f"[{name}] sequence {i} is {describe(sequences[i])}, expected an array (L, ...)"
            )
    rests = {array.shape[1:] for array in arrays if array.size or array.ndim > 1}
    if len(rests) > 1:
        raise ValueError(f"[{name}] the sequences have the shapes {[a.shape for a in arrays]}, "
                         "expected such as differ in the first axis alone")  # fmt: skip
    lengths = np.array([len(array) for array in arrays])
    longest = int(lengths.max())
    if length is None:
        length = longest
    elif arguments.positive(name, "length", length) < longest:
        raise ValueError(f"[{name}] a sequence has {longest} elements, more than length={length}")
    # An empty list is of float64 to NumPy, whatever the others are.
    dtype = np.result_type(*({a.dtype for a in arrays if len(a)} or {arrays[0].dtype}))
    rest = rests.pop() if rests else ()
    values = np.full((len(arrays), length, *rest), padding_value, dtype)
    places = np.arange(length)
    padding = places >= lengths[:, None]
    if padding_side == "left":
        padding = padding[:, ::-1].copy()
    for row, is_padding, array in zip(values, padding, arrays, strict=True):
        if len(array):
            row[~is_padding] = array
    return Padded(values, lengths, padding)


class PadCollate:
    """A `collate` for samples whose arrays differ in length: they become Padded.

    Args:
        fields: which parts of a sample (indices of a tuple, keys of a dict) are padded; None for
            all that have an axis. The others are stacked. A sample that is a single array is
            padded.
        padding_value: for all fields, or a dict with that of some: {1: -100}; 0 for the others.
        padding_side: "right" or "left".
        multiple: lengths are rounded up to multiples of it.

    Raises ValueError for fields that no sample has.

    >>> samples = [(np.array([1, 2, 3]), 0), (np.array([4]), 1)]
    >>> tokens, labels = PadCollate()(samples)
    >>> tokens.values.shape, tokens.lengths.tolist(), labels.tolist()
    ((2, 3), [3, 1], [0, 1])
    """

    def __init__(
        self,
        fields: Sequence[Any] | None = None,
        *,
        padding_value: Any = 0,
        padding_side: str = "right",
        multiple: int = 1,
    ):
        self.fields = None if fields is None else tuple(fields)
        self.padding_value = padding_value
        self.padding_side = check_choice("PadCollate", "padding_side", padding_side, SIDES)
        self.multiple = arguments.positive("PadCollate", "multiple", multiple)

    def __call__(self, samples: Sequence[Any]) -> Any:
        first = samples[0]
        if not isinstance(first, (tuple, list, dict)):
            return self._padded(None, samples)
        keys = list(first) if isinstance(first, dict) else list(range(len(first)))
        known = keys if self.fields is None else self.fields
        lacking = [field for field in known if field not in keys]
        if lacking:
            raise ValueError(f"[PadCollate] the samples have {keys}, no field {lacking[0]!r}")
        batch = collate_by_field(keys, samples, known, self._field)
        return batch if isinstance(first, dict) else tuple(batch.values())

    def _field(self, key: Any, values: list[Any]) -> Any:
        is_sequence = np.ndim(values[0]) > 0 if not isinstance(values[0], (str, bytes)) else False
        if self.fields is None and not is_sequence:
            return collate(values)
        return self._padded(key, values)

    def _padded(self, key: Any, values: Sequence[Any]) -> Padded:
        fill = self.padding_value
        if isinstance(fill, dict):
            fill = fill.get(key, 0)
        longest = max(len(np.atleast_1d(value)) for value in values)
        length = max(-(-longest // self.multiple), 1) * self.multiple
        return pad_sequence(
            values, padding_value=fill, padding_side=self.padding_side, length=length
        )


def collate_by_field(keys, samples, chosen, function):
    """{key: function(key, values) of the chosen fields, and collate(values) of the others}."""
    batch = {}
    for key in keys:
        values = [sample[key] for sample in samples]
        batch[key] = function(key, values) if key in chosen else collate(values)
    return batch
