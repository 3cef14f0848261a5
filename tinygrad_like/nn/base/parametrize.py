"""parametrize and unparametrize: a weight becomes a function of stored parameters, and back."""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tinygrad_like.engine import Tensor, commit, is_parameter, no_grad
from tinygrad_like.engine.errors import describe
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.computed import (
    Parametrization,
    Weights,
    computes,
    evaluated,
    first_stored,
    fit_class,
    stored_names,
)
from tinygrad_like.nn.base.holder import places_in
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.patterns import named

M = TypeVar("M", bound=Module)


def parametrize(module: M, name: str, parametrization: Parametrization) -> M:
    """Make weights of a module functions of stored parameters.

    From then on `layer.weight` is computed when it is read, and gradients flow through to what is
    stored. Make the optimizer after this: the weight itself is no parameter any more.

    Several on one weight are stacked: the last one is applied last, and its first stored value is
    what the others compute (at `weight.original.direction`, say).

    Args:
        module: the layer, or a model that holds it. Places in it that share a weight (ties) go on
            sharing it.
        name: the path of a parameter, `"weight"` or `"layers.0.weight"`, or a pattern as in
            `Module.parameters`, `"blocks.*.weight"`.
        parametrization: for each weight a copy of it is made, with parameters of its own.

    Returns:
        The module itself, changed.

    Raises:
        TypeError: if an argument has another type, or a place is one in a list or dict.
        ValueError: if the name fits no parameter, or the parametrization does not suit a weight.
            Nothing is changed then.

    Example:
        >>> import tinygrad_like as tg
        >>> from tinygrad_like import nn
        >>> model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 2))
        >>> model = nn.parametrize(model, "*.weight", nn.WeightNorm())
        >>> [path for path, _ in model.named_parameters()][:3]
        ['0.weight.direction', '0.weight.length', '0.bias']
        >>> model(tg.randn((5, 4))).sum().backward()
        >>> model[0].weight.shape, vars(model[0])["weight"].length.grad.shape
        ((4, 8), (1, 8))
        >>> nn.unparametrize(model, "2.weight")[2].weight.requires_grad
        True
    """
    _check_module("parametrize", module)
    if not isinstance(parametrization, Parametrization):
        raise TypeError(
            f"[parametrize] parametrization is {describe(parametrization)}, expected an instance "
            "of nn.Parametrization, such as nn.WeightNorm()"
        )
    if computes(parametrization):
        raise ValueError(
            f"[parametrize] this {type(parametrization).__name__} computes a weight already; make "
            "a new one"
        )
    found = [(path, place) for path, place in _places(module) if _is_weight(place.value)]
    changes: list[partial] = []
    for path, places in _by_weight(named("parametrize", name, found)):
        new = copy.deepcopy(parametrization)
        new.train(places[0].owner.training)
        changes += _started(new, path, places[0].value)
        # Ties outside the name go on as well, so all places of the weight are looked up.
        same = [place for _, place in found if place.value is places[0].value]
        changes += [change for place in same for change in place.filling(new)]
    commit(changes)
    return module


def unparametrize(module: M, name: str, keep: bool = True) -> M:
    """Make weights ordinary parameters again; all that is stacked on them is removed.

    Args:
        module: the layer, or a model that holds it.
        name: the path that `parametrize` was given, or a pattern, `"*"` for all.
        keep: whether the new parameter has the computed values (for LowRank these are the merged
            weights), as in evaluation. If not, it is what the first parametrization stores, such
            as LowRank's base.

    Returns:
        The module itself, changed. Parameters are trained if anything stored was. Make the
        optimizer anew.

    Raises:
        TypeError: if an argument has another type.
        ValueError: if the name fits no parametrized weight, or without `keep` if nothing is stored
            that has the shape of the weight. Nothing is changed then.

    >>> from tinygrad_like import nn
    >>> layer = nn.parametrize(nn.Dense(4, 3), "weight", nn.LowRank(2))
    >>> layer.num_parameters(), nn.unparametrize(layer, "weight").num_parameters()
    (29, 15)
    """
    _check_module("unparametrize", module)
    keep = arguments.flag("unparametrize", "keep", keep)
    found = [(path, place) for path, place in _places(module) if computes(place.value)]
    changes: list[partial] = []
    for path, places in _by_weight(named("unparametrize", name, found, "parametrized weight")):
        computing = places[0].value
        value = evaluated(computing)
        trained = _is_trained(computing)
        if keep:
            weight = Tensor(value, requires_grad=True)
        else:
            weight = _innermost(computing)
            if weight.shape != value.shape:
                raise ValueError(
                    f"[unparametrize] {path} {value.shape} is computed from {weight.shape}, which "
                    "cannot take its place; use keep=True"
                )
        changes.append(partial(weight.requires_grad_, trained))
        same = [place for _, place in found if place.value is computing]
        changes += [change for place in same for change in place.filling(weight)]
    commit(changes)
    return module


