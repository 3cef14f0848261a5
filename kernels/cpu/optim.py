"""Optimizer steps in one pass over memory: see kernels/reference/optim.py."""

import math
from functools import partial

import numpy as np

from .. import reference
from .machine.compile import jit
from .machine.kernel import complete_kernel
from .machine.memory import empty
from .machine.threads import pool, run, share, tasks_for

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
TASK = 1 << 13  # parameters that are worth a thread
# Empty arrays, which stand for missing ones.
NOTHING = {dtype: np.empty(0, dtype) for dtype in (FLOAT32, FLOAT64)}


@complete_kernel
def optimizer_state(param, dtype):
    """Zeros of a dtype, one for each element of `param`, at an address that memory.py chooses.

    NumPy's large arrays all begin at the same place in a page. With four of those, a step over 16M
    parameters takes up to 1.6 times as long.
    """
    state = empty((param.size,), dtype, lasting=True)
    state.fill(0)
    return state


@complete_kernel
def sgd_(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """param -= lr * velocity."""
    _step("sgd_", (param, velocity), grad, (lr, momentum, nesterov, weight_decay))


@complete_kernel
def adam_(param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps)."""
    settings = lr, beta1, beta2, eps, weight_decay, decoupled, step
    _step("adam_", (param, m, v, largest), grad, settings)


@complete_kernel
def rmsprop_(param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay):
    """param -= lr * grad / (sqrt(v) + eps)."""
    _step("rmsprop_", (param, v, velocity), grad, (lr, alpha, eps, momentum, weight_decay))


@complete_kernel
def adagrad_(param, grad, s, lr, eps, weight_decay):
    """param -= lr * grad / (sqrt(s) + eps)."""
    _step("adagrad_", (param, s), grad, (lr, eps, weight_decay))


def _step(name, arrays, grad, settings):
    settings = [x if isinstance(x, bool) else float(x) for x in settings]
    for change in planner(name, *arrays)(grad, settings):
        change()


@complete_kernel
def planner(name, param, *state):
    """A function that plans a step: see the reference. Here a step is one call into machine code.

    Settings are floats and booleans, so that the kernel is not compiled again for integers.
    """
    dtype, otherwise = param.dtype, reference.planner(name, param, *state)
    nothing = NOTHING.get(dtype)
    if nothing is None or any(a is not None and a.dtype is not dtype for a in state):
        return otherwise
    kernel = partial(KERNELS[name], param, *(nothing if a is None else a for a in state))

    def plan(grad, settings):
        if grad.dtype is not dtype:
            return otherwise(grad, settings)
        return (partial(kernel, pool(), grad, *settings),)

    return plan


@jit
def _sgd(param, velocity, pool, grad, lr, momentum, nesterov, decay):
    args = (param, grad, velocity, lr, momentum, nesterov, decay)
    run(pool, _sgd_part, args, tasks_for(pool, param.size, TASK))


@jit
def _sgd_part(task, tasks, param, grad, velocity, lr, momentum, nesterov, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    lr, momentum, decay = real(lr), real(momentum), real(decay)
    p, g = param[lo:hi], grad[lo:hi]
    if velocity.size == 0:
        for i in range(p.size):
            p[i] -= lr * (g[i] + decay * p[i])
        return
    u = velocity[lo:hi]
    if nesterov:
        for i in range(p.size):
            d = g[i] + decay * p[i]
            u[i] = momentum * u[i] + d
            p[i] -= lr * (d + momentum * u[i])
    else:
        for i in range(p.size):
            u[i] = momentum * u[i] + (g[i] + decay * p[i])
            p[i] -= lr * u[i]


@jit
def _adam(param, m, v, largest, pool, grad, lr, beta1, beta2, eps, decay, decoupled, step):
    size, scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    decay, shrink = (0.0, lr * decay) if decoupled else (decay, 0.0)
    args = (param, grad, m, v, largest, size, beta1, beta2, eps, scale, decay, shrink)
    run(pool, _adam_part, args, tasks_for(pool, param.size, TASK))


@jit
def _adam_part(
    task, tasks, param, grad, m, v, largest, size, beta1, beta2, eps, scale, decay, shrink
):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest1, rest2 = real(1 - beta1), real(1 - beta2)  # of beta before it is rounded: all digits
    size, beta1, beta2, eps = real(size), real(beta1), real(beta2), real(eps)
    scale, decay, shrink = real(scale), real(decay), real(shrink)
    p, g, m, v = param[lo:hi], grad[lo:hi], m[lo:hi], v[lo:hi]
    if largest.size == 0:
        for i in range(p.size):
            d = g[i] + decay * p[i]
            m[i] = beta1 * m[i] + rest1 * d
            v[i] = beta2 * v[i] + rest2 * (d * d)
            p[i] -= size * m[i] / (np.sqrt(v[i]) * scale + eps) + shrink * p[i]
        return
    u = largest[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        m[i] = beta1 * m[i] + rest1 * d
        v[i] = beta2 * v[i] + rest2 * (d * d)
        u[i] = u[i] if u[i] > v[i] else v[i]  # NaN in v is kept, as by NumPy's maximum
        p[i] -= size * m[i] / (np.sqrt(u[i]) * scale + eps) + shrink * p[i]


@jit
def _rmsprop(param, v, velocity, pool, grad, lr, alpha, eps, momentum, decay):
    args = (param, grad, v, velocity, lr, alpha, eps, momentum, decay)
    run(pool, _rmsprop_part, args, tasks_for(pool, param.size, TASK))


@jit
def _rmsprop_part(task, tasks, param, grad, v, velocity, lr, alpha, eps, momentum, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    momentum, decay, rest = real(momentum), real(decay), real(1 - alpha)
    lr, alpha, eps = real(lr), real(alpha), real(eps)
    p, g, v = param[lo:hi], grad[lo:hi], v[lo:hi]
    if velocity.size == 0:
        for i in range(p.size):
            d = g[i] + decay * p[i]
            v[i] = alpha * v[i] + rest * (d * d)
            p[i] -= lr * (d / (np.sqrt(v[i]) + eps))
        return
    u = velocity[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        v[i] = alpha * v[i] + rest * (d * d)
        u[i] = momentum * u[i] + d / (np.sqrt(v[i]) + eps)
        p[i] -= lr * u[i]


@jit
def _adagrad(param, s, pool, grad, lr, eps, decay):
    run(pool, _adagrad_part, (param, grad, s, lr, eps, decay), tasks_for(pool, param.size, TASK))


@jit
def _adagrad_part(task, tasks, param, grad, s, lr, eps, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    lr, eps, decay = real(lr), real(eps), real(decay)
    p, g, s = param[lo:hi], grad[lo:hi], s[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        s[i] += d * d
        p[i] -= lr * (d / (np.sqrt(s[i]) + eps))


KERNELS = {"sgd_": _sgd, "adam_": _adam, "rmsprop_": _rmsprop, "adagrad_": _adagrad}
