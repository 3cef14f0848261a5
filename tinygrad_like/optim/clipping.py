"""Clipping of gradients, between `backward` and the optimizer's step."""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import wide
from tinygrad_like.engine import SparseRows, check_flag, check_real, commit
from tinygrad_like.optim.parameters import as_list, check_tensors
from tinygrad_like.optim.states import set_gradients


def clip_grad_norm(params, max_norm, norm=2, *, error_if_nonfinite=False):
    """Scale all gradients together so that, as one long vector, their norm is at most `max_norm`.

    Args:
        params: an iterable of Tensors; those without a gradient are skipped, those that were
            frozen after the backward pass are included, as in PyTorch.
        max_norm: the largest norm that is left alone.
        norm: the order of the norm, a positive number or inf.
        error_if_nonfinite: raise ValueError, and change nothing, if the norm is inf or NaN. If
            not, a NaN norm makes all gradients NaN, an infinite one leaves 0 and NaN.

    Returns:
        The norm before clipping, a float.
    """
    name = "clip_grad_norm"
    max_norm, norm = check_real(name, "max_norm", max_norm), check_real(name, "norm", norm)
    error_if_nonfinite = check_flag(name, "error_if_nonfinite", error_if_nonfinite)
    if not max_norm >= 0 or not norm > 0:
        raise ValueError(
            f"[{name}] max_norm is {max_norm!r} and norm is {norm!r}, expected positive numbers"
        )
    pairs = _with_gradient(name, params)
    with np.errstate(all="ignore"):  # inf and NaN are handled below, or documented above
        total = norm_of(np.array([norm_of(numbers(grad), norm) for _, grad in pairs]), norm)
        if error_if_nonfinite and not math.isfinite(total):
            raise ValueError(f"[{name}] the norm of the gradients is {total}; nothing was changed")
        scale = max_norm / (total + 1e-6)
        if not scale >= 1:
            commit(set_gradients([(p, grad * scale) for p, grad in pairs]))
    return total


def clip_grad_value(params, limit):
    """Clip every element of the gradients to the range from -limit to limit."""
    name = "clip_grad_value"
    limit = check_real(name, "limit", limit)
    if not limit >= 0:
        raise ValueError(f"[{name}] limit is {limit!r}, expected a positive number")
    pairs = _with_gradient(name, params)
    commit(set_gradients([(p, _clipped(grad, limit)) for p, grad in pairs]))


def _clipped(grad, limit):
    if type(grad) is not SparseRows:
        return grad.clip(-limit, limit)
    return grad.with_values(grad.values.clip(-limit, limit).data)


def numbers(grad):
    """The raw elements of a gradient; of SparseRows those of the rows that they name."""
    return grad.coalesce()._values if type(grad) is SparseRows else grad.data


def _with_gradient(name, params):
    """(parameter, gradient without history) of all that have one; of SparseRows each row once."""
    params = as_list(name, params)
    check_tensors(name, params)
    found = [(p, p.grad.detach()) for p in params if p.grad is not None]
    return [(p, g.coalesce() if type(g) is SparseRows else g) for p, g in found]


def norm_of(x, order):
    """The norm of all elements, a float, without over- or underflow of their powers."""
    if x.size == 0:
        return 0.0
    be, x = backend.of(x), wide(x)
    xp = be.xp
    x = xp.abs(x) if x.dtype.kind == "c" else x
    if order == 2:
        squares = be.k.sum_squares(x, None).item()
        if 1e-280 < squares < math.inf:
            return math.sqrt(squares)
    peak = xp.abs(x).max().item()
    if order == math.inf or not 0 < peak < math.inf:
        return peak
    total = (xp.abs(x / peak) ** order).sum(dtype=np.float64).item()
    return peak * total ** (1 / order)
