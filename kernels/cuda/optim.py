"""Optimizer steps in place, launched from optim.cu; see kernels/reference/optim.py."""

from functools import partial

from .. import reference
from ..reference.optim import on_copies
from .machine import flat
from .machine.dtypes import WIDE, common_dtype, dtype_name, kernel_dtype
from .machine.kernel import complete_kernel
from .machine.launcher import Source, is_whole

SOURCE = Source("optim.cu")


@complete_kernel
def sgd_(param, grad, velocity, lr, momentum, dampening, nesterov, weight_decay):
    """velocity = momentum * velocity + (1 - dampening) * grad; param -= lr * velocity."""
    _run("sgd_", param, grad, velocity, lr, momentum, dampening, nesterov, weight_decay)


@complete_kernel
def adam_(param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps), from running means of grad and grad^2."""
    args = param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step
    _run("adam_", *args)


@complete_kernel
def rmsprop_(param, grad, v, velocity, mean, lr, alpha, eps, momentum, weight_decay):
    """v = alpha * v + (1 - alpha) * grad^2; param -= lr * grad / (sqrt(v) + eps)."""
    _run("rmsprop_", param, grad, v, velocity, mean, lr, alpha, eps, momentum, weight_decay)


@complete_kernel
def adagrad_(param, grad, s, lr, eps, weight_decay):
    """s += grad^2; param -= lr * grad / (sqrt(s) + eps)."""
    _run("adagrad_", param, grad, s, lr, eps, weight_decay)


@complete_kernel
def nadam_(param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink):
    """param -= (size * m + ahead * grad) / (scale * sqrt(v) + eps) + shrink * param."""
    _run("nadam_", param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink)


@complete_kernel
def adamax_(param, grad, m, largest, size, beta1, beta2, eps, weight_decay):
    """largest = max(beta2 * largest, |grad| + eps); param -= size * m / largest."""
    _run("adamax_", param, grad, m, largest, size, beta1, beta2, eps, weight_decay)


@complete_kernel
def adadelta_(param, grad, v, delta, lr, rho, eps, weight_decay):
    """update = sqrt(delta + eps) / sqrt(v + eps) * grad; param -= lr * update."""
    _run("adadelta_", param, grad, v, delta, lr, rho, eps, weight_decay)


@complete_kernel
def rprop_(param, grad, before, size, less, more, least, most):
    """size *= more, or less where the sign of grad has changed; param -= size * sign(grad)."""
    _run("rprop_", param, grad, before, size, less, more, least, most)


@complete_kernel
def lion_(param, grad, m, lr, beta1, beta2, weight_decay):
    """param -= lr * (sign(beta1 * m + (1 - beta1) * grad) + weight_decay * param)."""
    _run("lion_", param, grad, m, lr, beta1, beta2, weight_decay)


@complete_kernel
def adan_(param, grad, m, v, n, before, size, ahead, beta1, beta2, beta3, eps, shrink, is_first):
    """param = (param - (size * m + ahead * v) / (sqrt(n) + eps)) / (1 + shrink)."""
    settings = size, ahead, beta1, beta2, beta3, eps, shrink, is_first
    _run("adan_", param, grad, m, v, n, before, *settings)


@complete_kernel
def planner(name, param, *state):
    """The function that plans a step (see the reference): as a rule, the step is one launch."""

    def plan(grad, settings):
        launch = LAUNCHES[name](param, grad, *state, *settings)
        if launch is None:
            return reference.planner(name, param, *state)(grad, settings)
        if param.size and is_whole(param):
            return [launch]
        return on_copies(partial(_run, name), (param, *state), grad, settings)

    return plan


def _run(name, *args):
    launch = LAUNCHES[name](*args)
    if launch is None:
        getattr(reference, name)(*args)
    else:
        launch()


# Each returns the launch of a kernel, or None where the reference must compute the step.


def _sgd(param, grad, velocity, lr, momentum, dampening, nesterov, decay):
    factors = lr, momentum, 1 - dampening, bool(nesterov), decay
    return _launch("sgd", param, grad, (velocity,), *factors)


def _adam(param, grad, m, v, largest, lr, beta1, beta2, eps, decay, decoupled, step):
    decay, shrink = (0.0, lr * decay) if decoupled else (decay, 0.0)
    size, root = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
    factors = size, root, beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink
    return _launch("adam", param, grad, (m, v, largest), *factors)


def _rmsprop(param, grad, v, velocity, mean, lr, alpha, eps, momentum, decay):
    rates = lr, alpha, 1 - alpha, eps, momentum, decay
    return _launch("rmsprop", param, grad, (v, velocity, mean), *rates)


def _adagrad(param, grad, s, lr, eps, decay):
    return _launch("adagrad", param, grad, (s,), lr, eps, decay)


def _nadam(param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink):
    betas = beta1, 1 - beta1, beta2, 1 - beta2
    return _launch("nadam", param, grad, (m, v), size, ahead, *betas, scale, eps, decay, shrink)


def _adamax(param, grad, m, largest, size, beta1, beta2, eps, decay):
    factors = size, beta1, 1 - beta1, beta2, eps, decay
    return _launch("adamax", param, grad, (m, largest), *factors)


def _adadelta(param, grad, v, delta, lr, rho, eps, decay):
    return _launch("adadelta", param, grad, (v, delta), lr, rho, 1 - rho, eps, decay)


def _rprop(param, grad, before, size, less, more, least, most):
    return _launch("rprop", param, grad, (before, size), less, more, least, most)


def _lion(param, grad, m, lr, beta1, beta2, decay):
    return _launch("lion", param, grad, (m,), lr, beta1, 1 - beta1, beta2, 1 - beta2, decay)


def _adan(param, grad, m, v, n, before, size, ahead, beta1, beta2, beta3, eps, shrink, is_first):
    betas = beta1, 1 - beta1, beta2, 1 - beta2, beta3, 1 - beta3
    factors = size, ahead, *betas, eps, 1 / (1 + shrink), bool(is_first)
    return _launch("adan", param, grad, (m, v, n, before), *factors)


LAUNCHES = {
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


def _launch(name, param, grad, state, *factors):
    """The launch of a kernel for these dtypes; None where the reference must compute the step."""
    dtype, state_dtype = kernel_dtype(name, param, grad), common_dtype(*state)
    has_state = any(s is not None for s in state)
    if dtype is None or (has_state and state_dtype != dtype_name(WIDE[dtype])):
        return None
    if not param.size:
        return partial(int)  # does nothing: there is nothing to launch
    kernel, blocks = SOURCE.kernel(name, dtype), flat.blocks(param.size)
    return kernel.bound(blocks, flat.THREADS, param, grad, *state, *factors, param.size)
