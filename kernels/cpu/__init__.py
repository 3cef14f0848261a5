"""The kernels of the reference, compiled by numba for the CPU: float32 and float64, on all threads.

machine/     SIMD, threads, memory, compiling: what every kernel stands on
math/        elementary functions and random words, of vectors
products/    products of matrices
conv/ recurrent/ attention/     families of several files
elementwise index norm optim pool random reduce softmax     families of one file

Products and pooling take float16 by way of float32. What a kernel does not take (other dtypes,
dtypes mixed) it hands to the reference, and what is not here at all is the reference's.
"""

from ..reference import *  # noqa: F403  the contract; what follows replaces it name by name
from .attention.kernels import attention, attention_backward, attention_dropout
from .conv.kernels import conv2d, conv2d_input_grad, conv2d_weight_grad
from .elementwise import (
    add,
    erf,
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    tanh_backward,
)
from .index import gather_rows, scatter_add_
from .machine.memory import plain as _made_ready
from .norm import (
    batch_norm,
    batch_norm_backward,
    group_norm,
    group_norm_backward,
    layer_norm,
    layer_norm_backward,
    rms_norm,
    rms_norm_backward,
)
from .optim import adagrad_, adam_, optimizer_state, planner, rmsprop_, sgd_
from .pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from .products.linalg import linear, matmul
from .random import dropout, normal, philox, uniform
from .recurrent.kernels import gru, gru_backward, lstm, lstm_backward, rnn, rnn_backward
from .reduce import moments, sum_axes, sum_middle, sum_squares
from .softmax import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

_ready = "carray"  # of an array that `_made_ready` would leave as it is
