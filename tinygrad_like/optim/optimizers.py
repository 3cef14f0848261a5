"""Optimizers: what a step does to each parameter, given its gradient.

A step is one kernel call per parameter, in place, on flat arrays: one compiled kernel serves every
shape. What an optimizer remembers of a parameter (its running means) belongs to the parameter's
position, and is float32 for float16 parameters.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import wide_dtype
from tinygrad_like.engine.errors import describe
from tinygrad_like.optim.parameters import as_list, check_trainable, checked_number, checked_options


class Slot:
    """What an optimizer keeps beside one parameter: a count of steps, and flat arrays."""

    __slots__ = ("array", "be", "buffers", "dtype", "is_contiguous", "steps")
    array: Any  # the parameter's array when it was last met; None before the first step
    be: Any  # its backend
    dtype: Any  # of the buffers
    is_contiguous: bool  # whether its flat form is a view, so that kernels write into it

    def __init__(self, steps=0, buffers=None):
        self.array = None
        self.steps, self.buffers = steps, buffers or {}

    def meet(self, array):
        """Bring the buffers to the device and the dtype of the parameter's array, which is new."""
        be, dtype = backend.of(array), wide_dtype(array.dtype)
        if self.array is None or be is not self.be or dtype != self.dtype:
            for name, buffer in self.buffers.items():
                own = self.buffers[name] = be.k.optimizer_state(array, dtype)
                own[:] = be.from_host(backend.of(buffer).to_host(buffer))
        self.array, self.be, self.dtype = array, be, dtype
        self.is_contiguous = array.flags.c_contiguous

    def buffer(self, name):
        """The buffer of this name; zeros at first."""
        found = self.buffers.get(name)
        if found is None:
            found = self.buffers[name] = self.be.k.optimizer_state(self.array, self.dtype)
        return found


class Misfit(Exception):
    """Why a state does not fit an optimizer."""


class Optimizer(ABC):
    """Updates parameters by their gradients.

    Args:
        params: Tensors that require a gradient; or groups of them, dicts with "params" and
            settings of their own: `[{"params": [w], "weight_decay": 0.1}, {"params": [b]}]`.
        settings: those of the groups that do not set their own.

    The groups are in `param_groups`, as in PyTorch; their settings can be changed at any time.

    Raises:
        TypeError: for what is no iterable of Tensors, and for settings that are no numbers.
        ValueError: for no parameters, for one that is no leaf, requires no gradient or is given
            twice, and for settings out of range.
    """

    buffers: tuple[str, ...]  # the names of the arrays that are kept beside a parameter

    def __init__(self, params, **settings):
        owner = type(self).__name__
        listed = as_list(owner, params)
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        self.param_groups = []
        for group in groups:
            if not isinstance(group, dict) or "params" not in group:
                raise TypeError(
                    f"[{owner}] a group is {describe(group)}, expected a dict with 'params'"
                )
            own = {name: value for name, value in group.items() if name != "params"}
            options = checked_options(owner, {**settings, **own}, tuple(settings))
            self.param_groups.append({"params": as_list(owner, group["params"]), **options})
        params = [p for group in self.param_groups for p in group["params"]]
        check_trainable(owner, params)
        self._slots = [[Slot() for _ in group["params"]] for group in self.param_groups]

    @abstractmethod
    def _update(self, kernels, param, grad, slot, lr, group):
        """Change the flat array `param` in place."""

    def step(self):
        """Update every parameter that has a gradient."""
        for group, slots in zip(self.param_groups, self._slots, strict=True):
            lr = float(group["lr"])
            for p, slot in zip(group["params"], slots, strict=True):
                node = p.node
                if node is None or node.grad is None:
                    continue
                array, grad = p._data, node.grad._data
                if array is not slot.array:
                    slot.meet(array)
                if grad.dtype is not array.dtype:
                    grad = grad.astype(array.dtype, copy=False)
                slot.steps += 1
                p.version[0] += 1
                param = array.ravel()
                self._update(slot.be.k, param, grad.ravel(), slot, lr, group)
                if not slot.is_contiguous:
                    array[...] = param.reshape(array.shape)

    def zero_grad(self):
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @property
    def lr(self):
        """The learning rate of all groups. Assigning sets it; reading needs them to agree."""
        rates = [group["lr"] for group in self.param_groups]
        if any(rate != rates[0] for rate in rates):
            raise ValueError(
                f"[lr] the groups differ in their learning rates, {rates}; use "
                "param_groups[i]['lr']"
            )
        return rates[0]

    @lr.setter
    def lr(self, value):
        value = checked_number(type(self).__name__, "lr", value)
        for group in self.param_groups:
            group["lr"] = value

    def state_dict(self):
        """Settings, step counts and copies of all buffers, in dicts that `io.save` can write."""
        groups = []
        for group, slots in zip(self.param_groups, self._slots, strict=True):
            settings = {name: value for name, value in group.items() if name != "params"}
            params = [_slot_state(*pair) for pair in zip(group["params"], slots, strict=True)]
            groups.append({"settings": settings, "params": params})
        return {"optimizer": type(self).__name__, "groups": groups}

    def load_state_dict(self, state):
        """Go on exactly as the optimizer whose `state_dict` this is.

        Buffers are converted to the device and dtype that their parameter has now.

        Raises ValueError, and changes nothing, for the state of another class of optimizer, or for
        parameters of another number or other shapes.
        """
        owner, groups = type(self).__name__, self.param_groups
        try:
            if state["optimizer"] != owner:
                raise Misfit(f"it is of {state['optimizer']}, expected {owner}")
            counts, expected = ([len(g["params"]) for g in gs] for gs in (state["groups"], groups))
            if counts != expected:
                raise Misfit(f"its groups have {counts} parameters, expected {expected}")
            pairs = list(zip(groups, state["groups"], strict=True))
            settings = [self._loaded_settings(*pair) for pair in pairs]
            slots = [self._loaded_slots(*pair) for pair in pairs]
        except (Misfit, LookupError, TypeError, AttributeError) as error:
            why = error if isinstance(error, Misfit) else f"no optimizer made it ({error!r})"
            raise ValueError(
                f"[{owner}] the state does not fit: {why}; nothing was changed"
            ) from error
        for group, loaded in zip(groups, settings, strict=True):
            group.update(loaded)
        self._slots = slots

    def _loaded_settings(self, group, state):
        known = [name for name in group if name != "params"]
        if set(state["settings"]) != set(known):
            raise Misfit(f"it has settings {list(state['settings'])}, expected {known}")
        return checked_options(type(self).__name__, state["settings"], known)

    def _loaded_slots(self, group, state):
        slots = []
        for i, (p, saved) in enumerate(zip(group["params"], state["params"], strict=True)):
            buffers = {name: np.array(buffer) for name, buffer in saved["buffers"].items()}
            for shape in (tuple(saved["shape"]), *(b.shape for b in buffers.values())):
                if shape != p.shape:
                    raise Misfit(f"params[{i}] has shape {shape} in it, expected {p.shape}")
            if not buffers.keys() <= set(self.buffers):
                raise Misfit(f"params[{i}] has {list(buffers)} in it, expected {self.buffers}")
            flat = {name: buffer.ravel() for name, buffer in buffers.items()}
            slots.append(Slot(int(saved["steps"]), flat))
        return slots


