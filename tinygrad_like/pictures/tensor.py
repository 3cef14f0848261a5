"""A Tensor in a notebook: its values, at the edges if they are many, and a picture of a matrix.

Of a tensor on another device only the values that are shown are copied to the host.
"""

import base64
from html import escape
from typing import Any

import numpy as np

from tinygrad_like.engine import backend_of
from tinygrad_like.pictures import png, text

FEW, EDGE = 12, 4  # longer axes than FEW show EDGE items at each end
SLICES = 2  # matrices that are shown of an array of more axes
COUNTED = 1_000_000  # elements of which extremes and mean are computed
CELL = 'style="padding: 1px 6px; text-align: right; font-family: monospace; border: none"'


def html(tensor: Any) -> str:
    """The HTML of a Tensor."""
    array, be = tensor.data, backend_of(tensor)
    parts = [f"<div><b>Tensor</b> {escape(_kind(tensor))}</div>"]
    if array.size:
        parts.append(_values(array, be))
    if array.ndim == 2 and min(array.shape) >= FEW and array.dtype.kind in "fiubV":
        parts.append(_picture(array, be))
    if array.size and array.size <= COUNTED and tensor.device == "cpu":
        parts.append(f'<div style="color: #57606a">{escape(_figures(array))}</div>')
    return f"<div>{''.join(parts)}</div>"


def _kind(tensor: Any) -> str:
    notes = [f"{text.of_array(tensor.shape, tensor.dtype)}, {tensor.device}"]
    notes.append(text.of_bytes(tensor.data.nbytes))
    if tensor.node is not None:
        plan = tensor.node.plan
        notes.append("requires_grad" if plan is None else f"op {plan.op.name}")
    return ", ".join(notes)


def _values(array: Any, be: Any) -> str:
    """Tables of the last two axes: of all others, the first few indices."""
    if array.ndim < 2:
        return _table(array.reshape(1, -1), be)
    leading = array.shape[:-2]
    count = int(np.prod(leading, dtype=np.int64))
    found = []
    for i in range(min(count, SLICES)):
        index = tuple(map(int, np.unravel_index(i, leading))) if leading else ()
        if leading:
            found.append(f"<div>[{', '.join(map(str, index))}]</div>")
        found.append(_table(array[index], be))
    if count > SLICES:
        found.append(f"<div>… and {count - SLICES:,} more</div>")
    return "".join(found)


def _table(matrix: Any, be: Any) -> str:
    rows, columns = (_edges(length) for length in matrix.shape)
    shown = be.to_host(_taken(_taken(matrix, rows, 0, be), columns, 1, be))
    lines = []
    for i, line in zip(rows, _with_gaps(rows, shown), strict=True):
        cells = ["…"] * len(columns) if i is None else map(_number, _with_gaps(columns, line))
        lines.append("".join(f"<td {CELL}>{escape(cell)}</td>" for cell in cells))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="border-collapse: collapse">{body}</table>'


def _edges(length: int) -> list[int | None]:
    """The indices that are shown, with None where some are left out."""
    if length <= FEW:
        return list(range(length))
    return [*range(EDGE), None, *range(length - EDGE, length)]


def _taken(matrix: Any, indices: list[int | None], axis: int, be: Any) -> Any:
    if None not in indices:
        return matrix
    ends = (slice(EDGE), slice(matrix.shape[axis] - EDGE, None))
    return be.xp.concatenate([matrix[end] if axis == 0 else matrix[:, end] for end in ends], axis)


def _with_gaps(indices: list[int | None], values: Any) -> list[Any]:
    found = iter(values)
    return [None if i is None else next(found) for i in indices]


def _number(value: Any) -> str:
    if value is None:
        return "…"
    if isinstance(value, np.complexfloating):
        return f"{complex(value):.3g}"
    if isinstance(value, np.floating):
        return f"{float(value):.{3 if value.itemsize == 2 else 4}g}"
    return str(value)


def _picture(array: Any, be: Any) -> str:
    small = be.to_host(png.thinned(array))
    data = base64.b64encode(png.of_matrix(small)).decode()
    scale = max(1, 160 // max(small.shape))
    return (
        f'<img alt="the matrix as a picture" src="data:image/png;base64,{data}" '
        f'width="{small.shape[1] * scale}" height="{small.shape[0] * scale}" '
        'style="image-rendering: pixelated; margin: 4px 0; border: 1px solid #d0d7de">'
    )


def _figures(array: np.ndarray) -> str:
    """The least, mean and largest value, and how many are not finite."""
    if array.dtype.kind == "b":
        return f"{np.count_nonzero(array):,} of {array.size:,} true"
    if array.dtype.kind == "c":
        array = np.abs(array)
    values = array.astype(np.float64)
    finite = values[np.isfinite(values)]
    notes = []
    if finite.size:
        with np.errstate(over="ignore"):
            mean = finite.mean()
        notes.append(f"from {finite.min():.4g} to {finite.max():.4g}, mean {mean:.4g}")
    nans = int(np.isnan(values).sum())
    for count, what in ((nans, "NaN"), (values.size - finite.size - nans, "infinite")):
        if count:
            notes.append(f"{count:,} {what}")
    return ", ".join(notes)
