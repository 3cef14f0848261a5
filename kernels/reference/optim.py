"""Optimizer steps, in place on the parameter and on the state beside it; PyTorch's formulas.

The arrays of one call are flat, of one length; rates are Python floats, steps count from 1, state
starts at zero. For float16 parameters the state is float32: in float16 squares of small gradients
vanish.
"""

from functools import partial

import numpy as np

from .contract import kernel
from .precision import wide


@kernel(any_layout=True)
def optimizer_state(param, dtype):
    """A flat array of zeros, one for each element of `param`: state that is kept beside it."""
    return np.zeros_like(param, dtype, shape=param.size)


def _decayed(grad, param, weight_decay):
    """The gradient of loss + weight_decay / 2 * |param|^2."""
    grad = wide(grad)
    return grad + weight_decay * wide(param) if weight_decay else grad


@kernel
def sgd_(param, grad, velocity, lr, momentum, dampening, nesterov, weight_decay):
    """velocity = momentum * velocity + (1 - dampening) * grad; param -= lr * velocity.

    `velocity` may be None. Nesterov's step looks ahead: param -= lr * (grad + momentum * velocity).
    """
    grad = _decayed(grad, param, weight_decay)
    if velocity is not None:
        velocity *= momentum
        velocity += (1 - dampening) * grad
        grad = grad + momentum * velocity if nesterov else velocity
    param -= lr * grad


