"""What an optimizer keeps for each parameter: saved, loaded and copied. How gradients are set.

What is kept (running means, for instance) belongs to the Tensor, and is float32 for half types.
"""

from functools import partial
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import DeviceError, wide_dtype


class Slot:
    """What an optimizer keeps beside one parameter: a count of steps, and flat arrays.

    A slot fits the array that its parameter had when it was made; for another array there is
    another slot. Only `steps` is ever changed.
    """

    __slots__ = ("array", "be", "beside", "buffers", "k", "names", "param", "plan", "steps")
    array: Any  # the parameter's array that this fits; None before the first step
    be: Any  # its backend
    k: Any  # the kernels that the backend had then, see tg.use_kernels
    names: Any  # the buffers that its step needs
    beside: Any  # the arrays that the kernel takes beside the parameter, None for those not needed
    plan: Any  # (gradient, settings) -> the changes of a step; None if it has no flat view

    def __init__(self, param, steps=0, buffers=None):
        self.param, self.steps, self.buffers = param, steps, buffers or {}
        self.array = self.be = self.k = self.names = self.beside = self.plan = None

    def fitted(self, names, initial, shape):
        """A slot for the array that the parameter has now, for a step that needs buffers `names`.

        Buffers are moved to the device of the array and cast to its dtype, half types to float32.
        Missing ones start as zeros, or as the number in `initial`. They are flat, but for those to
        which `shape`, a function of their name and the parameter's shape, gives another one.
        """
        new = Slot(self.param, self.steps)
        new.names = names
        array = new.array = self.param._array
        be = new.be = backend.of(array)
        new.k = be.k
        dtype = wide_dtype(array.dtype)
        fits = self.array is not None and self.be is be
        for name in dict.fromkeys((*self.buffers, *names)):
            old = self.buffers.get(name)
            if old is not None and fits and old.dtype == dtype:
                new.buffers[name] = old
                continue
            is_flat = shape(name, array.shape) == array.shape
            own = new.buffers[name] = (
                be.k.optimizer_state(array, dtype)
                if is_flat
                else be.xp.zeros(shape(name, array.shape), dtype)
            )
            if old is not None:
                own[...] = be.from_host(backend.of(old).to_host(old))
            elif initial.get(name):
                own[...] = initial[name]
        return new

    def state(self):
        """Its part of a `state_dict`."""
        shape = self.param.shape
        buffers = {
            name: buffer.reshape(shape) if buffer.size == self.param.size else buffer
            for name, buffer in self._on_host().items()
        }
        return {"shape": list(shape), "steps": self.steps, "buffers": buffers}

    def _on_host(self):
        return {n: np.array(backend.of(b).to_host(b)) for n, b in self.buffers.items()}

    def __reduce__(self):
        """A copy fits no array: the copy of the parameter has its own."""
        return Slot, (self.param, self.steps, self._on_host())


def converted(owner, grad, param):
    """A raw gradient in the dtype of its parameter. Raises DeviceError for another device."""
    home, place = backend.of(param._array), backend.of(grad)
    if home is not place:
        raise DeviceError(
            f"[{owner}] a gradient of shape {grad.shape} is on {place.device}, its parameter on "
            f"{home.device}; move both with model.to({home.device!r}), or call zero_grad first"
        )
    return grad.astype(param.dtype, copy=False)


def set_gradients(pairs):
    """The changes, for `commit`, that give Tensors their new gradients: (Tensor, gradient)."""
    return [
        partial(setattr, node, "grad", grad)
        for p, grad in pairs
        for node in (p.node, getattr(p, "_frozen", None))
        if node is not None
    ]


class Misfit(Exception):
    """Why a state does not fit an optimizer."""


def loaded(optimizer, state):
    """The settings and the slots of all groups of an optimizer, from the state of another one.

    Raises ValueError with the reason if the state does not fit.
    """
    owner, groups = type(optimizer).__name__, optimizer.param_groups
    try:
        if state["optimizer"] != owner:
            raise Misfit(f"it is of {state['optimizer']}, expected {owner}")
        counts, expected = ([len(g["params"]) for g in gs] for gs in (state["groups"], groups))
        if counts != expected:
            raise Misfit(f"its groups have {counts} parameters, expected {expected}")
        pairs = list(zip(groups, state["groups"], strict=True))
        settings = [_loaded_settings(optimizer, *pair) for pair in pairs]
        slots = [_loaded_slots(optimizer, *pair) for pair in pairs]
    except (Misfit, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = error if isinstance(error, Misfit) else f"no optimizer made it ({error!r})"
        raise ValueError(f"[{owner}] the state does not fit: {why}; nothing was changed") from error
    return settings, slots


def _loaded_settings(optimizer, group, state):
    """The settings in the state of a group.

    One that is off in the group may be missing: the state is older than the setting.
    """
    known = {name: value for name, value in group.items() if name != "params"}
    found = {name: value for name, value in known.items() if not value} | state["settings"]
    if found.keys() != known.keys():
        raise Misfit(f"it has settings {list(state['settings'])}, expected {[*known]}")
    return optimizer._checked_settings(found)


def _loaded_slots(optimizer, group, state):
    # After its first step a parameter has these, with every option switched off.
    always = optimizer._kept(dict.fromkeys(optimizer._defaults, 0))
    names, slots = optimizer.buffers, []
    for i, (p, saved) in enumerate(zip(group["params"], state["params"], strict=True)):
        buffers = {name: np.array(buffer) for name, buffer in saved["buffers"].items()}
        if not buffers.keys() <= set(names):
            raise Misfit(f"params[{i}] has {list(buffers)} in it, expected {names}")
        shapes = {name: optimizer._shape(name, p.shape) for name in buffers}
        _check_shape(i, tuple(saved["shape"]), p.shape)
        for name, buffer in buffers.items():
            _check_shape(i, buffer.shape, shapes[name])
        for name, buffer in buffers.items():
            if buffer.dtype.kind not in "fV":
                raise Misfit(f"params[{i}] has {name} of dtype {buffer.dtype}, expected a real one")
        steps = saved["steps"]
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
            raise Misfit(f"params[{i}] has made {steps!r} steps, expected a count")
        lacking = [name for name in always if name not in buffers]
        if steps and lacking:
            raise Misfit(f"params[{i}] has made {steps} steps and lacks {', '.join(lacking)}")
        own = {n: b.ravel() if shapes[n] == p.shape else b for n, b in buffers.items()}
        slots.append(Slot(p, int(steps), own))
    return slots


def _check_shape(i, shape, expected):
    if shape != expected:
        raise Misfit(f"params[{i}] has shape {shape} in it, expected {expected}")
