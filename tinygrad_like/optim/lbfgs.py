"""LBFGS: a quasi-Newton method for full batches, with a line search."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import wide
from tinygrad_like.engine import SparseRows, check_integer, check_real, commit, enable_grad
from tinygrad_like.engine.modes import timed_step
from tinygrad_like.optim.line_search import Point, strong_wolfe
from tinygrad_like.optim.optimizer import Optimizer
from tinygrad_like.optim.parameters import CHECKS, Checks
from tinygrad_like.optim.rows import refuse_rows


class _Memory(NamedTuple):
    """What is kept between two steps: one attribute, so one assignment."""

    iterations: int = 0
    evaluations: int = 0
    step: float = 0.0  # the length of the last step along `direction`
    scale: float = 1.0  # of the first estimate of the inverse Hessian matrix
    loss: float = 0.0
    direction: Any = None  # flat arrays over all parameters; None before the first step
    gradient: Any = None
    changes: tuple[tuple[Any, Any], ...] = ()  # of the gradient, and of the parameters


def _some(check):
    return lambda owner, name, value: None if value is None else check(owner, name, value)


def _line_search(owner, name, value):
    if value is None or (isinstance(value, str) and value == "strong_wolfe"):
        return value
    raise ValueError(f"[{owner}] {name} is {value!r}, expected None or 'strong_wolfe'")


class LBFGS(Optimizer):
    """Newton's method with an inverse Hessian matrix that is estimated from the last gradients.

        optimizer = tg.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            loss = tg.losses.mse(model(x), y)
            loss.backward()
            return loss

        for _ in range(10):
            optimizer.step(closure)

    A step makes up to `max_iter` iterations, and evaluates the closure up to `max_eval` times
    (None: 1.25 max_iter). It ends early where the largest element of the gradient is at most
    `tolerance_grad`, and where loss or parameters change by at most `tolerance_change`.

    Args:
        params: Tensors on one device, in one group.
        lr: the length of the first step that is tried along a direction.
        history_size: how many changes of gradient and parameters are kept.
        line_search_fn: "strong_wolfe", or None to go the whole length without a search.

    Source: Nocedal and Wright 2006, "Numerical optimization", algorithm 7.4; PyTorch's steps.

    >>> import tinygrad_like as tg
    >>> w = tg.Tensor([-1.0, 2.0], requires_grad=True)
    >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(3):
    ...     first = optimizer.step(closure)
    >>> w.numpy().round(4).tolist()
    [1.0, 1.0]
    """

    buffers = ()
    checks: ClassVar[Checks] = CHECKS | {
        "max_iter": partial(check_integer, least=1),
        "max_eval": _some(partial(check_integer, least=1)),
        "history_size": partial(check_integer, least=1),
        "line_search_fn": _line_search,
    }

    def __init__(
        self,
        params,
        lr=1.0,
        *,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        settings = {"max_iter": max_iter, "max_eval": max_eval}
        settings |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        settings |= {"history_size": history_size, "line_search_fn": line_search_fn}
        super().__init__(params, lr=lr, **settings)
        self._check_groups()
        self._memory = _Memory()

    def _check_groups(self):
        if len(self.param_groups) != 1:
            raise ValueError(
                f"[LBFGS] got {len(self.param_groups)} groups, expected one: its directions are of "
                "all parameters together"
            )

    def add_param_group(self, group):
        """Refused with a ValueError: there is one group."""
        raise ValueError("[LBFGS] has one group; give all parameters to the constructor")

    def _plan(self, replaced=None):
        raise TypeError(
            "[LBFGS] a step evaluates the loss several times: call step(closure), without a scaler"
        )

    @timed_step
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Go on to lower losses. If anything is raised meanwhile, nothing is changed but gradients.

        Args:
            closure: a function without arguments that forgets the gradients, computes the loss,
                calls `backward` on it and returns it.

        Returns:
            What the closure has returned first.

        Raises:
            TypeError: without a closure, or if the loss is not a single number.
            ValueError, DeviceError: if groups or parameters were changed to invalid ones.
        """
        if not callable(closure):
            self._plan()
        self._check_groups()
        (options,) = self._all_options()
        params = [slot.param for slot in self._matched()[0]]
        descent = _Descent(params, closure, options, self._memory)
        before = [(p, p._array, p._array.copy()) for p in params]
        memory = self._memory
        try:
            first = descent.run()
            commit([partial(setattr, self, "_memory", descent.memory)])
            return first
        except BaseException:
            commit(
                [
                    *(partial(array.__setitem__, ..., old) for _, array, old in before),
                    *(partial(p.version.__setitem__, 0, p.version[0] + 1) for p, _, _ in before),
                    partial(setattr, self, "_memory", memory),
                ]
            )
            raise

    def state_dict(self):
        """The settings, and what is kept between two steps, as copies on the host."""
        (options,) = self._all_options()
        memory = self._memory._asdict()
        host = {name: _on_host(memory[name]) for name in ("direction", "gradient")}
        pairs = [[_on_host(a) for a in pair] for pair in memory["changes"]]
        kept = {**memory, **host, "changes": pairs}
        shapes = [list(slot.param.shape) for slot in self._matched()[0]]
        return {"optimizer": "LBFGS", "settings": {**options}, "shapes": shapes, "memory": kept}

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        params = [slot.param for slot in self._matched()[0]]
        try:
            if state["optimizer"] != "LBFGS":
                raise ValueError(f"it is of {state['optimizer']}, expected LBFGS")
            shapes, own = [tuple(shape) for shape in state["shapes"]], [p.shape for p in params]
            if shapes != own:
                raise ValueError(f"its parameters have shapes {shapes}, expected {own}")
            settings = self._checked_settings(state["settings"])
            memory = _memory(state["memory"], params)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"[LBFGS] the state does not fit: {error}; nothing was changed"
            ) from error
        return [
            partial(self.param_groups[0].update, settings),
            partial(setattr, self, "_memory", memory),
        ]


