"""Matrix products. These kernels take arrays with any strides: a transposed matrix is no copy."""


def matmul(a, b):
    """a @ b by the rules of NumPy: (..., n, k) times (..., k, m), leading axes broadcast."""
    return a @ b


def linear(x, weight, bias):
    """y = x weight + bias: (R, I), (I, O), (O,) -> (R, O)."""
    y = x @ weight
    if bias.dtype != y.dtype:
        return y + bias
    y += bias
    return y
