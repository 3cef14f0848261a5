"""Optimizer steps in one pass over memory: see kernels/reference/optim.py."""

import math
from functools import partial

import numpy as np

from .. import reference
from .machine.compile import jit
from .machine.kernel import complete_kernel
from .machine.memory import empty
from .machine.simd import body
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
def sgd_(param, grad, velocity, lr, momentum, dampening, nesterov, weight_decay):
    """param -= lr * velocity."""
    settings = lr, momentum, dampening, nesterov, weight_decay
    _step("sgd_", (param, velocity), grad, settings)


@complete_kernel
def adam_(param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps)."""
    settings = lr, beta1, beta2, eps, weight_decay, decoupled, step
    _step("adam_", (param, m, v, largest), grad, settings)


@complete_kernel
def rmsprop_(param, grad, v, velocity, mean, lr, alpha, eps, momentum, weight_decay):
    """param -= lr * grad / (sqrt(v) + eps)."""
    _step("rmsprop_", (param, v, velocity, mean), grad, (lr, alpha, eps, momentum, weight_decay))


@complete_kernel
def adagrad_(param, grad, s, lr, eps, weight_decay):
    """param -= lr * grad / (sqrt(s) + eps)."""
    _step("adagrad_", (param, s), grad, (lr, eps, weight_decay))


@complete_kernel
def nadam_(param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink):
    """param -= (size * m + ahead * grad) / (scale * sqrt(v) + eps) + shrink * param."""
    settings = size, ahead, beta1, beta2, scale, eps, decay, shrink
    _step("nadam_", (param, m, v), grad, settings)


@complete_kernel
def adamax_(param, grad, m, largest, size, beta1, beta2, eps, weight_decay):
    """largest = max(beta2 * largest, |grad| + eps); param -= size * m / largest."""
    _step("adamax_", (param, m, largest), grad, (size, beta1, beta2, eps, weight_decay))


@complete_kernel
def adadelta_(param, grad, v, delta, lr, rho, eps, weight_decay):
    """update = sqrt(delta + eps) / sqrt(v + eps) * grad; param -= lr * update."""
    _step("adadelta_", (param, v, delta), grad, (lr, rho, eps, weight_decay))


@complete_kernel
def rprop_(param, grad, before, size, less, more, least, most):
    """size *= more, or less where the sign of grad has changed; param -= size * sign(grad)."""
    _step("rprop_", (param, before, size), grad, (less, more, least, most))


@complete_kernel
def lion_(param, grad, m, lr, beta1, beta2, weight_decay):
    """param -= lr * (sign(beta1 * m + (1 - beta1) * grad) + weight_decay * param)."""
    _step("lion_", (param, m), grad, (lr, beta1, beta2, weight_decay))


@complete_kernel
def adan_(param, grad, m, v, n, before, size, ahead, beta1, beta2, beta3, eps, shrink, is_first):
    """param = (param - (size * m + ahead * v) / (sqrt(n) + eps)) / (1 + shrink)."""
    settings = size, ahead, beta1, beta2, beta3, eps, shrink, is_first
    _step("adan_", (param, m, v, n, before), grad, settings)


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
def _sgd(param, velocity, pool, grad, lr, momentum, dampening, nesterov, decay):
    args = (param, grad, velocity, lr, momentum, dampening, nesterov, decay)
    run(pool, _sgd_part, args, tasks_for(pool, param.size, TASK))


@body
def _sgd_part(task, tasks, param, grad, velocity, lr, momentum, dampening, nesterov, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest = real(1 - dampening)
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
            u[i] = momentum * u[i] + rest * d
            p[i] -= lr * (d + momentum * u[i])
    else:
        for i in range(p.size):
            u[i] = momentum * u[i] + rest * (g[i] + decay * p[i])
            p[i] -= lr * u[i]


@jit
def _adam(param, m, v, largest, pool, grad, lr, beta1, beta2, eps, decay, decoupled, step):
    size, scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    decay, shrink = (0.0, lr * decay) if decoupled else (decay, 0.0)
    args = (param, grad, m, v, largest, size, beta1, beta2, eps, scale, decay, shrink)
    run(pool, _adam_part, args, tasks_for(pool, param.size, TASK))


@body
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
def _rmsprop(param, v, velocity, mean, pool, grad, lr, alpha, eps, momentum, decay):
    args = (param, grad, v, velocity, mean, lr, alpha, eps, momentum, decay)
    run(pool, _rmsprop_part, args, tasks_for(pool, param.size, TASK))


@body
def _rmsprop_part(task, tasks, param, grad, v, velocity, mean, lr, alpha, eps, momentum, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    momentum, decay, rest = real(momentum), real(decay), real(1 - alpha)
    lr, alpha, eps, zero = real(lr), real(alpha), real(eps), real(0)
    p, g, v = param[lo:hi], grad[lo:hi], v[lo:hi]
    u, mean = velocity[lo:hi], mean[lo:hi]
    if mean.size == 0 and u.size == 0:
        for i in range(p.size):
            d = g[i] + decay * p[i]
            v[i] = alpha * v[i] + rest * (d * d)
            p[i] -= lr * (d / (np.sqrt(v[i]) + eps))
        return
    for i in range(p.size):
        d = g[i] + decay * p[i]
        v[i] = alpha * v[i] + rest * (d * d)
        square = v[i]
        if mean.size:
            mean[i] += rest * (d - mean[i])
            square -= mean[i] * mean[i]
            square = zero if square < zero else square
        update = d / (np.sqrt(square) + eps)
        if u.size:
            update += momentum * u[i]
            u[i] = update
        p[i] -= lr * update


@jit
def _adagrad(param, s, pool, grad, lr, eps, decay):
    run(pool, _adagrad_part, (param, grad, s, lr, eps, decay), tasks_for(pool, param.size, TASK))


@body
def _adagrad_part(task, tasks, param, grad, s, lr, eps, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    lr, eps, decay = real(lr), real(eps), real(decay)
    p, g, s = param[lo:hi], grad[lo:hi], s[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        s[i] += d * d
        p[i] -= lr * (d / (np.sqrt(s[i]) + eps))


@jit
def _nadam(param, m, v, pool, grad, size, ahead, beta1, beta2, scale, eps, decay, shrink):
    args = (param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink)
    run(pool, _nadam_part, args, tasks_for(pool, param.size, TASK))


@body
def _nadam_part(
    task, tasks, param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink
):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest1, rest2 = real(1 - beta1), real(1 - beta2)
    size, ahead, beta1, beta2 = real(size), real(ahead), real(beta1), real(beta2)
    scale, eps, decay, shrink = real(scale), real(eps), real(decay), real(shrink)
    p, g, m, v = param[lo:hi], grad[lo:hi], m[lo:hi], v[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        m[i] = beta1 * m[i] + rest1 * d
        v[i] = beta2 * v[i] + rest2 * (d * d)
        under = scale * np.sqrt(v[i]) + eps if scale != 0 else eps
        p[i] -= (size * m[i] + ahead * d) / under + shrink * p[i]


@jit
def _adamax(param, m, largest, pool, grad, size, beta1, beta2, eps, decay):
    args = (param, grad, m, largest, size, beta1, beta2, eps, decay)
    run(pool, _adamax_part, args, tasks_for(pool, param.size, TASK))


@body
def _adamax_part(task, tasks, param, grad, m, largest, size, beta1, beta2, eps, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest, beta1, beta2 = real(1 - beta1), real(beta1), real(beta2)
    size, eps, decay = real(size), real(eps), real(decay)
    p, g, m, u = param[lo:hi], grad[lo:hi], m[lo:hi], largest[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        m[i] = beta1 * m[i] + rest * d
        old, new = beta2 * u[i], abs(d) + eps
        u[i] = old if old > new or old != old else new  # NaN is kept, as by NumPy's maximum
        p[i] -= size * m[i] / u[i]


@jit
def _adadelta(param, v, delta, pool, grad, lr, rho, eps, decay):
    args = (param, grad, v, delta, lr, rho, eps, decay)
    run(pool, _adadelta_part, args, tasks_for(pool, param.size, TASK))


@body
def _adadelta_part(task, tasks, param, grad, v, delta, lr, rho, eps, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest, rho, lr, eps, decay = real(1 - rho), real(rho), real(lr), real(eps), real(decay)
    p, g, v, delta = param[lo:hi], grad[lo:hi], v[lo:hi], delta[lo:hi]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        v[i] = rho * v[i] + rest * (d * d)
        update = np.sqrt(delta[i] + eps) / np.sqrt(v[i] + eps) * d
        delta[i] = rho * delta[i] + rest * (update * update)
        p[i] -= lr * update


@jit
def _rprop(param, before, size, pool, grad, less, more, least, most):
    args = (param, grad, before, size, less, more, least, most)
    run(pool, _rprop_part, args, tasks_for(pool, param.size, TASK))


@body
def _rprop_part(task, tasks, param, grad, before, size, less, more, least, most):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    less, more, least, most = real(less), real(more), real(least), real(most)
    p, g, before, size = param[lo:hi], grad[lo:hi], before[lo:hi], size[lo:hi]
    for i in range(p.size):
        d = g[i]
        sign = np.sign(d) * np.sign(before[i])
        if sign > 0:
            size[i] = min(size[i] * more, most)
        elif sign < 0:
            size[i] = size[i] * less
            d = real(0)
        size[i] = min(max(size[i], least), most)
        before[i] = d
        p[i] -= np.sign(d) * size[i]


@jit
def _lion(param, m, pool, grad, lr, beta1, beta2, decay):
    args = (param, grad, m, lr, beta1, beta2, decay)
    run(pool, _lion_part, args, tasks_for(pool, param.size, TASK))


@body
def _lion_part(task, tasks, param, grad, m, lr, beta1, beta2, decay):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest1, rest2 = real(1 - beta1), real(1 - beta2)
    lr, beta1, beta2, decay = real(lr), real(beta1), real(beta2), real(decay)
    p, g, m = param[lo:hi], grad[lo:hi], m[lo:hi]
    for i in range(p.size):
        update = np.sign(beta1 * m[i] + rest1 * g[i])
        m[i] = beta2 * m[i] + rest2 * g[i]
        p[i] -= lr * (update + decay * p[i])


@jit
def _adan(param, m, v, n, before, pool, grad, size, ahead, beta1, beta2, beta3, eps, shrink, first):
    betas = (beta1, beta2, beta3)
    args = (param, grad, (m, v, n, before), size, ahead, betas, eps, shrink, first)
    run(pool, _adan_part, args, tasks_for(pool, param.size, TASK))


@body
def _adan_part(task, tasks, param, grad, state, size, ahead, betas, eps, shrink, first):
    lo, hi = share(task, tasks, param.size)
    real = param.dtype.type
    rest1, rest2, rest3 = real(1 - betas[0]), real(1 - betas[1]), real(1 - betas[2])
    beta1, beta2, beta3 = real(betas[0]), real(betas[1]), real(betas[2])
    size, ahead, eps, kept = real(size), real(ahead), real(eps), real(1 / (1 + shrink))
    m, v, n, before = state[0][lo:hi], state[1][lo:hi], state[2][lo:hi], state[3][lo:hi]
    p, g = param[lo:hi], grad[lo:hi]
    for i in range(p.size):
        change = real(0) if first else g[i] - before[i]
        ahead_of = g[i] + beta2 * change
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * change
        n[i] = beta3 * n[i] + rest3 * (ahead_of * ahead_of)
        before[i] = g[i]
        p[i] = kept * (p[i] - (size * m[i] + ahead * v[i]) / (np.sqrt(n[i]) + eps))


KERNELS = {
    "sgd_": _sgd,
    "adam_": _adam,
    "rmsprop_": _rmsprop,
    "adagrad_": _adagrad,
    "nadam_": _nadam,
    "adamax_": _adamax,
    "adadelta_": _adadelta,
    "rprop_": _rprop,
    "lion_": _lion,
    "adan_": _adan,
}