def _slot_state(p, slot):
    buffers = {
        name: np.array(backend.of(flat).to_host(flat)).reshape(p.shape)
        for name, flat in slot.buffers.items()
    }
    return {"shape": list(p.shape), "steps": slot.steps, "buffers": buffers}


class SGD(Optimizer):
    """velocity = momentum velocity + g; param -= lr velocity. Without momentum, velocity = g.

    With `nesterov`, param -= lr (g + momentum velocity): Sutskever et al. 2013. Weight decay adds
    weight_decay param to the gradient g, here and in the others but AdamW.
    """

    buffers = ("velocity",)

    def __init__(self, params, lr, *, momentum=0, nesterov=False, weight_decay=0):
        super().__init__(
            params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        )

    def _update(self, kernels, param, grad, slot, lr, group):
        momentum = group["momentum"]
        velocity = slot.buffer("velocity") if momentum else None
        decay = group["weight_decay"]
        kernels.sgd_(param, grad, velocity, lr, momentum, group["nesterov"], decay)


class Adam(Optimizer):
    """param -= lr mhat / (sqrt(vhat) + eps), with bias-corrected running means of g and g^2.

    Source: Kingma and Ba 2015.
    """

    buffers = ("m", "v")

    def __init__(self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, kernels, param, grad, slot, lr, group):
        _adam(kernels, param, grad, slot, lr, group, False)


class AdamW(Optimizer):
    """Adam whose weight decay shrinks the parameter itself: param -= lr weight_decay param.

    Source: Loshchilov and Hutter 2019.
    """

    buffers = ("m", "v")

    def __init__(self, params, lr=1e-3, *, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, kernels, param, grad, slot, lr, group):
        _adam(kernels, param, grad, slot, lr, group, True)


def _adam(kernels, param, grad, slot, lr, group, decoupled):
    m, v = slot.buffer("m"), slot.buffer("v")
    beta1, beta2 = group["betas"]
    eps, decay = group["eps"], group["weight_decay"]
    kernels.adam_(param, grad, m, v, lr, beta1, beta2, eps, decay, decoupled, slot.steps)


class RMSprop(Optimizer):
    """v = alpha v + (1 - alpha) g^2; param -= lr g / (sqrt(v) + eps).

    With momentum, g / (sqrt(v) + eps) is accumulated as in SGD. Source: Hinton 2012, lecture 6.
    """

    buffers = ("v", "velocity")

    def __init__(self, params, lr=1e-2, *, alpha=0.99, eps=1e-8, momentum=0, weight_decay=0):
        super().__init__(
            params, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay
        )

    def _update(self, kernels, param, grad, slot, lr, group):
        momentum, alpha = group["momentum"], group["alpha"]
        velocity = slot.buffer("velocity") if momentum else None
        eps, decay = group["eps"], group["weight_decay"]
        kernels.rmsprop_(param, grad, slot.buffer("v"), velocity, lr, alpha, eps, momentum, decay)


class Adagrad(Optimizer):
    """s += g^2; param -= lr g / (sqrt(s) + eps). Source: Duchi, Hazan and Singer 2011."""

    buffers = ("s",)

    def __init__(self, params, lr=1e-2, *, eps=1e-10, weight_decay=0):
        super().__init__(params, lr=lr, eps=eps, weight_decay=weight_decay)

    def _update(self, kernels, param, grad, slot, lr, group):
        kernels.adagrad_(param, grad, slot.buffer("s"), lr, group["eps"], group["weight_decay"])
