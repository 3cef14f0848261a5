"""Matrix products, convolution and softmax once more, in numba.cuda: the readable twins.

The names and signatures are those of kernels/reference; float32 and float64. On a GPU they take
CuPy's arrays, and NumPy's, which numba copies there and back. Without a GPU numba's simulator runs
them, thread by thread, on NumPy's arrays, if it is asked to before Python starts:

    NUMBA_ENABLE_CUDASIM=1 python -c "..."

Needs the package numba-cuda: pip install 'tinygrad-like[numba-cuda]'.
"""

from .conv import conv2d, conv2d_input_grad, conv2d_weight_grad
from .linalg import linear, matmul
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "linear",
    "log_softmax",
    "log_softmax_backward",
    "matmul",
    "softmax",
    "softmax_backward",
]