@kernel
def adam_(param, grad, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """param -= lr * mhat / (sqrt(vhat) + eps), from running means of grad and grad^2.

    m = beta1 * m + (1 - beta1) * grad, mhat = m / (1 - beta1^step), and v alike: Kingma and Ba
    2015. `decoupled` shrinks param itself instead of adding to grad: AdamW, Loshchilov and Hutter
    2019. `largest` may be None; if not, it keeps the largest v so far, which takes the place of v:
    AMSGrad, Reddi, Kale and Kumar 2018.
    """
    grad = _decayed(grad, param, 0 if decoupled else weight_decay)

    scratch = grad * (1 - beta1)
    m *= beta1
    m += scratch
    np.multiply(grad, grad, out=scratch)
    scratch *= 1 - beta2
    v *= beta2
    v += scratch

    if largest is not None:
        np.maximum(largest, v, out=largest)
        v = largest
    np.sqrt(v, out=scratch)
    scratch /= (1 - beta2**step) ** 0.5
    scratch += eps
    np.divide(m, scratch, out=scratch)
    scratch *= lr / (1 - beta1**step)
    if decoupled and weight_decay:
        scratch += lr * weight_decay * wide(param)
    param -= scratch


@kernel
def rmsprop_(param, grad, v, velocity, mean, lr, alpha, eps, momentum, weight_decay):
    """v = alpha * v + (1 - alpha) * grad^2; param -= lr * grad / (sqrt(v) + eps).

    With a velocity, the update grad / (sqrt(v) + eps) is accumulated as in `sgd_`. With a mean, the
    running mean of grad as v is of grad^2, the variance v - mean^2 takes the place of v.
    """
    grad = _decayed(grad, param, weight_decay)
    scratch = grad * grad
    scratch *= 1 - alpha
    v *= alpha
    v += scratch
    if mean is None:
        np.sqrt(v, out=scratch)
    else:
        mean += (1 - alpha) * (grad - mean)
        np.sqrt(np.maximum(v - mean * mean, 0), out=scratch)  # rounding may leave it below 0
    scratch += eps
    update = np.divide(grad, scratch, out=scratch)
    if velocity is not None:
        velocity *= momentum
        velocity += update
        update = velocity
    param -= lr * update


@kernel
def adagrad_(param, grad, s, lr, eps, weight_decay):
    """s += grad^2; param -= lr * grad / (sqrt(s) + eps). Duchi, Hazan and Singer 2011."""
    grad = _decayed(grad, param, weight_decay)
    scratch = grad * grad
    s += scratch
    np.sqrt(s, out=scratch)
    scratch += eps
    np.divide(grad, scratch, out=scratch)
    scratch *= lr
    param -= scratch


@kernel
def nadam_(param, grad, m, v, size, ahead, beta1, beta2, scale, eps, decay, shrink):
    """param -= (size * m + ahead * grad) / (scale * sqrt(v) + eps) + shrink * param.

    m and v are Adam's running means, `decay` what of param is added to grad. NAdam and RAdam are
    this with factors that depend on the step. With a scale of 0, v does not count.
    """
    grad = _decayed(grad, param, decay)
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * (grad * grad)
    update = size * m + ahead * grad if ahead else size * m
    update /= scale * np.sqrt(v) + eps if scale else eps
    if shrink:
        update += shrink * wide(param)
    param -= update


@kernel
def adamax_(param, grad, m, largest, size, beta1, beta2, eps, weight_decay):
    """largest = max(beta2 * largest, |grad| + eps); param -= size * m / largest."""
    grad = _decayed(grad, param, weight_decay)
    m *= beta1
    m += (1 - beta1) * grad
    largest *= beta2
    np.maximum(largest, abs(grad) + eps, out=largest)
    param -= size * m / largest


@kernel
def adadelta_(param, grad, v, delta, lr, rho, eps, weight_decay):
    """update = sqrt(delta + eps) / sqrt(v + eps) * grad; param -= lr * update.

    v and delta are running means of grad^2, and of update^2 of the steps before.
    """
    grad = _decayed(grad, param, weight_decay)
    v *= rho
    v += (1 - rho) * (grad * grad)
    update = np.sqrt(delta + eps) / np.sqrt(v + eps) * grad
    delta *= rho
    delta += (1 - rho) * (update * update)
    param -= lr * update


@kernel
def rprop_(param, grad, before, size, less, more, least, most):
    """size *= more, or less where the sign of grad has changed; param -= size * sign(grad).

    Where it has changed, param is left alone, and the next gradient counts as the first one.
    `before` is the gradient of the step before, size stays from `least` to `most`.
    """
    grad = wide(grad)
    sign = np.sign(grad) * np.sign(before)
    size *= np.where(sign > 0, more, np.where(sign < 0, less, 1.0)).astype(size.dtype)
    np.clip(size, least, most, out=size)
    before[...] = np.where(sign < 0, 0, grad)
    param -= np.sign(before) * size


@kernel
def lion_(param, grad, m, lr, beta1, beta2, weight_decay):
    """param -= lr * (sign(beta1 * m + (1 - beta1) * grad) + weight_decay * param).

    Then m = beta2 * m + (1 - beta2) * grad.
    """
    grad = wide(grad)
    update = np.sign(beta1 * m + (1 - beta1) * grad)
    if weight_decay:
        update += weight_decay * wide(param)
    m *= beta2
    m += (1 - beta2) * grad
    param -= lr * update


@kernel
def adan_(param, grad, m, v, n, before, size, ahead, beta1, beta2, beta3, eps, shrink, is_first):
    """param = (param - (size * m + ahead * v) / (sqrt(n) + eps)) / (1 + shrink).

    With change = grad - before (0 at the first step), m, v and n are running means of grad, of
    change and of (grad + beta2 * change)^2; `before` is the gradient of the step before.
    """
    grad = wide(grad)
    change = np.zeros_like(before) if is_first else grad - before
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * change
    change *= beta2
    change += grad
    n *= beta3
    n += (1 - beta3) * (change * change)
    before[...] = grad
    update = (size * m + ahead * v) / (np.sqrt(n) + eps)
    param[...] = (wide(param) - update) / (1 + shrink)


STEPS = {
    step.__name__: step
    for step in (
        *(sgd_, adam_, rmsprop_, adagrad_, nadam_, adamax_, adadelta_, rprop_, lion_, adan_),
    )
}


@kernel(any_layout=True)
def planner(name, param, *state):
    """A function (gradient, settings) -> changes, which plans a step, "adam_" for example.

    `state` are the arrays beside the parameter, or None, and settings what the step takes after
    them. Changes are `functools.partial` objects, to be called later; all that can fail happens
    when they are planned. A change either calls into C, and so cannot be interrupted by the handler
    of a signal, or can be made twice. Here the step is made on copies.
    """
    return partial(on_copies, STEPS[name], (param, *state))


def on_copies(step, arrays, grad, settings):
    """Make a step on copies of arrays; returns the changes that write them where they belong."""
    param, *state = (None if a is None else a.copy() for a in arrays)
    step(param, grad, *state, *settings)
    pairs = zip(arrays, (param, *state), strict=True)
    return [partial(a.__setitem__, ..., new) for a, new in pairs if a is not None]
