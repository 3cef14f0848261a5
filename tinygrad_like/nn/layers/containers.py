"""Modules that hold modules by number: ModuleList and Sequential, both Python lists."""

from collections.abc import Iterable
from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base.module import Module


class _Layers(Module, list):
    """A list of Modules that is a Module: its paths are the indices. A slice has its class."""

    # As a module it equals only itself, and can be a dictionary key.
    __eq__, __ne__ = object.__eq__, object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __getitem__(self, index: Any) -> Any:
        found = list.__getitem__(self, index)
        return type(self)(found) if isinstance(index, slice) else found

    def __setitem__(self, index: Any, value: Any) -> None:
        several = isinstance(index, slice)
        checked = self._checked(value if several else [value])
        list.__setitem__(self, index, checked if several else checked[0])

    def append(self, layer: Module) -> None:
        list.extend(self, self._checked([layer]))

    def extend(self, layers: Iterable[Module]) -> None:
        list.extend(self, self._checked(layers))

    def insert(self, index: Any, layer: Module) -> None:
        list.insert(self, index, *self._checked([layer]))

    def __iadd__(self, layers: Iterable[Module]) -> Any:  # type: ignore[override, misc]
        self.extend(layers)
        return self

    def _checked(self, layers: Iterable[Module]) -> list[Module]:
        if not isinstance(layers, Iterable):
            raise TypeError(
                f"[{type(self).__name__}] got {layers!r}, expected an iterable of Modules"
            )
        layers = list(layers)
        for layer in layers:
            if not isinstance(layer, Module):
                raise TypeError(
                    f"[{type(self).__name__}] got {layer!r}, expected a Module, such as nn.ReLU()"
                )
        return layers


class ModuleList(_Layers):
    """A list of modules, for a `forward` that runs through them: all of `list`'s methods."""

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self.extend(modules)


class Sequential(_Layers):
    """y = layer_n(... layer_1(x)): given as several layers, or as one list of them.

    >>> from tinygrad_like import nn
    >>> model = nn.Sequential(nn.Dense(784, 64), nn.ReLU(), nn.Dense(64, 10))
    >>> len(model), model[0].weight.shape
    (3, (784, 64))
    """

    def __init__(self, *layers: Any):
        super().__init__()
        one_list = len(layers) == 1 and isinstance(layers[0], (list, tuple))
        self.extend(layers[0] if one_list and not isinstance(layers[0], Sequential) else layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x
