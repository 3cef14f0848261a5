"""Matrix products of arrays of any strides: a transposed matrix is no copy."""

from .contract import kernel


@kernel(any_layout=True)
def matmul(a, b):
    """a @ b by the rules of NumPy: (..., n, k) times (..., k, m), leading axes broadcast."""
    return a @ b


@kernel(any_layout=True)
def linear(x, weight, bias):
    """y = x weight + bias: (R, I), (I, O), (O,) -> (R, O)."""
    return add_bias(x @ weight, bias)


def add_bias(y, bias):
    """y + bias in the memory of y, unless the bias has a wider dtype."""
    if bias.dtype != y.dtype:
        return y + bias
    y += bias
    return y
