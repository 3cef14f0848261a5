"""Lookahead: slow weights that follow those of any optimizer."""

from functools import partial
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import wide, wide_dtype
from tinygrad_like.engine import check_integer, check_number
from tinygrad_like.optim.optimizer import Optimizer, check_optimizer


class Lookahead(Optimizer):
    """After every `every` steps of an optimizer, slow += alpha (param - slow); param = slow.

    The slow weights begin as the parameters are at the first step, and are in float32 at least.
    Groups, settings and the optimizer's own state are those of `optimizer`, which keeps its state
    when the parameters jump. Schedules and GradScaler take either of the two.

    Args:
        optimizer: what makes the steps. every: how many between two jumps. alpha: from 0 to 1.

    Raises TypeError and ValueError for other arguments.
    Source: Zhang et al. 2019, "Lookahead optimizer: k steps forward, 1 step back".

    >>> import tinygrad_like as tg
    >>> w = tg.Tensor([1.0], requires_grad=True)
    >>> optimizer = Lookahead(tg.optim.SGD([w], lr=0.25), every=2)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     w.sum().backward()
    ...     optimizer.step()
    >>> w.numpy().tolist()
    [0.75]
    """

    def __init__(self, optimizer, *, every=5, alpha=0.5):
        check_optimizer("Lookahead", optimizer)
        if type(optimizer)._plan is not Optimizer._plan:
            raise TypeError(
                f"[Lookahead] optimizer is a {type(optimizer).__name__}, expected one that makes "
                "its steps parameter by parameter, such as SGD or Adam"
            )
        self.optimizer, self.param_groups = optimizer, optimizer.param_groups
        self.every = check_integer("Lookahead", "every", every, 1)
        self.alpha = check_number("Lookahead", "alpha", alpha, 0, 1)
        self._steps = 0
        self._slow: dict[int, tuple[Any, Any]] = {}  # by the id of a parameter: it and the array

    def add_param_group(self, group):
        """Add a group to the optimizer; its slow weights begin at the next step."""
        self.optimizer.add_param_group(group)

    def _all_options(self):
        return self.optimizer._all_options()

    def _params(self):
        return [p for group in self.param_groups for p in group["params"]]

    def _plan(self, replaced=None):
        changes = self.optimizer._plan(replaced)
        steps = self._steps + 1
        for p in self._params():
            known = self._slow.get(id(p))
            slow = _own(p) if known is None else _beside(known[1], p)
            if known is None or slow is not known[1]:
                changes.append(partial(self._slow.__setitem__, id(p), (p, slow)))
            if steps % self.every == 0 and p.node is not None:
                changes += self._jump(p, slow)
        changes.append(partial(setattr, self, "_steps", steps))
        return changes

    def _jump(self, p, slow):
        """The changes, each one call into C, that move a parameter and its slow weights."""
        array, xp = p._array, backend.of(p._array).xp
        away = xp.empty_like(slow)
        return [
            partial(away.__setitem__, ..., array),
            partial(xp.subtract, away, slow, away),
            partial(xp.multiply, away, self.alpha, away),
            partial(xp.add, slow, away, slow),
            partial(array.__setitem__, ..., slow),
            partial(p.version.__setitem__, 0, p.version[0] + 2),  # the step itself is the first
        ]

    def state_dict(self):
        """The state of the optimizer, the number of steps and copies of the slow weights."""
        found = [self._slow.get(id(p)) for p in self._params()]
        arrays = [None if f is None else np.array(backend.of(f[1]).to_host(f[1])) for f in found]
        own = {"every": self.every, "alpha": self.alpha, "steps": self._steps, "slow": arrays}
        return {"lookahead": own, "inner": self.optimizer.state_dict()}

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        params = self._params()
        try:
            own, inner = state["lookahead"], state["inner"]
            steps = check_integer("Lookahead", "steps", own["steps"], 0)
            settings = own["every"], own["alpha"]
            arrays = [None if a is None else np.asarray(a) for a in own["slow"]]
            shapes = [None if a is None else a.shape for a in arrays]
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"[Lookahead] the state is none of a Lookahead: {error!r}; nothing was changed"
            ) from error
        if settings != (self.every, self.alpha):
            raise ValueError(
                f"[Lookahead] the state has every, alpha = {settings}, expected "
                f"{self.every, self.alpha}; nothing was changed"
            )
        if len(shapes) != len(params) or any(
            shape not in (None, p.shape) for shape, p in zip(shapes, params, strict=False)
        ):
            raise ValueError(
                f"[Lookahead] the state has slow weights of the shapes {shapes}, expected "
                f"{[p.shape for p in params]}; nothing was changed"
            )
        pairs = zip(params, arrays, strict=True)
        slow = {id(p): (p, _moved(a, p)) for p, a in pairs if a is not None}
        return [
            *self.optimizer._loading(inner),
            partial(setattr, self, "_slow", slow),
            partial(setattr, self, "_steps", steps),
        ]

    def __reduce__(self):
        """A copy has parameters of its own, and so other ids."""
        arrays = [(p, np.array(backend.of(a).to_host(a))) for p, a in self._slow.values()]
        return _copied, (self.optimizer, self.every, self.alpha, self._steps, arrays)


def _copied(optimizer, every, alpha, steps, arrays):
    new = Lookahead(optimizer, every=every, alpha=alpha)
    new._steps = steps
    new._slow = {id(p): (p, _moved(array, p)) for p, array in arrays}
    return new


def _own(p):
    """A copy of the values of a parameter, in float32 at least."""
    return backend.of(p._array).xp.array(wide(p._array))


def _beside(slow, p):
    """Slow weights in the dtype and on the device that the parameter has now."""
    array = p._array
    is_here = backend.of(slow) is backend.of(array) and slow.dtype == wide_dtype(array.dtype)
    return slow if is_here else _moved(backend.of(slow).to_host(slow), p)


def _moved(array, p):
    """An array of the host in the dtype and on the device for slow weights of `p`; a copy."""
    like = _own(p)
    like[...] = backend.of(like).from_host(np.asarray(array))
    return like
