"""The kernel of a fused loop (kernels/loop.py): its steps, each one line of NumPy.

A truth value is 1 or 0 in the dtype of the arrays, so that all values of a loop have one dtype.
"""

import numpy as np

from ..loop import COLUMNS, FULL, ROW
from . import elementwise
from .contract import kernel
from .precision import underflow_is_fine
from .reduce import sum_axes


def _truth(compare):
    """A comparison whose results are 1 and 0 in the dtype of its operands."""

    def compared(*args):
        dtype = next(a.dtype for a in args if hasattr(a, "dtype"))
        return compare(*args).astype(dtype)

    return compared


STEPS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "quotient": np.divide,  # by a value that a whole row shares
    "power": np.power,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "negative": np.negative,
    "sign": np.sign,
    "abs": np.abs,
    "exp": np.exp,
    "exp_below_maximum": np.exp,  # of a row less its maximum, which is at most 0
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "less": _truth(np.less),
    "less_equal": _truth(np.less_equal),
    "greater": _truth(np.greater),
    "greater_equal": _truth(np.greater_equal),
    "equal": _truth(np.equal),
    "not_equal": _truth(np.not_equal),
    "logical_and": _truth(np.logical_and),
    "logical_or": _truth(np.logical_or),
    "where": lambda condition, a, b: np.where(condition != 0, a, b),
    "spread": lambda x: x,
    "erf": elementwise.erf,
    "sigmoid": elementwise.sigmoid,
    "sigmoid_backward": elementwise.sigmoid_backward,
    "tanh_backward": elementwise.tanh_backward,
    "relu": elementwise.relu,
    "relu_backward": elementwise.relu_backward,
    "silu": elementwise.silu,
    "silu_backward": elementwise.silu_backward,
    "softplus": elementwise.softplus,
    "gelu": lambda x: elementwise.gelu(x, False),
    "gelu_backward": lambda g, x: elementwise.gelu_backward(g, x, False),
    "gelu_tanh": lambda x: elementwise.gelu(x, True),
    "gelu_tanh_backward": lambda g, x: elementwise.gelu_backward(g, x, True),
    "sum": lambda x: sum_axes(x, (1,))[:, None],
    "max": lambda x: x.max(axis=1, keepdims=True),
}


@kernel(any_layout=True)
@underflow_is_fine
def fused(loop, inputs, numbers, rows, columns, shapes):
    """The outputs of a loop, a list of new arrays of the given shapes.

    inputs: of one dtype, and of the sizes that `loop.inputs` says. numbers: an array of the host
    with this dtype. An output of the form FULL has rows * columns elements, ROW rows, COLUMNS
    columns, TOTAL 1.
    """
    values = {f"c{k}": number for k, number in enumerate(numbers)}
    for k, (x, kind) in enumerate(zip(inputs, loop.inputs, strict=True)):
        values[f"x{k}"] = x.reshape(_shape(kind, rows, columns))
    for k, (name, operands, place) in enumerate(loop.steps):
        operands = [values[operand] for operand in operands]
        if place == FULL:
            operands = [_whole(x, rows, columns) for x in operands]
        elif name in ("sum", "max"):
            operands = [np.broadcast_to(operands[0], (rows, columns))]
        values[f"v{k}"] = STEPS[name](*operands)
    found = [_output(form, values[value], rows, columns) for form, value in loop.outputs]
    return [y.reshape(shape) for y, shape in zip(found, shapes, strict=True)]


def _shape(kind, rows, columns):
    return rows if kind in (FULL, ROW) else 1, columns if kind in (FULL, "column") else 1


def _whole(x, rows, columns):
    """An operand of an elementwise step as one array of all elements; a number unchanged."""
    return x if isinstance(x, np.generic) else np.broadcast_to(x, (rows, columns))


def _output(form, x, rows, columns):
    if form == ROW:
        return np.broadcast_to(x, (rows, 1)).reshape(rows).copy()
    x = np.broadcast_to(x, (rows, columns))
    if form == FULL:
        return x.reshape(rows * columns).copy()
    return sum_axes(x, (0,) if form == COLUMNS else (0, 1)).reshape(-1)
