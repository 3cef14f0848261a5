"""In-place changes: `t[i] = v`, `t += v` and the like.

They change memory, raise the version counter, and are refused where they would cut a recorded
graph: there `t += v` means `t = t + v`, and `t[i] = v` raises.
"""

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Batched, GraphError, Tensor, backend_of, mode
from tinygrad_like.engine.call import NUMBERS
from tinygrad_like.engine.casts import LARGEST_HALF, check_cast, check_numbers
from tinygrad_like.engine.errors import describe, refuse_tensors_within
from tinygrad_like.ops.elements.elementwise import add, divide, multiply, power, subtract
from tinygrad_like.ops.indexing.index import raw_index


def _is_recorded(*tensors):
    return mode.grad and any(isinstance(t, Tensor) and t.node is not None for t in tensors)


def setitem(x, index, value):
    """`x[index] = value`: a number, an array, or a Tensor on the device of `x`.

    Raises:
        GraphError: where it would have to be recorded.
        ValueError: for a value that the dtype of `x` cannot hold, as 1.7 in integers.
        TypeError: for a value that is neither a number nor an array of numbers.
    """
    if _is_recorded(x, value):
        raise GraphError(
            "[setitem] cannot write into a tensor while its gradient is recorded; use where(), "
            "scatter_add() or concatenate(), or write inside `with no_grad():`"
        )
    refuse_tensors_within(value, Tensor)
    raw = value._array if type(value) is Tensor else value
    if type(raw) is not type(x._array) and type(raw) not in NUMBERS:
        raw = _brought_to(x, value)
    if x._array.dtype.kind in "biu":
        _check_that_it_fits("setitem", x, raw)
    elif x._array.dtype.kind == "c":
        if type(raw) in NUMBERS and not abs(raw) <= LARGEST_HALF:
            check_numbers("setitem", np.asarray(raw), x.dtype)
    elif x._array.dtype.kind == "f":
        if type(raw) in (int, float):
            if not abs(raw) <= LARGEST_HALF:  # NaN, too
                check_numbers("setitem", np.asarray(raw), x.dtype)
        elif getattr(raw, "dtype", x.dtype).kind == "c":
            raise TypeError(f"[setitem] {x.dtype} cannot hold {raw.dtype}; write real numbers")
    try:
        x._array[raw_index("setitem", x, index)] = raw
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        if str(error).startswith("["):
            raise
        kind = next((k for k in (IndexError, TypeError) if isinstance(error, k)), ValueError)
        raise kind(f"[setitem] {error} (x: {x.shape})") from error
    x.version[0] += 1


def _brought_to(x, value):
    """A value that is neither a number nor an array of the kind of `x`, as an array on its device.

    A Tensor of another device is refused.
    """
    be = backend_of(x)
    if isinstance(value, Tensor):
        _refuse_batched("setitem", value)
        raise backend.DeviceError(
            f"[setitem] x is on {x.device}, the value on {value.device}; bring them together with "
            ".to(device)"
        )
    array = value if backend.of(value) is be else np.asarray(value)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("[setitem] the value is a masked array, whose mask would be lost; fill it")
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"[setitem] the value is {describe(value)} of {array.dtype}, expected a number, or "
            "an array or Tensor of numbers"
        )
    if not hasattr(value, "dtype"):
        check_numbers("setitem", array, x.dtype)
    return array if backend.of(array) is be else be.from_host(array)


def _refuse_batched(name, value):
    """Raise GraphError for values of single examples, which memory outside vmap cannot hold."""
    if type(value._array) is Batched:
        raise GraphError(
            f"[{name}] what f computes inside vmap cannot be written into a Tensor from outside; "
            "let f return it"
        )


def _check_that_it_fits(name, x, value):
    """Raise for a value that the integers or booleans of `x` would not keep.

    NumPy would cut off a fraction, and let too large an integer wrap around.
    """
    dtype = x.dtype
    array = np.asarray(value) if type(value) in NUMBERS else backend_of(value).to_host(value)
    if array.dtype.kind == "c":
        raise TypeError(f"[{name}] {dtype} cannot hold complex numbers")
    if array.dtype.kind == "O":  # an integer beyond 64 bits
        raise ValueError(f"[{name}] {value} does not fit into {dtype}")
    check_cast(name, array, dtype)
    if array.dtype.kind == "f" or dtype.kind == "b":
        changed = array != array.astype(dtype).astype(array.dtype)
        if changed.any():
            raise ValueError(
                f"[{name}] {array[changed][0]} does not fit into {dtype}; convert the tensor with "
                "astype, or round the value"
            )


def _in_place(name, function):
    """The method of an augmented assignment."""

    def method(x, value):
        if _is_recorded(x, value):
            if x.node is not None and x.is_leaf:
                raise GraphError(
                    f"[{name}] a leaf that requires a gradient cannot be changed while recording; "
                    "update it inside `with no_grad():`"
                )
            return function(x, value)
        result = function(x, value)
        if type(result._array) is not type(x._array):
            _refuse_batched(name, result)
        if result.shape != x.shape:
            raise ValueError(f"[{name}] the result has shape {result.shape}, x has {x.shape}")
        if not np.can_cast(result.dtype, x.dtype, "same_kind"):
            raise TypeError(
                f"[{name}] the result has dtype {result.dtype}, which {x.dtype} cannot hold"
            )
        if x.dtype.kind in "iu" and result.dtype != x.dtype:
            _check_that_it_fits(name, x, result._array)
        x._array[...] = result._array
        x.version[0] += 1
        return x

    method.__name__ = method.__qualname__ = name
    return method


iadd = _in_place("iadd", add)
isub = _in_place("isub", subtract)
imul = _in_place("imul", multiply)
itruediv = _in_place("itruediv", divide)
ipow = _in_place("ipow", power)
