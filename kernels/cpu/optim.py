"""Optimizer steps in one pass over memory: see kernels/reference/optim.py."""

from functools import partial

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .threads import pool, run, share, tasks_for

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
TASK = 1 << 13  # parameters that are worth a thread
# Stands for an array that there is not.
NOTHING = {dtype: np.empty(0, dtype) for dtype in (FLOAT32, FLOAT64)}


def optimizer_state(param, dtype):
    """Zeros of a dtype, as many as `param` has, where memory.py lets results begin.

    NumPy's large arrays begin at the same place of successive pages: a step on four of them, over
    16M parameters, takes up to 1.6 times as long.
    """
    state = empty((param.size,), dtype, lasting=True)
    state.fill(0)
    return state


def sgd_(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """param -= lr * velocity."""
    args = param, grad, velocity, lr, momentum, nesterov, weight_decay
    return _run(_planned_sgd, reference.sgd_, args)


def adam_(param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps)."""
    args = param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step
    return _run(_planned_adam, reference.adam_, args)


def rmsprop_(param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay):
    """param -= lr * grad / (sqrt(v) + eps)."""
    args = param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay
    return _run(_planned_rmsprop, reference.rmsprop_, args)


def adagrad_(param, grad, s, lr, eps, weight_decay):
    """param -= lr * grad / (sqrt(s) + eps)."""
    return _run(_planned_adagrad, reference.adagrad_, (param, grad, s, lr, eps, weight_decay))


def planned(name, *args):
    """A step as changes to be made later: here one call of machine code, see the reference."""
    change = PLANNED[name](*args)
    return reference.planned(name, *args) if change is None else (change,)


def _run(plan, otherwise, args):
    change = plan(*args)
    return otherwise(*args) if change is None else change()


# Each returns the call of a kernel, or None where the reference has to do.


def _planned_sgd(param, grad, velocity, lr, momentum, nesterov, decay):
    nothing = _nothing_beside(param, grad)
    if velocity is None:
        velocity = nothing
    elif velocity.dtype is not param.dtype:
        return None
    if nothing is None:
        return None
    rates = float(lr), float(momentum), float(decay)
    return partial(_sgd, pool(), param, grad, velocity, *rates, bool(nesterov))


def _planned_adam(param, grad, m, v, largest, lr, beta1, beta2, eps, decay, decoupled, step):
    nothing = _nothing_beside(param, m)
    if largest is None:
        largest = nothing
    elif largest.dtype is not param.dtype:
        return None
    if nothing is None or grad.dtype is not param.dtype:
        return None
    size = lr / (1 - beta1**step)
    scale = 1 / (1 - beta2**step) ** 0.5
    decay, shrink = (0.0, lr * decay) if decoupled else (decay, 0.0)
    rates = float(size), float(beta1), float(beta2), float(eps), scale, float(decay), float(shrink)
    return partial(_adam, pool(), param, grad, m, v, largest, *rates)


def _planned_rmsprop(param, grad, v, velocity, lr, alpha, eps, momentum, decay):
    nothing = _nothing_beside(param, v)
    if velocity is None:
        velocity = nothing
    elif velocity.dtype is not param.dtype:
        return None
    if nothing is None or grad.dtype is not param.dtype:
        return None
    rates = float(lr), float(alpha), float(eps), float(momentum), float(decay)
    return partial(_rmsprop, pool(), param, grad, v, velocity, *rates)


def _planned_adagrad(param, grad, s, lr, eps, decay):
    if _nothing_beside(param, s) is None or grad.dtype is not param.dtype:
        return None
    return partial(_adagrad, pool(), param, grad, s, float(lr), float(eps), float(decay))


PLANNED = {
    "sgd_": _planned_sgd,
    "adam_": _planned_adam,
    "rmsprop_": _planned_rmsprop,
    "adagrad_": _planned_adagrad,
}


def _nothing_beside(param, other):
    """What stands for an array that there is not; None if there are no kernels for these two."""
    dtype = param.dtype
    return NOTHING.get(dtype) if other.dtype is dtype else None


@jit
def _sgd(pool, param, grad, velocity, lr, momentum, decay, nesterov):
    tasks = tasks_for(pool, param.size, TASK)
    args = (param, grad, velocity, lr, momentum, decay, nesterov)
    run(pool, _sgd_part, args, tasks)


@jit
def _sgd_part(task, tasks, param, grad, velocity, lr, momentum, decay, nesterov):
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
def _adam(pool, param, grad, m, v, largest, size, beta1, beta2, eps, scale, decay, shrink):
    args = (param, grad, m, v, largest, size, beta1, beta2, eps, scale, decay, shrink)
    run(pool, _adam_part, args, tasks_for(pool, param.size, TASK))


@jit
def _adam_part(
    task, tasks, param, grad, m, v, largest, size, beta1, beta2, eps, scale, decay, shrink
):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest1, rest2 = real(1 - beta1), real(1 - beta2)  # before rounding: 0.001 in full precision
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
def _rmsprop(pool, param, grad, v, velocity, lr, alpha, eps, momentum, decay):
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
def _adagrad(pool, param, grad, s, lr, eps, decay):
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