def _check_module(function: str, module: Any) -> None:
    if not isinstance(module, Module):
        raise TypeError(f"[{function}] module is {describe(module)}, expected a Module")


# The places of weights


class _Place(NamedTuple):
    """Where a weight is, or the Parametrization that computes it."""

    owner: Module  # whose forward reads it
    container: Any  # a dict, vars(owner) or Weights; None for others, which compute nothing
    key: str
    value: Any

    def filling(self, value: Any) -> list[partial]:
        """The changes that put a Parametrization, or a Tensor, there."""
        if self.container is None:
            raise TypeError(
                f"[parametrize] {self.key} of {type(self.owner).__name__} lies in a list or dict, "
                "where it cannot be computed; make it an attribute of a Module"
            )
        put = partial(dict.__setitem__, self.container, self.key, value)
        return [put, partial(fit_class, self.owner)]


def _places(module: Module) -> Iterator[tuple[str, _Place]]:
    """(path, place) of all that a module and those below it hold, but not of what is stored."""
    for path, owner, name, x in places_in(module):
        if isinstance(owner, Module) and not isinstance(owner, Parametrization):
            *containers, key = name.split(".")
            container: Any = vars(owner)
            for step in containers:
                container = container[int(step) if isinstance(container, (list, tuple)) else step]
            can_compute = not containers or isinstance(container, Weights)
            yield path, _Place(owner, container if can_compute else None, key, x)


def _is_weight(x: Any) -> bool:
    return computes(x) or (isinstance(x, Tensor) and is_parameter(x))


def _by_weight(found: list[tuple[str, _Place]]) -> list[tuple[str, list[_Place]]]:
    """The places of each weight, with the path of the first."""
    grouped: dict[int, tuple[str, list[_Place]]] = {}
    for path, place in found:
        grouped.setdefault(id(place.value), (path, []))[1].append(place)
    return list(grouped.values())


# The start


def _started(new: Parametrization, path: str, source: Any) -> list[partial]:
    """Let `new` compute the weight at a path; `source` is this weight, or what computes it now.

    Returns the changes that this makes to the weight itself.
    """
    below = source if isinstance(source, Parametrization) else None
    weight = source.detach() if below is None else evaluated(below)
    trained = source.requires_grad if below is None else _is_trained(below)
    _store(new, path, weight, below, trained)
    value = evaluated(new)
    if not isinstance(value, Tensor) or value.shape != weight.shape or value.dtype != weight.dtype:
        got = f"{describe(value)} of {getattr(value, 'dtype', 'no dtype')}"
        raise ValueError(
            f"[parametrize] {type(new).__name__}.forward returned {got} for {path}, expected "
            f"{weight.shape} of {weight.dtype}"
        )
    changes = []
    for name in stored_names(new):
        if vars(new)[name] is weight:  # then the weight itself goes on as a parameter
            vars(new)[name] = source
            changes.append(partial(source.requires_grad_, trained and name not in new.frozen))
        elif name in new.frozen and isinstance(vars(new)[name], Parametrization):
            changes.append(partial(vars(new)[name].freeze))
    return changes


def _store(
    new: Parametrization, path: str, weight: Tensor, below: Parametrization | None, trained: bool
) -> None:
    """Store in `new` what it computes `weight` from; `below` computes the first of it, if given."""
    names = stored_names(new)
    try:
        with no_grad():
            initial = new.initial(weight)
    except (TypeError, ValueError) as error:
        error.args = (f"{error} (for {path})",)
        raise
    stored = initial if isinstance(initial, tuple) else (initial,)
    if len(stored) != len(names) or not all(isinstance(x, Tensor) for x in stored):
        raise TypeError(
            f"[{type(new).__name__}] initial returned {', '.join(map(describe, stored))} for "
            f"{path}, expected Tensors for {', '.join(names)} of forward"
        )
    for name, x in zip(names, stored, strict=True):
        if below is not None and name == names[0]:
            vars(new)[name] = _computing(below, path, x, trained)
        elif x is weight and below is None:
            vars(new)[name] = x
        else:
            wanted = x.requires_grad if is_parameter(x) else trained
            parameter = x if is_parameter(x) else Tensor(x, requires_grad=True)
            vars(new)[name] = parameter.requires_grad_(wanted and name not in new.frozen)
    fit_class(new)


def _computing(below: Parametrization, path: str, wanted: Tensor, trained: bool) -> Parametrization:
    """`below`, if it computes the wanted value; otherwise a copy of it that starts there."""
    if np.array_equal(evaluated(below).numpy(), wanted.numpy()):
        return below
    again = copy.deepcopy(below)
    first = first_stored(below)
    _store(again, path, wanted, first if isinstance(first, Parametrization) else None, trained)
    return again


def _is_trained(computing: Parametrization) -> bool:
    return any(p.requires_grad for p in computing.parameters())


def _innermost(computing: Parametrization) -> Tensor:
    """The first value that the first of stacked Parametrizations stores."""
    x: Any = computing
    while isinstance(x, Parametrization):
        x = first_stored(x)
    return x