class _Descent:
    """One step: up to `max_iter` iterations, and the memory after them."""

    def __init__(self, params, closure, options, memory):
        self._params, self._closure, self._options = params, closure, options
        self._be = backend.of(params[0]._array)
        for i, p in enumerate(params):
            if backend.of(p._array) is not self._be:
                raise backend.DeviceError(
                    f"[LBFGS] params[{i}] is on {backend.of(p._array).device}, params[0] on "
                    f"{self._be.device}; move them to one device"
                )
        self.memory = memory

    def run(self):
        options, m = self._options, self.memory
        first = self._called()
        loss, gradient = check_real("LBFGS", "the loss", first), self._gradient()
        evaluations, most = 1, options["max_eval"] or options["max_iter"] * 5 // 4
        m = m._replace(evaluations=m.evaluations + 1)
        for count in range(1, options["max_iter"] + 1):
            if _peak(gradient) <= options["tolerance_grad"]:
                break
            m = self._directed(m, gradient)._replace(loss=loss, gradient=gradient)
            slope = _dot(gradient, m.direction)
            length = options["lr"]
            if m.iterations == 1:
                length *= min(1.0, 1.0 / abs(gradient).sum().item())
            m = m._replace(step=length)
            if not slope < -options["tolerance_change"]:
                break
            is_last = count == options["max_iter"]
            start = Point(0.0, loss, gradient, slope)
            point, used = self._moved(m.direction, start, length, most - evaluations, is_last)
            loss, gradient = point.value, point.gradient
            m = m._replace(step=point.step, evaluations=m.evaluations + used)
            evaluations += used
            if is_last or evaluations >= most:
                break
            if _peak(m.direction) * abs(point.step) <= options["tolerance_change"]:
                break
            if abs(loss - start.value) < options["tolerance_change"]:
                break
        self.memory = m
        return first

    def _directed(self, m, gradient):
        """The memory with the next direction, and with the last changes taken in."""
        if m.iterations == 0:
            return m._replace(iterations=1, direction=-gradient)
        changes, scale = list(m.changes), m.scale
        turned, moved = gradient - m.gradient, m.direction * m.step
        bend = _dot(turned, moved)
        if bend > 1e-10:
            changes = [*changes, (turned, moved)][-self._options["history_size"] :]
            scale = bend / _dot(turned, turned)
        direction, weights = -gradient, []
        for y, s in reversed(changes):
            weights.append(_dot(s, direction) / _dot(y, s))
            direction = direction - weights[-1] * y
        direction = direction * scale
        for (y, s), weight in zip(changes, reversed(weights), strict=True):
            direction = direction + (weight - _dot(y, direction) / _dot(y, s)) * s
        return m._replace(
            iterations=m.iterations + 1, changes=tuple(changes), scale=scale, direction=direction
        )

    def _moved(self, direction, start, length, most, is_last):
        """The point to which the parameters are moved, and how many were evaluated."""
        origin = [p._array.copy() for p in self._params]

        def evaluate(step):
            self._place(origin, direction, step)
            value = check_real("LBFGS", "the loss", self._called())
            gradient = self._gradient()
            return Point(step, value, gradient, _dot(gradient, direction))

        if self._options["line_search_fn"] is None:
            if not is_last:
                return evaluate(length), 1
            self._place(origin, direction, length)
            return Point(length, start.value, start.gradient, start.slope), 0
        shortest = self._options["tolerance_change"] / _peak(direction)
        point, used = strong_wolfe(evaluate, start, length, shortest, most)
        self._place(origin, direction, point.step)
        return point, used

    def _called(self):
        with enable_grad():
            return self._closure()

    def _gradient(self):
        """All gradients as one flat array; zeros where there is none."""
        xp = self._be.xp
        parts = []
        for p in self._params:
            grad = p.grad
            if type(grad) is SparseRows:
                refuse_rows("LBFGS", p)
            array = xp.zeros_like(p._array) if grad is None else grad.data
            parts.append(wide(array).ravel())
        return xp.concatenate(parts)

    def _place(self, origin, direction, step):
        """Set the parameters to where they were, plus `step` times the direction."""
        changes, first = [], 0
        for p, array in zip(self._params, origin, strict=True):
            part = direction[first : first + array.size].reshape(array.shape)
            first += array.size
            changes.append(partial(p._array.__setitem__, ..., wide(array) + step * part))
            changes.append(partial(p.version.__setitem__, 0, p.version[0] + 1))
        commit(changes)


def _dot(a, b):
    return (a * b).sum().item()


def _peak(a):
    return abs(a).max().item() if a.size else 0.0


def _on_host(array):
    return None if array is None else np.array(backend.of(array).to_host(array))


def _memory(state, params):
    """The memory in a state, its arrays on the device of the parameters."""
    be, size = backend.of(params[0]._array), sum(p.size for p in params)

    def placed(array):
        if array is None:
            return None
        array = np.array(array)
        if array.shape != (size,) or array.dtype.kind != "f":
            raise ValueError(f"it has {array.dtype} {array.shape}, expected real numbers ({size},)")
        return be.from_host(array)

    counts = {
        name: check_integer("LBFGS", name, state[name], 0) for name in ("iterations", "evaluations")
    }
    numbers = {name: check_real("LBFGS", name, state[name]) for name in ("step", "scale", "loss")}
    arrays = {name: placed(state[name]) for name in ("direction", "gradient")}
    pairs = tuple((placed(y), placed(s)) for y, s in state["changes"])
    if counts["iterations"] and (arrays["direction"] is None or arrays["gradient"] is None):
        raise ValueError("it lacks a direction")
    return _Memory(**counts, **numbers, **arrays, changes=pairs)
