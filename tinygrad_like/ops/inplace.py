"""In-place changes: `t[i] = v`, `t += v` and the like.

They change memory, raise the version counter, and are refused where they would cut a recorded
graph: there `t += v` means `t = t + v`, and `t[i] = v` raises.
"""

import numpy as np

from tinygrad_like.engine import GraphError, Tensor, mode
from tinygrad_like.engine.errors import refuse_tensors_within
from tinygrad_like.ops.elementwise import add, divide, multiply, power, subtract
from tinygrad_like.ops.index import raw_index


def _is_recorded(*tensors):
    return mode.grad and any(isinstance(t, Tensor) and t.node is not None for t in tensors)


def setitem(x, index, value):
    """`x[index] = value`. Raises GraphError where it would have to be recorded."""
    if _is_recorded(x, value):
        raise GraphError(
            "[setitem] cannot write into a tensor while its gradient is recorded; use where(), "
            "scatter_add() or concatenate(), or write inside `with no_grad():`"
        )
    refuse_tensors_within(value, Tensor)
    raw = value._data if isinstance(value, Tensor) else value
    try:
        x._data[raw_index("setitem", x, index)] = raw
    except (ValueError, IndexError, TypeError) as error:
        if str(error).startswith("["):
            raise
        kind = IndexError if isinstance(error, IndexError) else ValueError
        raise kind(f"[setitem] {error} (x: {x.shape})") from error
    x.version[0] += 1


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
