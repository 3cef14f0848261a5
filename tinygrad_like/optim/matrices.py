"""Optimizers that see a parameter as a matrix: Muon and Adafactor.

Their steps are compositions of array operations, made on copies, and not kernels of one pass.
"""

from functools import partial
from typing import ClassVar

from tinygrad_like.backend import narrow, wide
from tinygrad_like.engine import check_choice, check_integer, check_number
from tinygrad_like.optim.clipping import norm_of
from tinygrad_like.optim.optimizer import Optimizer
from tinygrad_like.optim.parameters import CHECKS, Checks, checked_number


class _Composed(Optimizer):
    """An optimizer whose step is `_stepped`, of arrays in the parameter's shape."""

    def _stepped(self, be, param, grad, *state_and_settings):
        """The new values of the parameter and of the buffers, in float32 at least."""
        raise NotImplementedError

    def _fitted(self, slot, names, options, settings):
        slot = slot.fitted(names, self._initial(options), self._shape)
        slot.beside = [slot.buffers[name] for name in self.buffers]
        slot.plan = partial(self._planned, slot)
        return slot

    def _planned(self, slot, grad, settings):
        """The changes that make the step of one parameter."""
        array = slot.array
        if not array.size:
            return []
        shape = array.shape or (1,)  # NumPy makes scalars of what it computes from 0-d arrays
        buffers = [b.reshape(shape) if b.size == array.size else b for b in slot.beside]
        given = (a.reshape(shape) for a in (wide(array), wide(grad)))
        param, *state = self._stepped(slot.be, *given, *buffers, *settings)
        new = narrow(param, array.dtype).reshape(array.shape)
        pairs = zip((array, *buffers), (new, *state), strict=True)
        return [partial(a.__setitem__, ..., values) for a, values in pairs]


def _coefficients(owner, name, value):
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise ValueError(f"[{owner}] {name} is {value!r}, expected three numbers")
    return tuple(check_number(owner, name, each) for each in value)


def _choice(owner, name, value):
    return value if value is None else check_choice(owner, name, value, ADJUSTED)


ADJUSTED = "original", "match_rms_adamw"  # how Muon's rate depends on the shape


class Muon(_Composed):
    """Momentum whose matrix is made orthogonal, all its singular values close to 1: for matrices.

    velocity = momentum velocity + (1 - momentum) g, and with `nesterov` the mean of g and velocity
    with that weight; U is that matrix after `ns_steps` Newton-Schulz steps X -> a X + (b S + c S^2)
    X with S = X X^T, from X divided by its norm (at least eps); param -= lr weight_decay param + lr
    s U. With `adjust_lr_fn` "original" or None, s = sqrt(max(1, rows / columns)); with
    "match_rms_adamw", s = 0.2 sqrt(max(rows, columns)), which takes the rates of AdamW.

    Biases, norms, embeddings and the last layer belong to another optimizer, such as AdamW. U is
    computed in float32 (float64 for such parameters), where PyTorch rounds it to bfloat16.

    Raises ValueError for parameters that are not matrices.
    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Sequential(tg.nn.Dense(4, 8), tg.nn.ReLU(), tg.nn.Dense(8, 2))
    >>> muon = Muon([p for p in model.parameters() if p.ndim == 2], lr=0.02)
    >>> adam = tg.optim.AdamW([p for p in model.parameters() if p.ndim != 2], lr=1e-3)
    """

    buffers = ("velocity",)
    checks: ClassVar[Checks] = CHECKS | {
        "ns_coefficients": _coefficients,
        "ns_steps": partial(check_integer, least=0, most=99),
        "adjust_lr_fn": _choice,
    }

    def __init__(
        self,
        params,
        lr=1e-3,
        *,
        weight_decay=0.1,
        momentum=0.95,
        nesterov=True,
        ns_coefficients=(3.4445, -4.7750, 2.0315),
        eps=1e-7,
        ns_steps=5,
        adjust_lr_fn=None,
    ):
        settings = {"momentum": momentum, "nesterov": nesterov, "ns_coefficients": ns_coefficients}
        settings |= {"eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn}
        super().__init__(params, lr=lr, weight_decay=weight_decay, **settings)

    def _group(self, group):
        group = super()._group(group)
        for i, p in enumerate(group["params"]):
            _check_matrix(i, p)
        return group

    def _fitted(self, slot, names, options, settings):
        _check_matrix(None, slot.param)  # one may have been put into a group since
        return super()._fitted(slot, names, options, settings)

    def _settings(self, group, steps):
        names = "lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps"
        return *(group[name] for name in names), group["adjust_lr_fn"]

    def _stepped(
        self, be, param, grad, velocity, lr, decay, momentum, nesterov, factors, eps, count, adjust
    ):
        velocity = velocity + (1 - momentum) * (grad - velocity)
        update = grad + momentum * (velocity - grad) if nesterov else velocity
        update = _orthogonal(be, update, factors, eps, count)
        rows, columns = param.shape
        size = max(1, rows / columns) ** 0.5
        if adjust == "match_rms_adamw":
            size = 0.2 * max(rows, columns) ** 0.5
        return param * (1 - lr * decay) - lr * size * update, velocity


def _check_matrix(i, param):
    if getattr(param, "ndim", 2) != 2:
        which = "a parameter" if i is None else f"params[{i}]"
        raise ValueError(
            f"[Muon] {which} has shape {param.shape}, expected a matrix; give the others to "
            "another optimizer, such as AdamW"
        )


def _orthogonal(be, x, factors, eps, count):
    """Newton-Schulz steps, on the side on which the product is smaller."""
    a, b, c = factors
    is_tall = x.shape[0] > x.shape[1]
    x = be.xp.ascontiguousarray(x.T) if is_tall else x
    x = x / max(norm_of(x, 2), eps)
    for _ in range(count):
        square = be.k.matmul(x, be.xp.ascontiguousarray(x.T))
        x = a * x + be.k.matmul(b * square + c * be.k.matmul(square, square), x)
    return x.T if is_tall else x


def _two_eps(owner, name, value):
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"[{owner}] {name} is {value!r}, expected None or a number, and a number")
    first, second = value
    first = None if first is None else checked_number(owner, name, first)
    return first, checked_number(owner, name, second)


