"""Every kernel's name and signature, each with an obvious NumPy body: the contract and the oracle.

The bodies call `np` functions on arrays and nothing else, so the same text runs on CuPy arrays,
through NumPy's own dispatch. Where the formula is analytic it also takes complex numbers, so that
a complex step (x + 1e-30j) can check a derivative to the last digit.
"""

from .attention import attention, attention_backward, attention_dropout
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
from .pool import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool2d_gather,
)
from .random import blocks, dropout, normal, philox, philox4x32, uniform, words_used
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

TAKES_STRIDES = {
    *("add", "attention", "attention_backward", "linear", "matmul", "optimizer_state"),
    *("moments", "planner", "relu", "relu_backward", "sigmoid", "sigmoid_backward", "sum_axes"),
    *("sum_squares", "tanh_backward"),
}

__all__ = [
    "adagrad_",
    "adam_",
    "add",
    "attention",
    "attention_backward",
    "attention_dropout",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "blocks",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "erf",
    "gather_rows",
    "gelu",
    "gelu_backward",
    "group_norm",
    "group_norm_backward",
    "gru",
    "gru_backward",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "log_softmax",
    "log_softmax_backward",
    "lstm",
    "lstm_backward",
    "matmul",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool2d_gather",
    "moments",
    "normal",
    "optimizer_state",
    "philox",
    "philox4x32",
    "planner",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rmsprop_",
    "rnn",
    "rnn_backward",
    "scatter_add_",
    "sgd_",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "sum_axes",
    "sum_middle",
    "sum_squares",
    "tanh_backward",
    "uniform",
    "words_used",
]
