"""In-place changes: `t[i] = v`, `t += v` and the like.

They change memory, raise the version counter, and are refused where they would cut a recorded
graph: there `t += v` means `t = t + v`, and `t[i] = v` raises.
"""

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import GraphError, Tensor, backend_of, mode
from tinygrad_like.engine.errors import describe, refuse_tensors_within
from tinygrad_like.ops.elementwise import add, divide, multiply, power, subtract
from tinygrad_like.ops.index import raw_index

NUMBERS = frozenset((bool, int, float, complex))


def _is_recorded(*tensors):
    return mode.grad and any(isinstance(t, Tensor) and t.node is not None for t in tensors)


def setitem(x, index, value):
    """`x[index] = value`: a number, an array, or a Tensor on the device of `x`.

    Raises:
        GraphError: where it would have to be recorded.
        ValueError: for a value that an integer or boolean `x` cannot hold, as 1.7 or NaN.
        TypeError: for what is no number and no array of numbers.
    """
    if _is_recorded(x, value):
        raise GraphError(
            "[setitem] cannot write into a tensor while its gradient is recorded; use where(), "
            "scatter_add() or concatenate(), or write inside `with no_grad():`"
        )
    refuse_tensors_within(value, Tensor)
    raw = value._data if type(value) is Tensor else value
    if type(raw) is not type(x._data) and type(raw) not in NUMBERS:
        raw = _brought_to(x, value)
    if x._data.dtype.kind in "biu":
        _check_that_it_fits("setitem", x, raw)
    elif x._data.dtype.kind == "f" and getattr(raw, "dtype", x._data.dtype).kind == "c":
        raise TypeError(f"[setitem] {x.dtype} cannot hold {raw.dtype}; write real numbers")
    try:
        x._data[raw_index("setitem", x, index)] = raw
    except (ValueError, IndexError, TypeError) as error:
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
    return array if backend.of(array) is be else be.from_host(array)


def _check_that_it_fits(name, x, value):
    """Raise ValueError, naming it, for a number that the integers or booleans of `x` cannot hold.

    NumPy would cut off the fraction, and let too large a number wrap around.
    """
    dtype, array = x._data.dtype, value
    if type(value) in NUMBERS:
        array = np.asarray(value, object if type(value) is int else None)
    if array.dtype.kind != "O" and np.can_cast(array.dtype, dtype, "safe"):
        return
    if array.dtype.kind == "c":
        raise TypeError(f"[{name}] {dtype} cannot hold complex numbers")
    array = backend_of(array).to_host(array)
    if array.dtype.kind == "f":
        array = array.astype(np.float64)  # of which the bounds below are exact
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    wrong = (array < low) | (array >= high + 1)
    if array.dtype.kind == "f":
        wrong |= array != np.floor(array)  # NaN is unlike itself
    if wrong.any():
        first = array[np.nonzero(wrong)][0] if array.ndim else array[()]
        raise ValueError(
            f"[{name}] {dtype} holds integers from {low} to {high}, not {first}; convert the "
            "tensor with astype, or round the value"
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
        if result.shape != x.shape:
            raise ValueError(f"[{name}] the result has shape {result.shape}, x has {x.shape}")
        if not np.can_cast(result.dtype, x.dtype, "same_kind"):
            raise TypeError(
                f"[{name}] the result has dtype {result.dtype}, which {x.dtype} cannot hold"
            )
        if x.dtype.kind in "iu" and result.dtype != x.dtype:
            _check_that_it_fits(name, x, result._data)
        x._data[...] = result._data
        x.version[0] += 1
        return x

    method.__name__ = method.__qualname__ = name
    return method


iadd = _in_place("iadd", add)
isub = _in_place("isub", subtract)
imul = _in_place("imul", multiply)
itruediv = _in_place("itruediv", divide)
ipow = _in_place("ipow", power)
