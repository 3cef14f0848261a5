"""The kernels of the reference in CUDA C++: on a GPU through CuPy, on a CPU in the emulator.

A family has the name that it has in the reference, and each of its files begins with it:
`linalg.py` launches the kernels of `linalg.cu`, on tensor cores those of `linalg_tensor.cu`, by
warpgroups those of `linalg_wgmma.cu`. `machine/` holds what all families share: the launcher, which
checks every argument before each launch, the tables, the headers. `emulator/` runs the same files
without a GPU. What a kernel does not take (dtypes mixed, complex numbers) goes to the reference,
and so does what is not here at all.
"""

from ..reference import *  # noqa: F403  the contract; what follows replaces it name by name
from . import emulator
from .attention import attention, attention_backward
from .conv import conv2d, conv2d_input_grad, conv2d_weight_grad
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
from .linalg import linear, matmul
from .machine import launcher
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
from .optim import adagrad_, adam_, planner, rmsprop_, sgd_
from .pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool2d_gather,
)
from .random import dropout, normal, philox, uniform
from .recurrent import gru, gru_backward, lstm, lstm_backward, rnn, rnn_backward
from .reduce import moments, sum_axes, sum_middle, sum_squares
from .softmax import (
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

launcher.add_target(emulator.TARGET)
