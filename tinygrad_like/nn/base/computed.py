"""Weights that are computed from stored parameters: what nn.parametrize puts in their place.

In `vars(layer)`, where the weight was, there is a Parametrization, a Module with the stored
parameters. So they are found, saved, copied and moved like those of any Module, at paths such as
`0.weight.direction`. The layer gets a class derived from its own, in which the attribute `weight`
computes the weight; no other layer is touched. Within one forward of the layer the weight is
computed once, elsewhere each time that it is read.
"""

import copyreg
import inspect
import threading
from functools import lru_cache
from typing import Any

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, autocast, mode, no_grad
from tinygrad_like.nn.base.holder import held
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.undone import attributes_back


class Parametrization(Module):
    """A weight as a function of stored parameters. A subclass defines two methods:

    * `forward(self, first, ...)` returns the weight. Its arguments are the stored parameters, which
      are saved under the names that they have here.
    * `initial(self, weight)` returns what to store at first, a Tensor or a tuple of them in the
      order of forward's arguments, so that `forward` gives `weight`, or what is nearest to it.
      Attributes that it sets, such as buffers, belong to this weight.

    What `initial` returns becomes parameters that are trained if the weight was; a Tensor that
    requires a gradient is trained anyway, and those that the class names in `frozen` are not.

    >>> import tinygrad_like as tg
    >>> from tinygrad_like import nn
    >>> class Symmetric(nn.Parametrization):
    ...     def forward(self, half):
    ...         return half + half.T
    ...     def initial(self, weight):
    ...         return (weight + weight.T) / 4
    >>> layer = nn.parametrize(nn.Dense(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    >>> [path for path, _ in layer.named_parameters()]
    ['weight.half', 'bias']
    """

    frozen: tuple[str, ...] = ()

    def initial(self, weight: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What to store, so that `forward` of it is `weight`: every subclass defines it."""
        name = type(self).__name__
        raise TypeError(f"[{name}] has no initial: define `def initial(self, weight)` in {name}")


class Weights(dict):
    """A dict of a layer's parameters, {name: Tensor}; those that are computed are so when read."""

    def __getitem__(self, name: str) -> Any:
        held = dict.__getitem__(self, name)
        return value_of(held) if isinstance(held, Parametrization) else held

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Parametrization):
            raise _refused("Weights", name, self.get(name))
        dict.__setitem__(self, name, value)


# What is stored


def stored_names(parametrization: Any) -> tuple[str, ...]:
    """The names under which a Parametrization stores what its forward takes."""
    return _arguments_of_forward(plain_class(parametrization))


@lru_cache(256)
def _arguments_of_forward(cls: Any) -> tuple[str, ...]:
    parameters = list(inspect.signature(cls.forward).parameters.values())[1:]
    if not parameters or any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in parameters):
        raise TypeError(
            f"[{cls.__name__}] forward takes {', '.join(map(str, parameters)) or 'nothing'}, "
            "expected the stored parameters by name: def forward(self, direction, length)"
        )
    return tuple(p.name for p in parameters)


def first_stored(computing: Parametrization) -> Any:
    """The first of what is stored: a Tensor, or the Parametrization that computes it."""
    return vars(computing)[stored_names(computing)[0]]


def computes(x: Any) -> bool:
    """Whether x is a Parametrization that has been given something to store."""
    return isinstance(x, Parametrization) and stored_names(x)[0] in vars(x)


# The value


class _Forward(threading.local):
    """The weights that were computed in the innermost forward of a layer that has such."""

    values: dict | None = None


_forward = _Forward()


def value_of(computing: Parametrization) -> Tensor:
    """The weight; within one forward of a layer it is computed once for each mode."""
    values = _forward.values
    if values is None or not mode.running:
        return _computed(computing)
    # The serial of the outermost call tells what an interrupted forward may have left.
    key = computing, mode.running[0], mode.grad, mode.autocast
    if key not in values:
        values[key] = _computed(computing)
    return values[key]


def _computed(computing: Parametrization) -> Tensor:
    return computing.forward(*(getattr(computing, name) for name in stored_names(computing)))


def evaluated(computing: Parametrization) -> Tensor:
    """The weight as in evaluation, in full precision and not recorded."""
    with (
        Undoing(attributes_back(computing, "training")),
        no_grad(),
        autocast(enabled=False),
    ):
        return _computed(computing.eval())


# The class of a layer


class _Attribute:
    """An attribute that a Parametrization computes."""

    def __init__(self, name: str):
        self.name = name

    def __get__(self, module: Any, owner: Any = None) -> Any:
        return self if module is None else value_of(vars(module)[self.name])

    def __set__(self, module: Any, value: Any) -> None:
        raise _refused(type(module).__name__, self.name, vars(module)[self.name])

    def __delete__(self, module: Any) -> None:
        raise _refused(type(module).__name__, self.name, vars(module)[self.name])


def _refused(owner: str, name: str, computing: Any) -> TypeError:
    """The error of an assignment to what is computed."""
    stored = " and ".join(f"{name}.{each}" for each in stored_names(computing))
    return TypeError(
        f"[{owner}] {name} is computed by {type(computing).__name__} and cannot be assigned; "
        f'change {stored}, or first call nn.unparametrize(module, "{name}")'
    )


class _Computing:
    """What the class of a layer has beside its own class while weights of it are computed."""

    _plain_class: type
    _computed_names: tuple[str, ...]

    def __init_subclass__(cls) -> None:
        """Nothing: a hook of the layer's own class is not told of a class that is no other."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        around = _forward.values
        try:
            _forward.values = {}
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        finally:
            _forward.values = around

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._computed_names:
            raise _refused(type(self).__name__, name, vars(self)[name])
        super().__setattr__(name, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For copies and pickles, which find a class by its name: they are given the plain one."""
        reduced: Any = super().__reduce_ex__(max(2, int(protocol)))
        make, (_, *args), *rest = reduced
        if make is not copyreg.__newobj__:  # type: ignore[attr-defined]
            return reduced
        return _made, (self._plain_class, self._computed_names, *args), *rest


def _made(plain: type, names: tuple[str, ...], *args: Any) -> Any:
    cls: Any = _class_computing(plain, names)
    return cls.__new__(cls, *args)


@lru_cache(256)
def _class_computing(plain: Any, names: tuple[str, ...]) -> type:
    """A class like `plain`, by the same name, in which attributes of these names are computed."""
    members: dict[str, Any] = {name: _Attribute(name) for name in names}
    members |= {name: getattr(plain, name) for name in ("__module__", "__qualname__", "__doc__")}
    members |= {"_plain_class": plain, "_computed_names": names}
    return type(plain.__name__, (_Computing, plain), members)


def plain_class(module: Any) -> Any:
    """The class of a module as if nothing of it were computed."""
    return getattr(type(module), "_plain_class", type(module))


def fit_class(module: Module) -> None:
    """Give a module the class that computes what the Parametrizations in it stand for."""
    computing = [name for name, x in held(module) if computes(x)]
    cls = plain_class(module)
    if computing:
        cls = _class_computing(cls, tuple(name for name in computing if name in vars(module)))
    object.__setattr__(module, "__class__", cls)
