"""Kernels of one element at a time: activations with their gradients, the sum of two arrays.

They are loops over flat arrays that LLVM vectorises, shared out over the threads. All of them
together are two compiled functions, one of x and one of a pair, with a number for each loop.
"""

import math

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .threads import pool, run, share, tasks_for
from .vector_math import erf as erf_of
from .vector_math import exp, log1p_of_part, normal
from .vector_math import sigmoid as sigmoid_of

REAL = np.dtype(np.float32), np.dtype(np.float64)
TASK = 1 << 14  # elements that are worth a thread
LARGE = 1 << 15  # elements from which on threads and recycled memory beat NumPy's sum

RATE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # of gelu's tanh form
BELL = 1 / math.sqrt(2 * math.pi)

ERF, SIGMOID, SILU, SOFTPLUS, GELU, GELU_TANH, RELU, ADD = range(8)


def erf(x):
    """The error function."""
    return _of_one(ERF, x) if x.dtype in REAL else reference.erf(x)


def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return _of_one(SIGMOID, x) if x.dtype in REAL else reference.sigmoid(x)


def sigmoid_backward(g, y):
    """g y (1 - y)."""
    return _of_two(SIGMOID, g, y) if _alike(g, y) else reference.sigmoid_backward(g, y)


def silu(x):
    """x sigmoid(x)."""
    return _of_one(SILU, x) if x.dtype in REAL else reference.silu(x)


def silu_backward(g, x):
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    return _of_two(SILU, g, x) if _alike(g, x) else reference.silu_backward(g, x)


def softplus(x):
    """log(1 + exp(x))."""
    return _of_one(SOFTPLUS, x) if x.dtype in REAL else reference.softplus(x)


def softplus_backward(g, x):
    """g sigmoid(x)."""
    return _of_two(SOFTPLUS, g, x) if _alike(g, x) else reference.softplus_backward(g, x)


def gelu(x, approximate):
    """x Phi(x), or its tanh form."""
    if x.dtype not in REAL:
        return reference.gelu(x, approximate)
    return _of_one(GELU_TANH if approximate else GELU, x)


def gelu_backward(g, x, approximate):
    """g (Phi(x) + x Phi'(x))."""
    if not _alike(g, x):
        return reference.gelu_backward(g, x, approximate)
    return _of_two(GELU_TANH if approximate else GELU, g, x)


def relu(x):
    """max(x, 0)."""
    return _of_one(RELU, x) if x.dtype in REAL else reference.relu(x)


def relu_backward(g, y):
    """g where y > 0, else 0."""
    return _of_two(RELU, g, y) if _alike(g, y) else reference.relu_backward(g, y)


def add(a, b):
    """a + b, which need not be arrays of one shape."""
    large = type(a) is type(b) is np.ndarray and a.size >= LARGE and _alike(a, b)
    if large and a.flags.c_contiguous and b.flags.c_contiguous:
        return _of_two(ADD, a, b)
    return a + b


def _alike(a, b):
    return a.dtype is b.dtype and a.shape == b.shape and a.dtype in REAL


def _of_one(code, x):
    y = empty(x.shape, x.dtype)
    _unary(pool(), code, x.reshape(-1), y.reshape(-1))
    return y


def _of_two(code, a, b):
    y = empty(a.shape, a.dtype)
    _binary(pool(), code, a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return y


@jit
def _unary(pool, code, x, y):
    run(pool, _unary_part, (code, x, y), tasks_for(pool, x.size, TASK))


@jit
def _unary_part(task, tasks, code, x, y):
    lo, hi = share(task, tasks, x.size)
    x, y = x[lo:hi], y[lo:hi]
    zero, one = x.dtype.type(0), x.dtype.type(1)
    rate, cubic = x.dtype.type(RATE), x.dtype.type(CUBIC)
    if code == ERF:
        for i in range(x.size):
            y[i] = erf_of(x[i])
    elif code == SIGMOID:
        for i in range(x.size):
            y[i] = sigmoid_of(x[i])
    elif code == SILU:
        for i in range(x.size):
            y[i] = x[i] * sigmoid_of(x[i])
    elif code == SOFTPLUS:
        for i in range(x.size):
            positive = x[i] > zero
            small = log1p_of_part(exp(-x[i] if positive else x[i]))
            y[i] = x[i] + small if positive else small
    elif code == GELU:
        for i in range(x.size):
            y[i] = x[i] * normal(x[i])[0]
    elif code == GELU_TANH:
        for i in range(x.size):
            y[i] = x[i] * sigmoid_of(rate * (x[i] * (one + cubic * (x[i] * x[i]))))
    else:
        for i in range(x.size):
            y[i] = zero if x[i] <= zero else x[i]


@jit
def _binary(pool, code, a, b, y):
    run(pool, _binary_part, (code, a, b, y), tasks_for(pool, a.size, TASK))


@jit
def _binary_part(task, tasks, code, g, x, y):
    lo, hi = share(task, tasks, x.size)
    g, x, y = g[lo:hi], x[lo:hi], y[lo:hi]
    zero, one, bell = x.dtype.type(0), x.dtype.type(1), x.dtype.type(BELL)
    rate, cubic, cubic3 = x.dtype.type(RATE), x.dtype.type(CUBIC), x.dtype.type(3 * CUBIC)
    if code == ADD:
        for i in range(x.size):
            y[i] = g[i] + x[i]
    elif code == SIGMOID:
        for i in range(x.size):
            y[i] = g[i] * (x[i] * (one - x[i]))
    elif code == SILU:
        for i in range(x.size):
            s = sigmoid_of(x[i])
            y[i] = g[i] * (s * (one + x[i] * (one - s)))
    elif code == SOFTPLUS:
        for i in range(x.size):
            y[i] = g[i] * sigmoid_of(x[i])
    elif code == GELU:
        for i in range(x.size):
            below, density = normal(x[i])
            y[i] = g[i] * (below + x[i] * (bell * density))
    elif code == GELU_TANH:
        for i in range(x.size):
            square = x[i] * x[i]
            s = sigmoid_of(rate * (x[i] * (one + cubic * square)))
            y[i] = g[i] * (s + x[i] * (s * (one - s)) * (rate * (one + cubic3 * square)))
    else:
        for i in range(x.size):
            y[i] = g[i] if x[i] > zero else zero
