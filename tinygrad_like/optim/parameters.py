"""Checks of parameters and of their settings, for optimizers and clipping."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor, check_flag, check_number, is_parameter
from tinygrad_like.engine.errors import describe

Checks = dict[str, Callable[[str, str, Any], Any]]  # by the name of a setting: see `CHECKS`

# Settings lie in [0, limit); those that are not here are finite and at least 0.
LIMITS = {"momentum": 1, "alpha": 1, "betas": 1, "rho": 1}


def as_list(owner, params):
    """An iterable of parameters as a list that is not empty."""
    is_module = hasattr(params, "parameters")
    if is_module or isinstance(params, (Tensor, dict)) or not hasattr(params, "__iter__"):
        fix = "; use its .parameters()" if is_module else ""
        if isinstance(params, Tensor):
            fix = "; put it in a list"
        raise TypeError(
            f"[{owner}] params is {describe(params)}, expected an iterable of Tensors{fix}"
        )
    listed = list(params)
    if not listed:
        raise ValueError(
            f"[{owner}] params is empty; a generator is empty once it has been walked through: "
            "make a list of it"
        )
    return listed


def check_tensors(owner, params):
    """Raise TypeError unless all are Tensors, ValueError if two are on the same memory."""
    first_at: dict[int, int] = {}
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"[{owner}] params[{i}] is {describe(p)}, expected a Tensor")
        # Tensors on the same memory share their version counter.
        first = first_at.setdefault(id(p.version), i)
        if first != i:
            same = "the same Tensor as" if p is params[first] else "on the same memory as"
            raise ValueError(
                f"[{owner}] params[{i}] {p.shape} is {same} params[{first}]; give a shared "
                "parameter once"
            )


def check_trainable(owner, params):
    """Raise unless all are floating leaves that require a gradient or are frozen, and differ."""
    check_tensors(owner, params)
    for i, p in enumerate(params):
        what = f"[{owner}] params[{i}] {p.shape}"
        if not p.is_leaf:
            raise ValueError(
                f"{what} was computed by {p.node.plan.op.name}, expected a leaf; make it "
                "Tensor(x, requires_grad=True)"
            )
        if not is_parameter(p):
            raise ValueError(f"{what} does not require a gradient; pass requires_grad=True to it")
        if p.dtype.kind not in FLOATING:
            raise TypeError(f"{what} has dtype {p.dtype}, expected a real floating one")


def check_names(owner, names, known):
    """Raise ValueError for a setting that the optimizer does not have."""
    for name in names:
        if name not in known:
            raise ValueError(f"[{owner}] unknown setting {name!r}, expected {', '.join(known)}")


def checked_setting(owner, name, value, checks):
    """A setting as a plain Python value, within its range."""
    return checks.get(name, checked_number)(owner, name, value)


def checked_number(owner, name, value):
    """A setting as a Python float (a NumPy one would promote float32 arrays to float64)."""
    if hasattr(value, "shape") and not isinstance(value, np.generic):
        raise TypeError(f"[{owner}] {name} is {describe(value)}, expected a number; use .item()")
    return check_number(owner, name, value, 0, below=LIMITS.get(name))


def several(count):
    """A check of a setting that is `count` numbers, each within the limits of its name."""

    def checked(owner, name, value):
        if not isinstance(value, (tuple, list)) or len(value) != count:
            words = {2: "two", 3: "three"}[count]
            raise ValueError(f"[{owner}] {name} is {value!r}, expected {words} numbers")
        return tuple(checked_number(owner, name, each) for each in value)

    return checked


FLAGS = "nesterov", "amsgrad", "maximize", "centered", "decoupled_weight_decay"
# How a setting is checked that is not one number of at least 0.
CHECKS: Checks = {**dict.fromkeys(FLAGS, check_flag), "betas": several(2)}


def decay_groups(model, weight_decay):
    """Groups for an optimizer: matrices decay; biases and the scales of norms do not.

    A model without one or the other makes one group.

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Dense(2, 3)
    >>> optimizer = tg.optim.AdamW(decay_groups(model, 0.1), 1e-3)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.1, 0.0]
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = (matrices, weight_decay), (others, 0.0)
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def pattern_groups(model, settings, **rest):
    """Groups for an optimizer, by patterns of paths: each parameter is in exactly one group.

    Args:
        model: a Module.
        settings: {pattern: the settings of its group}. A parameter belongs to the first pattern
            that names it; patterns are those of `Module.parameters`. A tied weight counts once,
            and any of its paths will do.
        rest: the settings of the last group, of all other parameters; it is left out if there are
            none.

    Returns:
        A list of dicts with "params" and the settings, in the order of the patterns.

    Raises:
        TypeError: if `model` is not a Module, or `settings` is not a dict of dicts.
        ValueError: if a pattern names no parameter, or only such as earlier patterns name.

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Sequential(tg.nn.Dense(2, 3), tg.nn.Dense(3, 1))
    >>> groups = pattern_groups(model, {"*.bias": {"weight_decay": 0.0}, "0": {"lr": 1e-4}})
    >>> optimizer = tg.optim.AdamW(groups, lr=1e-3)
    >>> [(len(g["params"]), g["lr"], g["weight_decay"]) for g in optimizer.param_groups]
    [(2, 0.001, 0.0), (1, 0.0001, 0.01), (1, 0.001, 0.01)]
    """
    if not hasattr(model, "named_parameters"):
        raise TypeError(f"[pattern_groups] model is {describe(model)}, expected a Module")
    is_table = isinstance(settings, dict)
    wrong = settings if not is_table else [s for s in settings.values() if not isinstance(s, dict)]
    if not is_table or wrong:
        raise TypeError(
            f"[pattern_groups] settings is {describe(settings)}"
            f"{f' with the value {wrong[0]!r}' if is_table else ''}, expected "
            '{pattern: dict of settings}, such as {"*.bias": {"weight_decay": 0.0}}'
        )
    left = {id(p): p for p in model.parameters()}
    groups = []
    for pattern, own in settings.items():
        named = model._named_by("pattern_groups", (pattern,))
        params = [left.pop(id(p)) for p in named if id(p) in left]
        if not params:
            raise ValueError(
                f"[pattern_groups] all that {pattern!r} names belongs to patterns before it: put "
                "it before them, or leave it out"
            )
        groups.append({"params": params, **own})
    return [*groups, {"params": [*left.values()], **rest}] if left else groups
