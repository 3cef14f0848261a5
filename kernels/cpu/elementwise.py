"""Kernels of one element at a time: activations with their gradients, the sum of two arrays.

They are loops over flat arrays, divided among the threads. All of them are in three compiled
functions, with a code for each loop: one without exponentials, which compiles quickly, and two with
exponentials, of one array and of two.
"""

from numpy import ndarray

from .machine.compile import jit, ufunc
from .machine.kernel import REAL, complete_kernel, kernel
from .machine.memory import empty
from .machine.simd import body
from .machine.threads import pool, run, share, tasks_for
from .math import activations
from .math.each import each_of_one, each_of_two
from .math.vector_math import erf as erf_of
from .math.vector_math import exp, is_negative, is_positive, log1p_of_part
from .math.vector_math import sigmoid as sigmoid_of

TASK = 1 << 14  # elements that are worth a thread
FEW = 1 << 11  # elements up to which a ufunc is faster to call than a kernel
LARGE = 1 << 15  # elements from which on threads and recycled memory beat NumPy's sum

ADD, RELU, RELU_BACKWARD, SIGMOID_BACKWARD, TANH_BACKWARD = range(5)  # codes of _plain
ERF, SIGMOID, SILU, SOFTPLUS, GELU, GELU_TANH = range(6)  # of _unary and _binary


# Ufuncs for small arrays. NumPy warns if they set a floating-point flag of the processor, as
# comparing a NaN does; comparing its bits does not.


@ufunc
def _few_sigmoid_gradients(g, y):
    return g * (y * (1 - y))


@ufunc
def _few_tanh_gradients(g, y):
    return g * (1 - y * y)


@ufunc
def _few_relus(x):
    return 0 if is_negative(x) else x


@ufunc
def _few_relu_gradients(g, y):
    return g if is_positive(y) else 0


# The kernels


@kernel("x")
def erf(x):
    """The error function."""
    return _of_one(ERF, x)


@kernel("x", any_layout=True)
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return _of_one(SIGMOID, x)


@kernel("g y", any_layout=True, small=(FEW, _few_sigmoid_gradients))
def sigmoid_backward(g, y):
    """g y (1 - y)."""
    return _of_two(_plain, SIGMOID_BACKWARD, g, y)


@kernel("g y", any_layout=True, small=(FEW, _few_tanh_gradients))
def tanh_backward(g, y):
    """g (1 - y^2)."""
    return _of_two(_plain, TANH_BACKWARD, g, y)


@kernel("x")
def silu(x):
    """x sigmoid(x)."""
    return _of_one(SILU, x)


@kernel("g x")
def silu_backward(g, x):
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    return _of_two(_binary, SILU, g, x)


@kernel("x")
def softplus(x):
    """log(1 + exp(x))."""
    return _of_one(SOFTPLUS, x)


@kernel("g x")
def softplus_backward(g, x):
    """g sigmoid(x)."""
    return _of_two(_binary, SOFTPLUS, g, x)


@kernel("x")
def gelu(x, approximate):
    """x Phi(x), or its tanh form."""
    return _of_one(GELU_TANH if approximate else GELU, x)


@kernel("g x")
def gelu_backward(g, x, approximate):
    """g (Phi(x) + x Phi'(x))."""
    return _of_two(_binary, GELU_TANH if approximate else GELU, g, x)


@kernel("x", any_layout=True, small=(FEW, _few_relus))
def relu(x):
    """max(x, 0)."""
    return _of_two(_plain, RELU, x, x)


@kernel("g y", any_layout=True, small=(FEW, _few_relu_gradients))
def relu_backward(g, y):
    """g where y > 0, else 0."""
    return _of_two(_plain, RELU_BACKWARD, g, y)


@complete_kernel
def add(a, b):
    """a + b, of arrays that broadcast, or of scalars."""
    if type(a) is ndarray and a.size >= LARGE and type(b) is ndarray:
        alike = a.dtype is b.dtype and a.shape == b.shape and a.dtype in REAL
        if alike and a.flags.c_contiguous and b.flags.c_contiguous:
            return _of_two(_plain, ADD, a, b)
    return a + b


def _of_one(code, x):
    y = empty(x.shape, x.dtype)
    _unary(pool(), code, x.reshape(-1), y.reshape(-1))
    return y


def _of_two(loop, code, a, b):
    if a.shape != b.shape:
        return NotImplemented
    y = empty(a.shape, a.dtype)
    loop(pool(), code, a.reshape(-1), b.reshape(-1), y.reshape(-1))
    return y


# Loops over the formulas of math/activations.py

_sigmoids = each_of_one(lambda real: lambda x: sigmoid_of(x))
_silus = each_of_one(activations.silu)
_silu_gradients = each_of_two(activations.silu_backward)
_softplus_gradients = each_of_two(lambda real: lambda g, x: g * sigmoid_of(x))
_gelus, _gelu_gradients = each_of_one(activations.gelu), each_of_two(activations.gelu_backward)
_gelus_tanh = each_of_one(activations.gelu_tanh)
_gelu_tanh_gradients = each_of_two(activations.gelu_tanh_backward)


@jit
def _plain(pool, code, a, b, y):
    run(pool, _plain_part, (code, a, b, y), tasks_for(pool, a.size, TASK))


@body
def _plain_part(task, tasks, code, a, b, y):
    lo, hi = share(task, tasks, b.size)
    a, b, y = a[lo:hi], b[lo:hi], y[lo:hi]
    zero, one = b.dtype.type(0), b.dtype.type(1)
    if code == ADD:
        for i in range(b.size):
            y[i] = a[i] + b[i]
    elif code == RELU:
        for i in range(b.size):
            y[i] = zero if b[i] <= zero else b[i]
    elif code == RELU_BACKWARD:
        for i in range(b.size):
            y[i] = a[i] if b[i] > zero else zero
    elif code == SIGMOID_BACKWARD:
        for i in range(b.size):
            y[i] = a[i] * (b[i] * (one - b[i]))
    else:
        for i in range(b.size):
            y[i] = a[i] * (one - b[i] * b[i])


@jit
def _unary(pool, code, x, y):
    run(pool, _unary_part, (code, x, y), tasks_for(pool, x.size, TASK))


@body
def _unary_part(task, tasks, code, x, y):
    lo, hi = share(task, tasks, x.size)
    x, y = x[lo:hi], y[lo:hi]
    if code == ERF:
        for i in range(x.size):
            y[i] = erf_of(x[i])
    elif code == SIGMOID:
        _sigmoids(x, y)
    elif code == SILU:
        _silus(x, y)
    elif code == SOFTPLUS:
        for i in range(x.size):
            above = x[i] > 0
            small = log1p_of_part(exp(-x[i] if above else x[i]))
            y[i] = x[i] + small if above else small
    elif code == GELU:
        _gelus(x, y)
    else:
        _gelus_tanh(x, y)


@jit
def _binary(pool, code, g, x, y):
    run(pool, _binary_part, (code, g, x, y), tasks_for(pool, x.size, TASK))


@body
def _binary_part(task, tasks, code, g, x, y):
    lo, hi = share(task, tasks, x.size)
    g, x, y = g[lo:hi], x[lo:hi], y[lo:hi]
    if code == SILU:
        _silu_gradients(g, x, y)
    elif code == SOFTPLUS:
        _softplus_gradients(g, x, y)
    elif code == GELU:
        _gelu_gradients(g, x, y)
    else:
        _gelu_tanh_gradients(g, x, y)