class Adafactor(_Composed):
    """Adam without momentum, that keeps of g^2 only the means of each row and each column.

    The last two axes of a parameter are rows and columns; a vector keeps g^2 of each element (in
    `row`). At step t the running means move by t^beta2_decay; V = row column / mean(row), at least
    eps1^2; update = g / sqrt(V), divided by its root mean square where that is above `d`; param -=
    lr weight_decay param + max(eps2, rms(param)) min(lr, 1 / sqrt(t)) update. `eps` is (eps1,
    eps2); eps1 None is the epsilon of the dtype, of float32 for half types.

    Source: Shazeer and Stern 2018, "Adafactor: adaptive learning rates with sublinear memory
    cost"; in PyTorch's form.

    >>> import tinygrad_like as tg
    >>> w = tg.ones((300, 200), requires_grad=True)
    >>> optimizer = Adafactor([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> state = optimizer.state_dict()["groups"][0]["params"][0]["buffers"]
    >>> {name: buffer.shape for name, buffer in state.items()}
    {'row': (300, 1), 'column': (1, 200)}
    """

    buffers = ("row", "column")
    checks: ClassVar[Checks] = CHECKS | {
        "eps": _two_eps,
        "beta2_decay": partial(check_number, most=0),
        "d": partial(check_number, least=1),
    }

    def __init__(
        self,
        params,
        lr=1e-2,
        *,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0,
        maximize=False,
    ):
        settings = {"beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, lr=lr, **settings, maximize=maximize)

    def _shape(self, name, shape):
        if len(shape) < 2:
            return shape if name == "row" else (0,)
        return (*shape[:-1], 1) if name == "row" else (*shape[:-2], 1, shape[-1])

    def _settings(self, group, steps):
        pace = steps ** group["beta2_decay"]
        lr, decay = group["lr"], group["weight_decay"]
        return lr * decay, min(lr, steps**-0.5), pace, *group["eps"], group["d"]

    def _stepped(self, be, param, grad, row, column, shrink, rate, pace, eps1, eps2, d):
        xp = be.xp
        if eps1 is None:
            eps1 = float(xp.finfo(param.dtype).eps)
        size = max(eps2, _rms(param)) * rate
        squares = grad * grad
        if param.ndim > 1:
            row = row + pace * (squares.mean(-1, keepdims=True) - row)
            column = column + pace * (squares.mean(-2, keepdims=True) - column)
            estimate = row * column / xp.maximum(row.mean(-2, keepdims=True), eps1)
        else:
            estimate = row = row + pace * (squares - row)
        update = grad / xp.sqrt(xp.maximum(estimate, eps1 * eps1))
        param = param * (1 - shrink) - size / max(1.0, _rms(update) / d) * update
        return param, row, column


def _rms(x):
    return norm_of(x, 2) / x.size**0.5
