"""Average: an exponential moving average of a model's weights and buffers."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, Undoing, narrow, wide
from tinygrad_like.engine import check_integer, check_number, commit
from tinygrad_like.optim.exchange import exchange, leaves, restoring


class _Averaged(NamedTuple):
    """The number of updates, and the averages by path: one attribute, so one assignment."""

    updates: int
    values: dict[str, Any]


class Average(Undoing):
    """average = decay average + (1 - decay) value, of every parameter and saved buffer.

        average = tg.optim.Average(model, decay=0.999)
        for x, labels in batches:
            ...
            optimizer.step()
            average.update()
        with average:                    # the model has the averages
            accuracy = evaluate(model)   # and here its own values again

    The first update copies the model. Buffers that hold integers are copied by every update;
    buffers that are not saved are left alone. Averages are in float32 at least.

    In the block the Tensors of the model hold copies of the averages: changes to them reach neither
    the averages nor the model's own values. At its end, also by an error, the model has its own
    values again, to the last bit. Modes are left alone: call `model.eval()`.

    Args:
        model: a Module. decay: from 0 to less than 1; about 1 / (1 - decay) steps count.

    Raises TypeError if `model` is not a Module; ValueError if the decay is out of range, if the
    block is entered before the first update or twice, and if the average is updated, saved or
    loaded inside the block.
    Source: Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging".
    """

    def __init__(self, model: Any, decay: float = 0.999):
        super().__init__()
        leaves(model)
        self.model = model
        self.decay = check_number("Average", "decay", decay, 0, below=1)
        self._averaged = _Averaged(0, {})
        self._entered: dict[str, bool] = {}

    @property
    def updates(self) -> int:
        """The number of updates so far."""
        return self._averaged.updates

    def update(self) -> None:
        """Take the model's values into the average; after an error, none of them is taken."""
        self._check_outside("update")
        updates, values = self._averaged
        self._averaged = _Averaged(
            updates + 1,
            {path: self._next(path, values, t) for path, t in leaves(self.model).items()},
        )

    def _next(self, path: str, values: dict[str, Any], tensor: Any) -> Any:
        array = tensor.data
        be = backend.of(array)
        if array.dtype.kind not in FLOATING or not values:
            return be.xp.array(wide(array))
        if path not in values:
            raise ValueError(f"[Average] the model has a new parameter or buffer {path!r}")
        average = values[path]
        if average.shape != array.shape:
            raise ValueError(
                f"[Average] {path} has shape {array.shape}, its average {average.shape}"
            )
        average = _beside(average, be)
        # With Python floats as factors the dtype is that of the arrays.
        return average * self.decay + wide(array) * (1 - self.decay)

    def __enter__(self) -> "Average":
        self._check_outside("with")
        updates, values = self._averaged
        if not updates:
            raise ValueError("[Average] nothing was averaged yet: call update() after a step")
        pairs = []
        for path, t in leaves(self.model).items():
            if path not in values:
                raise ValueError(f"[Average] there is no average of {path!r} yet: call update()")
            be = backend.of(t.data)
            pairs.append((t, be.xp.array(narrow(_beside(values[path], be), t.data.dtype))))
        self._at_end([*restoring(self.model), partial(self._entered.clear)])
        try:
            self._entered["entered"] = True
            exchange(pairs)
            return self
        except BaseException:
            self.close()
            raise

    def _check_outside(self, what: str) -> None:
        if self._entered:
            raise ValueError(f"[Average] the averages are in the model: no {what} in the block")

    def state_dict(self) -> dict[str, Any]:
        """The count of updates, the decay, and copies of the averages by path."""
        self._check_outside("state_dict")
        updates, values = self._averaged
        arrays = {path: np.array(backend.of(a).to_host(a)) for path, a in values.items()}
        return {"updates": updates, "decay": self.decay, "values": arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state. Raises ValueError, and changes nothing, if it does not fit."""
        commit(self._loading(state))

    def _loading(self, state: Any) -> list[partial]:
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        self._check_outside("load_state_dict")
        try:
            updates = check_integer("Average", "updates", state["updates"], 0)
            decay, values = state["decay"], {**state["values"]}
            shapes = {path: np.shape(array) for path, array in values.items()}
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"[Average] the state is none of an Average: {error!r}; nothing was changed"
            ) from error
        if decay != self.decay:
            raise ValueError(
                f"[Average] the state has a decay of {decay}, expected {self.decay}; nothing was "
                "changed"
            )
        own = leaves(self.model)
        expected = {path: t.shape for path, t in own.items()} if updates else {}
        if shapes != expected:
            paths = [p for p in shapes | expected if shapes.get(p) != expected.get(p)]
            raise ValueError(
                f"[Average] the state does not fit the model in {', '.join(paths)}; nothing was "
                "changed"
            )
        loaded = {}
        for path, array in values.items():
            loaded[path] = _beside(np.array(array), backend.of(own[path].data))
        return [partial(setattr, self, "_averaged", _Averaged(updates, loaded))]


def _beside(array: Any, be: Any) -> Any:
    """The array on the device of a backend."""
    home = backend.of(array)
    return array if home is be else be.from_host(home.to_host(array))
