"""Matrix products of arrays of any strides: a transposed matrix is no copy."""

from .contract import kernel
from .precision import narrow, result_dtype, wide


@kernel(any_layout=True)
def matmul(a, b):
    """a @ b by the rules of NumPy: (..., n, k) times (..., k, m), leading axes broadcast."""
    return a @ b


@kernel(any_layout=True)
def linear(x, weight, bias):
    """y = x weight + bias: (R, I), (I, O), (O,) -> (R, O)."""
    y = add_bias(wide(x) @ wide(weight), wide(bias))
    return narrow(y, result_dtype(x.dtype, weight.dtype, bias.dtype))


def add_bias(y, bias):
    """y + bias in the memory of y, unless the bias has a wider dtype."""
    if bias.dtype != y.dtype:
        return y + bias
    y += bias
    return y
