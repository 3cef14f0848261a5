"""Python's, NumPy's and DLPack's protocols: what other programs do with a Tensor.

    float(t)   np.asarray(t)   np.exp(t)   torch.from_dlpack(t)

Who asks for the values gets them as long as no gradient is being recorded. A Tensor whose gradient
is recorded is refused there, since the part of the gradient that the other side computes would be
missing. NumPy's functions become ops: numpy_functions.py has the table, which is loaded with the
first of them.
"""

import builtins
import sys
from opcode import opmap

import numpy as np

from tinygrad_like.engine import GraphError, mode
from tinygrad_like.ops.protocols.families import CURE

STORE_SUBSCR = opmap["STORE_SUBSCR"]


def array(x, dtype=None, copy=None):
    """`np.asarray(t)`: the values, read-only unless they are copied.

    Raises GraphError for a Tensor whose gradient is being recorded.
    """
    if x.node is not None and mode.grad:
        raise GraphError(
            "[array] a Tensor whose gradient is recorded does not become an array by itself, "
            f"since its gradient would be lost; {CURE}"
        )
    values = x.numpy()
    return np.array(values, dtype=dtype, copy=copy) if copy or dtype is not None else values


def as_float(x):
    """`float(t)`: the value of a tensor with one element, as `item` gives it."""
    _refuse_storing("float", x, sys._getframe(1))
    return float(x.item())


def as_int(x):
    """`int(t)`: the value of a tensor with one element, without its fraction."""
    _refuse_storing("int", x, sys._getframe(1))
    return int(x.item())


def as_complex(x):
    """`complex(t)`: the value of a tensor with one element."""
    _refuse_storing("complex", x, sys._getframe(1))
    return builtins.complex(x.item())


def _refuse_storing(name, x, frame):
    """Raise GraphError if `array[i] = tensor`, run by `frame`, asks a recorded Tensor for a number.

    NumPy takes it by `float`, which looks like a call `float(tensor)` in every other respect.
    """
    recorded = x.node is not None and mode.grad
    if recorded and frame.f_code.co_code[frame.f_lasti] == STORE_SUBSCR:
        raise GraphError(
            f"[{name}] array[i] = tensor would lose the gradient of a Tensor that is recorded; "
            "join Tensors with tg.stack or tg.concatenate, or store tensor.item()"
        )


def array_ufunc(x, ufunc, method, *inputs, **options):
    """`np.exp(t)`, `array + t`, `np.add.reduce(t)`: see numpy_functions.py."""
    from tinygrad_like.ops.protocols import numpy_functions

    return numpy_functions.array_ufunc(ufunc, method, inputs, options)


def array_function(x, function, types, args, options):
    """`np.sum(t, axis=0)`, `np.concatenate([t, u])`: see numpy_functions.py."""
    from tinygrad_like.ops.protocols import numpy_functions

    return numpy_functions.array_function(function, args, options)
