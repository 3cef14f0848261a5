"""Losses of numbers: prediction and target have one shape."""

import math

from tinygrad_like.engine import all_examples, check_flag, check_number
from tinygrad_like.losses.checks import (
    as_array_or_tensor,
    in_dtype,
    matched,
    raw,
    reduced,
    shared,
    weight_beside,
    weighted_mean,
)
from tinygrad_like.ops.arrays.shape import expand_dims
from tinygrad_like.ops.elements.compare import greater
from tinygrad_like.ops.elements.elementwise import abs, clip, exp, log, square, where


def mse(prediction, target, *, weight=None, reduction="mean"):
    """(prediction - target)^2, the squared error.

    `weight` multiplies the errors; its shape broadcasts to theirs. The mean is then that of the
    weighted errors, divided by the sum of the weights.

    >>> float(mse(Tensor([1.0, 2.0]), Tensor([1.0, 4.0])))
    2.0
    """
    target = matched("mse", "prediction", prediction, "target", target)
    return _weighted("mse", square(prediction - target), weight, reduction)


def l1(prediction, target, *, weight=None, reduction="mean"):
    """|prediction - target|, the absolute error; its gradient at 0 is 0. `weight` as in `mse`."""
    target = matched("l1", "prediction", prediction, "target", target)
    return _weighted("l1", abs(prediction - target), weight, reduction)


def huber(prediction, target, *, delta=1.0, weight=None, reduction="mean"):
    """With d = prediction - target: d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) beyond.

    `weight` as in `mse`. Source: Huber 1964. Raises ValueError unless delta is positive.
    """
    delta = check_number("huber", "delta", delta, math.ulp(0), expected="a positive number")
    target = matched("huber", "prediction", prediction, "target", target)
    return _weighted("huber", _huber(prediction - target, delta), weight, reduction)


def smooth_l1(prediction, target, *, beta=1.0, weight=None, reduction="mean"):
    """`huber` divided by its delta, here beta: d^2 / (2 beta) near 0, |d| - beta / 2 beyond.

    With beta = 0 it is `l1`. `weight` as in `mse`. Source: Girshick 2015, "Fast R-CNN". Raises
    ValueError for a negative beta.
    """
    name = "smooth_l1"
    beta = check_number(name, "beta", beta, 0)
    target = matched(name, "prediction", prediction, "target", target)
    d = prediction - target
    losses = _huber(d, beta) / beta if beta else abs(d)
    return _weighted(name, losses, weight, reduction)


def _huber(d, delta):
    near = clip(d, -delta, delta)
    return near * (d - 0.5 * near)


def _weighted(name, losses, weight, reduction):
    if weight is None:
        return reduced(name, losses, reduction)
    weight = weight_beside(name, "weight", weight, losses)
    losses = weight * losses
    if reduction == "mean" and losses.size:
        return weighted_mean(name, losses, weight)
    return reduced(name, losses, reduction)


def gaussian_nll(mean, target, variance, *, full=False, eps=1e-6, reduction="mean"):
    """(log variance + (mean - target)^2 / variance) / 2: the Gaussian negative log-likelihood.

    Args:
        mean: the predicted mean.
        target: of the same shape.
        variance: the predicted variance: a number, or of the shape of `mean`, where one axis may
            have length 1 or the last axis may be missing. At least 0.
        full: whether log(2 pi) / 2 is added, which makes it the likelihood itself.
        eps: a variance below it counts as eps, with its gradient passed through, so that it can
            grow again.

    Source: Nix and Weigend 1994, "Estimating the mean and variance of the target probability
    distribution". Raises ValueError for a negative variance and one of another shape.
    """
    name = "gaussian_nll"
    full = check_flag(name, "full", full)
    eps = check_number(name, "eps", eps, math.ulp(0), expected="a positive number")
    target = matched(name, "mean", mean, "target", target)
    variance = _variance_beside(name, variance, mean)
    floor = clip(raw(variance), min=eps) - raw(variance)
    variance = variance + floor
    losses = 0.5 * (log(variance) + square(mean - target) / variance)
    return reduced(name, losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def _variance_beside(name, variance, mean):
    variance = in_dtype(as_array_or_tensor(variance, mean), mean.dtype)
    values = all_examples(raw(variance))
    if values.size and values.min() < 0:
        raise ValueError(f"[{name}] variance contains {values.min()}, expected at least 0")
    if variance.ndim == 0:
        return variance
    if variance.shape == mean.shape[:-1]:
        return expand_dims(variance, -1)
    pairs = zip(variance.shape, mean.shape, strict=False)
    differ = [n for n, m in pairs if n != m]
    if variance.ndim != mean.ndim or differ not in ([], [1]):
        raise ValueError(
            f"[{name}] variance is {variance.shape}, mean is {mean.shape}, expected one shape, in "
            "which one axis of the variance may have length 1 or the last be missing"
        )
    return variance


def poisson_nll(prediction, target, *, log_input=True, full=False, eps=1e-8, reduction="mean"):
    """rate - target log(rate): the Poisson negative log-likelihood, without log(target!).

    Args:
        prediction: log(rate), or with log_input=False the rate.
        target: counts, of the same shape.
        full: whether Stirling's approximation of log(target!) is added, for targets above 1.
        eps: is added to the rate inside the logarithm with log_input=False.

    >>> float(poisson_nll(Tensor([0.0]), Tensor([3.0])))
    1.0
    """
    name = "poisson_nll"
    log_input, full = check_flag(name, "log_input", log_input), check_flag(name, "full", full)
    eps = check_number(name, "eps", eps, 0)
    target = matched(name, "prediction", prediction, "target", target)
    if log_input:
        losses = exp(prediction) + shared(target, -prediction)
    else:
        losses = prediction + shared(target, -log(prediction + eps))
    if full:
        many = greater(target, 1)
        n = where(many, target, 1)
        losses = losses + where(many, n * log(n) - n + 0.5 * log(2 * math.pi * n), 0)
    return reduced(name, losses, reduction)
