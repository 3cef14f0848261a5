"""The dtypes of ONNX as NumPy's, and the declared types of inputs."""

from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.onnx.load.errors import OnnxError, Refused

# The codes of TensorProto.DataType that arrays here may have.
DTYPES: dict[int, np.dtype] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    14: np.dtype(np.complex64),
    15: np.dtype(np.complex128),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


def dtype_of(code: int, what: str) -> np.dtype:
    """The dtype of a code; Refused, in the name of what has it, for one that arrays cannot have."""
    if code not in DTYPES:
        import onnx

        known = code in onnx.TensorProto.DataType.values()
        name = onnx.TensorProto.DataType.Name(code) if known else code
        raise Refused(f"[onnx] {what} has the dtype {name}, which this library does not have")
    return DTYPES[code]


class Declared(NamedTuple):
    """The declared type of an input or output; a dimension is a length, a name, or None."""

    name: str
    kind: str  # "tensor", "sequence" or "optional"
    dtype: np.dtype | None
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        if self.kind != "tensor":
            return self.kind
        lengths = "any shape" if self.shape is None else _shown(self.shape)
        return f"{self.dtype} {lengths}"


def _shown(shape):
    inner = ", ".join("?" if n is None else str(n) for n in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def declared(value: Any) -> Declared:
    """The declared type of a ValueInfoProto; Refused for dtypes that this library does not have."""
    kind = (value.type.WhichOneof("value") or "tensor_type").removesuffix("_type")
    if kind not in ("tensor", "sequence", "optional"):
        raise Refused(f"[onnx] {value.name!r} is a {kind}, which this library does not have")
    if kind != "tensor":
        return Declared(value.name, kind, None, None)
    of = value.type.tensor_type
    dtype = dtype_of(of.elem_type, f"{value.name!r}") if of.elem_type else None
    shape = None
    if of.HasField("shape"):
        shape = tuple(
            d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in of.shape.dim
        )
    return Declared(value.name, kind, dtype, shape)


def check(given: Any, of: Declared, lengths: dict[str, int], floating: np.dtype | None) -> None:
    """Raise OnnxError unless a Tensor has a declared type.

    Args:
        lengths: the lengths of named dimensions that were seen, to which new ones are added.
        floating: a dtype that floating inputs may have instead of theirs: that of the parameters.
    """
    fits = of.dtype in (None, given.dtype)
    if not fits and of.dtype is not None and of.dtype.kind == "f":
        fits = given.dtype == floating
    if not fits:
        raise OnnxError(
            f"[onnx] input {of.name!r} has dtype {given.dtype}, expected {of.dtype} "
            f"(convert it: x.astype(np.{of.dtype}))"
        )
    if of.shape is None:
        return
    expected = [lengths.get(n, n) if isinstance(n, str) else n for n in of.shape]
    same = len(expected) == given.ndim and all(
        not isinstance(n, int) or n == m for n, m in zip(expected, given.shape, strict=True)
    )
    if not same:
        known = {n: lengths[n] for n in of.shape if isinstance(n, str) and n in lengths}
        raise OnnxError(
            f"[onnx] input {of.name!r} has shape {given.shape}, expected {_shown(of.shape)}"
            + (f", where {known} by other inputs" if known else "")
        )
    lengths.update((n, m) for n, m in zip(of.shape, given.shape, strict=True) if type(n) is str)
