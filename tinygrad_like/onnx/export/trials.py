"""Runs of a model on its example inputs, with other values, and at other sizes."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor, no_grad
from tinygrad_like.engine.modes import Switch
from tinygrad_like.generator import get_rng_state
from tinygrad_like.onnx.export.arguments import Arguments
from tinygrad_like.onnx.export.emit import Symbol
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.known import LOWERED, REFUSED
from tinygrad_like.onnx.export.record import Recorder, Run
from tinygrad_like.onnx.export.table import refuse_unknown

WANTED = 5  # sizes of each dynamic axis, that of the example included
FURTHER = 10  # more of them, if these do not tell how an integer follows them


class Trials:
    """All runs of a model.

    Args:
        arguments: the example.
        axes: {name of an input: {axis: dynamic axis}}.
        leaves: {path: Tensor}, the model's parameters and buffers.
    """

    def __init__(self, arguments: Arguments, axes: dict, leaves: dict[str, Tensor]):
        self.arguments, self.axes, self.leaves = arguments, axes, leaves
        self.names: list[str] = []  # of the outputs
        self.sizes: list[dict[str, int]] = []  # of the dynamic axes in each run
        self.runs: list[Run] = []
        self.inputs = dict(arguments.arrays)
        base = self._begin()
        self._vary(base)

    def symbols(self) -> list[Symbol]:
        """The dynamic axes with their lengths in all runs."""
        found = {}
        for place, name in enumerate(self.inputs):
            for axis, symbol in self.axes.get(name, {}).items():
                if symbol not in found:
                    values = tuple(sizes[symbol] for sizes in self.sizes)
                    found[symbol] = Symbol(symbol, values, place, axis)
        return list(found.values())

    def _example_sizes(self) -> dict[str, int]:
        """The lengths of the dynamic axes in the example, checked."""
        sizes: dict[str, int] = {}
        for name, axes in self.axes.items():
            for axis, symbol in axes.items():
                n = self.inputs[name].shape[axis]
                if sizes.setdefault(symbol, n) != n:
                    raise ValueError(
                        f"[onnx.export] the dynamic axis {symbol!r} is {sizes[symbol]} and {n} "
                        "long in the example inputs; give different axes different names"
                    )
                if not n:
                    raise ValueError(f"[onnx.export] axis {axis} of {name} is empty in the example")
        return sizes

    def _begin(self) -> dict[str, int]:
        """Run the example, then with other values. Returns the sizes of its dynamic axes.

        Those of length 1 are made longer first, as an axis of length 1 broadcasts.
        """
        before = get_rng_state()
        sizes = self._example_sizes()
        run = self._run(self.inputs)
        for symbol in [s for s, n in sizes.items() if n == 1]:
            for n in (2, 3, 4):
                longer = self._tried(self._sized({**sizes, symbol: n}))
                if isinstance(longer, Run):
                    run, sizes[symbol] = longer, n
                    break
        if get_rng_state() != before:
            raise ExportError(
                "[onnx.export] the model draws random numbers, which a graph would draw once and "
                "for all: give them to it as an input"
            )
        self.inputs = self._sized(sizes)
        self.runs = [run]
        with warnings.catch_warnings():  # log of a negative number
            warnings.simplefilter("ignore")
            self.runs += self._run_with_other_values()
        self.alike = len(self.runs)  # the first ones are of equal sizes
        self.sizes = [sizes] * self.alike
        return sizes

    def _run_with_other_values(self) -> list[Run]:
        """Runs with the values in another order, and, if the model takes them, with others."""
        for change in (_moved, _moved_back):
            run = self._tried({name: change(x) for name, x in self.inputs.items()})
            if isinstance(run, Run):
                break
        else:
            self._refuse(run)
        other = self._tried({name: _others(x) for name, x in self.inputs.items()})
        return [x for x in (run, other) if isinstance(x, Run)]

    def _tried(self, arrays: dict[str, np.ndarray]) -> "Run | Exception":
        """A run, or the error with which the model refuses the inputs."""
        try:
            return self._run(arrays)
        except ExportError:
            raise
        except Exception as fault:  # of any kind: the model's own code says what it takes
            return fault

    def _refuse(self, error: Any) -> None:
        for call in self.runs[0].calls:  # say, shuffled values that cholesky refuses
            refuse_unknown(call.op.name)
        raise ExportError(
            "[onnx.export] export runs the model a second time with the example's values shuffled, "
            "to find what depends on them, and the model refuses those; give an example whose "
            f"values may stand in any order. It says: {error}"
        )

    def _vary(self, base: dict[str, int]) -> None:
        """Run at other sizes of each dynamic axis, and at other sizes of all of them."""
        chosen: dict[str, list[int]] = {symbol: [] for symbol in base}
        for symbol, n in base.items():
            error: Any = None
            for m in _lengths_beside(n):
                if len(chosen[symbol]) == WANTED - 1:
                    break
                fault = self._add({**base, symbol: m})
                if fault is None:
                    chosen[symbol].append(m)
                else:
                    error = fault
            if len(chosen[symbol]) < 2:
                raise ExportError(
                    f"[onnx.export] the model does not run at other lengths of the dynamic axis "
                    f"{symbol!r} than {n}: {error}"
                )
        for shift in (0, 1) if len(base) > 1 else ():
            each = enumerate(chosen.items())
            sizes = {symbol: ms[i * shift % len(ms)] for i, (symbol, ms) in each}
            self._add(sizes)  # together they may be too long

    def look_further(self) -> None:
        """Run at more sizes of each dynamic axis, two of them far away."""
        base = self.sizes[0]
        for symbol, n in base.items():
            known, count = {sizes[symbol] for sizes in self.sizes}, 0
            for m in (5 * n + 2, 7 * n + 3, *_lengths_beside(n)):
                if count < FURTHER and m not in known:
                    count += self._add({**base, symbol: m}) is None

    def _add(self, sizes: dict[str, int]) -> "Exception | None":
        """One more run, at these sizes; or the error of the model, to which they do not fit."""
        run = self._tried(self._sized(sizes))
        if not isinstance(run, Run):
            return run
        self.runs.append(run)
        self.sizes.append(sizes)
        return None

    def _sized(self, sizes: dict[str, int]) -> dict[str, np.ndarray]:
        """The example with other lengths of its dynamic axes: it begins anew where it ends."""
        found = {}
        for name, x in self.inputs.items():
            for axis, symbol in self.axes.get(name, {}).items():
                places = np.arange(sizes[symbol]) % x.shape[axis]
                x = np.take(x, places, axis=axis)
            found[name] = x
        return found

    def _run(self, arrays: dict[str, np.ndarray]) -> Run:
        """One run on some inputs, recorded."""
        tensors = {name: Tensor(x) for name, x in arrays.items()}
        known = LOWERED.keys() | REFUSED.keys()
        recorder = Recorder([t._array for t in tensors.values()], self.leaves, known)
        with no_grad(), Switch("trace", recorder):
            outputs = self.arguments.call(tensors)
        recorder.check()
        if self.names and self.names != [*outputs]:
            raise ExportError("[onnx.export] the model returns other outputs at other sizes")
        self.names = [*outputs]
        if not self.names:
            raise ExportError("[onnx.export] the model returns no Tensor")
        ends = [recorder.place(y, f"output {name}") for name, y in outputs.items()]
        return Run(recorder.inputs, recorder.calls, ends)


def _lengths_beside(n: int) -> Iterator[int]:
    """Other lengths than n, to be tried in turn: near ones, below and above, and one far away."""
    first = [n + 1, 3 * n + 1, n - 1, n + 2, n + 3, n - 2, n - 3, n + 4, n - 4, n + 5]
    further = [2 * n, 3 * n, 4 * n, n // 2, *range(n + 6, n + 33)]
    seen = {n}
    for m in (*first, *further):
        if m > 1 and m not in seen:
            seen.add(m)
            yield m


def _moved(x: np.ndarray, shift: int = 1) -> np.ndarray:
    """The same numbers in another order; where all are equal, others."""
    moved = np.roll(x.reshape(-1), shift).reshape(x.shape)
    if not x.size or not np.array_equal(moved, x):
        return moved
    if x.dtype.kind == "b":
        return ~x
    if x.dtype.kind in "iu":
        return (x.astype(np.int64) + shift).astype(x.dtype)
    return (x * 0.75 + 0.125 * shift).astype(x.dtype)


def _moved_back(x: np.ndarray) -> np.ndarray:
    return _moved(x, -1)


def _others(x: np.ndarray) -> np.ndarray:
    """Floating numbers with another sign and size, integers and booleans in reverse."""
    return (
        x * np.asarray(-0.75, x.dtype)
        if x.dtype.kind == "f"
        else x.reshape(-1)[::-1].reshape(x.shape)
    )
