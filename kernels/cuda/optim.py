"""Optimizer steps in place, launched from optim.cu; see kernels/reference/optim.py."""

from .. import reference
from . import flat
from .launcher import Source, common_dtype, kernel_dtype

SOURCE = Source("optim.cu")


def sgd_(param, grad, velocity, lr, momentum, nesterov, weight_decay):
    """velocity = momentum * velocity + grad; param -= lr * velocity. `velocity` may be None."""
    kernel = _kernel("sgd", param, grad, velocity)
    if kernel is None:
        reference.sgd_(param, grad, velocity, lr, momentum, nesterov, weight_decay)
    else:
        _step(kernel, param, grad, velocity, lr, momentum, bool(nesterov), weight_decay)


def adam_(param, grad, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps), from running means of grad and grad^2."""
    kernel = _kernel("adam", param, grad, m, v)
    if kernel is None:
        reference.adam_(param, grad, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step)
        return
    decay, shrink = (0.0, lr * weight_decay) if decoupled else (weight_decay, 0.0)
    size, root = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
    factors = size, root, beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, shrink
    _step(kernel, param, grad, m, v, *factors)


def rmsprop_(param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay):
    """v = alpha * v + (1 - alpha) * grad^2; param -= lr * grad / (sqrt(v) + eps)."""
    kernel = _kernel("rmsprop", param, grad, v, velocity)
    if kernel is None:
        reference.rmsprop_(param, grad, v, velocity, lr, alpha, eps, momentum, weight_decay)
    else:
        _step(kernel, param, grad, v, velocity, lr, alpha, 1 - alpha, eps, momentum, weight_decay)


def adagrad_(param, grad, s, lr, eps, weight_decay):
    """s += grad^2; param -= lr * grad / (sqrt(s) + eps)."""
    kernel = _kernel("adagrad", param, grad, s)
    if kernel is None:
        reference.adagrad_(param, grad, s, lr, eps, weight_decay)
    else:
        _step(kernel, param, grad, s, lr, eps, weight_decay)


def _kernel(name, param, grad, *state):
    """The kernel for these dtypes; None where the reference has to do."""
    dtype, kept = kernel_dtype(name, param, grad), common_dtype(*state)
    wide = "float64" if dtype == "float64" else "float32"
    has_state = any(s is not None for s in state)
    if dtype is None or (has_state and kept != wide):
        return None
    return SOURCE.kernel(name, dtype)


def _step(kernel, param, *args):
    if param.size:
        kernel(flat.blocks(param.size), flat.THREADS, param, *args, param.size)
