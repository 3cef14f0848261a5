"""Optimizer steps in one pass over memory: see kernels/reference/optim.py."""

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .threads import pool, run, share, tasks_for

REAL = np.dtype(np.float32), np.dtype(np.float64)
TASK = 1 << 13  # parameters that are worth a thread
NOTHING = {dtype: np.empty(0, dtype) for dtype in REAL}  # stands for a velocity that there is not


def _fit(param, *others):
    return param.dtype in REAL and all(a is None or a.dtype is param.dtype for a in others)


def _or_nothing(velocity, param):
    return NOTHING[param.dtype] if velocity is None else velocity


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
    if not _fit(param, grad, velocity):
        return reference.sgd_(param, grad, velocity, lr, momentum, nesterov, weight_decay)
    velocity = _or_nothing(velocity, param)
    rates = float(lr), float(momentum), float(weight_decay)
    return _sgd(pool(), param, grad, velocity, *rates, bool(nesterov))


def adam_(param, grad, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps)."""
    if not _fit(param, grad, m, v):
        return reference.adam_(
            param, grad, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step
        )
    size = lr / (1 - beta1**step)
    scale = 1 / (1 - beta2**step) ** 0.5
    decay, shrink = (0.0, lr * weight_decay) if decoupled else (weight_decay, 0.0)
    rates = float(size), float(beta1), float(beta2), float(eps), scale, float(decay), float(shrink)
    return _adam(pool(), param, grad, m, v, *rates)


def rmsprop_(param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay):
    """param -= lr * grad / (sqrt(v) + eps)."""
    if not _fit(param, grad, v, velocity):
        return reference.rmsprop_(param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay)
    rates = float(lr), float(alpha), float(eps), float(momentum), float(weight_decay)
    return _rmsprop(pool(), param, grad, v, _or_nothing(velocity, param), *rates)


def adagrad_(param, grad, s, lr, eps, weight_decay):
    """param -= lr * grad / (sqrt(s) + eps)."""
    if not _fit(param, grad, s):
        return reference.adagrad_(param, grad, s, lr, eps, weight_decay)
    return _adagrad(pool(), param, grad, s, float(lr), float(eps), float(weight_decay))


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
def _adam(pool, param, grad, m, v, size, beta1, beta2, eps, scale, decay, shrink):
    args = (param, grad, m, v, size, beta1, beta2, eps, scale, decay, shrink)
    run(pool, _adam_part, args, tasks_for(pool, param.size, TASK))


@jit
def _adam_part(task, tasks, param, grad, m, v, size, beta1, beta2, eps, scale, decay, shrink):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest1, rest2 = real(1 - beta1), real(1 - beta2)  # before rounding: 0.001 in full precision
    size, beta1, beta2, eps = real(size), real(beta1), real(beta2), real(eps)
    scale, decay, shrink = real(scale), real(decay), real(shrink)
    p, g, m, v = param[lo:hi], grad[lo:hi], m[lo:hi], v[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        m[i] = beta1 * m[i] + rest1 * d
        v[i] = beta2 * v[i] + rest2 * (d * d)
        p[i] -= size * m[i] / (np.sqrt(v[i]) * scale + eps) + shrink * p[i]


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
