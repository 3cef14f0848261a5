"""The inputs and outputs of a model by name: Tensors in nested containers, and key-value caches."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor
from tinygrad_like.engine.errors import describe
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.attention import KeyValueCache

STATIC = (bool, int, float, str, type(None))


def by_name(model: Any, inputs: Any) -> dict[str, Any]:
    """The arguments of a call by the names of the parameters of the model's forward."""
    if isinstance(inputs, dict):
        return dict(inputs)
    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    function = model.forward if isinstance(model, Module) else model
    try:
        bound = inspect.signature(function).bind_partial(*given).arguments
    except (TypeError, ValueError) as error:
        raise TypeError(f"[onnx.export] inputs do not fit the model: {error}") from None
    named: dict[str, Any] = {}
    for name, value in bound.items():
        several = (
            inspect.signature(function).parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        )
        parts = {f"{name}_{i}": x for i, x in enumerate(value)} if several else {name: value}
        named |= parts
    return named


class Arguments:
    """Example arguments of a model: the arrays in them by name, and calls with others in place.

    `caches` are the names of the arguments that are key-value caches.
    """

    def __init__(self, model: Any, inputs: Any):
        self.model, self.as_keywords = model, isinstance(inputs, dict)
        self.values = by_name(model, inputs)
        self.paths = (
            {m: path for path, m in model.named_modules()} if isinstance(model, Module) else {}
        )
        self.arrays: dict[str, np.ndarray] = {}
        self.caches = [n for n, v in self.values.items() if isinstance(v, KeyValueCache)]
        self._map(lambda name, x: self.arrays.setdefault(name, _host(x)))

    def _map(self, change: Callable) -> dict[str, Any]:
        """The arguments with `change(name, x)` for each Tensor or array."""
        return {name: self._mapped(name, value, change) for name, value in self.values.items()}

    def _mapped(self, name: str, value: Any, change: Callable) -> Any:
        if isinstance(value, KeyValueCache):
            return KeyValueCache(
                {
                    layer: tuple(
                        change(f"{name}.{self._path(layer)}.{what}", x)
                        for what, x in zip(("key", "value"), pair, strict=True)
                    )
                    for layer, pair in value.seen.items()
                }  # type: ignore[misc]
            )
        if isinstance(value, Tensor) or backend.of(value) is not None:
            return change(name, value)
        if isinstance(value, (tuple, list)):
            parts = [self._mapped(f"{name}_{i}", x, change) for i, x in enumerate(value)]
            return parts if type(value) is list else tuple(parts)
        if isinstance(value, dict):
            return {k: self._mapped(f"{name}_{k}", x, change) for k, x in value.items()}
        if isinstance(value, STATIC):
            return value
        raise TypeError(
            f"[onnx.export] input {name} is {describe(value)}, expected Tensors or arrays in "
            "tuples, lists and dicts, a KeyValueCache, or numbers, which become constants"
        )

    def _path(self, layer: Module) -> str:
        if layer not in self.paths:
            raise ValueError("[onnx.export] a cache holds a layer that is not in the model")
        return self.paths[layer]

    def call(self, arrays: dict[str, Tensor]) -> dict[str, Any]:
        """The outputs of the model by name, and what is in its caches then."""
        arguments = self._map(lambda name, x: arrays[name])
        result = self.model(**arguments) if self.as_keywords else self.model(*arguments.values())
        outputs = dict(_named("output", result))
        for name in self.caches:
            for layer, pair in arguments[name].seen.items():
                for what, x in zip(("key", "value"), pair, strict=True):
                    outputs[f"present.{self._path(layer)}.{what}"] = x
        return outputs


def _host(x: Any) -> np.ndarray:
    return np.array(x.numpy() if isinstance(x, Tensor) else backend.of(x).to_host(x))


def _named(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(name, Tensor) of all Tensors in what a model returns."""
    if isinstance(value, Tensor) or backend.of(value) is not None:
        yield name, value
    elif isinstance(value, (tuple, list)):
        for i, x in enumerate(value):
            yield from _named(f"{name}_{i}", x)
    elif isinstance(value, dict):
        for k, x in value.items():
            yield from _named(str(k) if name == "output" else f"{name}_{k}", x)
    elif value is not None:
        raise TypeError(
            f"[onnx.export] the model returns {describe(value)} as {name}, expected Tensors in "
            "tuples, lists and dicts"
        )


def dynamic(axes: Any, arrays: dict[str, np.ndarray]) -> dict[str, dict[int, str]]:
    """{name of an input: {axis: name of the dynamic axis}}, checked.

    A name stands for all inputs below it (`cache` for all keys and values of a cache); a list of
    axes names them after the input.
    """
    found: dict[str, dict[int, str]] = {}
    if axes is not None and not isinstance(axes, dict):
        raise TypeError(
            f"[onnx.export] dynamic_axes is {describe(axes)}, expected a dict: "
            '{"x": {0: "batch"}}'
        )
    for name, given in (axes or {}).items():
        if not isinstance(given, (dict, list, tuple, set)):
            raise TypeError(
                f"[onnx.export] dynamic_axes of {name!r} is {describe(given)}, expected "
                '{0: "batch"}, or a list of axes'
            )
        inputs = [n for n in arrays if n == name or n.startswith((f"{name}.", f"{name}_"))]
        if not inputs:
            raise ValueError(
                f"[onnx.export] dynamic_axes names {name!r}, expected one of {list(arrays)}"
            )
        for n in inputs:
            named = given if isinstance(given, dict) else {a: f"{n}_{a}" for a in given}
            for axis, symbol in named.items():
                ndim = arrays[n].ndim
                if not isinstance(axis, int) or not -ndim <= axis < ndim:
                    raise ValueError(
                        f"[onnx.export] dynamic_axes names axis {axis!r} of {n}, which has the "
                        f"shape {arrays[n].shape}"
                    )
                if not isinstance(symbol, str) or not symbol:
                    raise TypeError(
                        f"[onnx.export] dynamic_axes names axis {axis} of {n} {symbol!r}, expected "
                        "a string"
                    )
                if found.setdefault(n, {}).setdefault(axis % ndim, symbol) != symbol:
                    raise ValueError(
                        f"[onnx.export] dynamic_axes names axis {axis % ndim} of {n} both "
                        f"{found[n][axis % ndim]!r} and {symbol!r}"
                    )
    return found
