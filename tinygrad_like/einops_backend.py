"""einops on Tensors: `einops.rearrange(t, "b c h w -> b (c h w)")` and its like, with gradients.

For an array of a type that it does not know, einops asks the subclasses of its `AbstractBackend`.
Ours exists as soon as both libraries are imported, in whichever order: `join` makes it at once, or
leaves a finder in `sys.meta_path` that waits for einops and then goes.
"""

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import Tensor, broadcast_to
from tinygrad_like.ops.arrays.create import arange
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims, stack
from tinygrad_like.ops.matrices.linalg import einsum

BACKENDS = "einops._backends"  # the module of einops that has them


def join() -> None:
    """Make Tensors known to einops, now or when it is imported."""
    if BACKENDS in sys.modules:
        _make(sys.modules[BACKENDS])
    else:
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """A finder that finds nothing itself, but sees when einops is imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of einops's module, to which `_make` is added; None for all others."""
        if name != BACKENDS:
            return None
        sys.meta_path.remove(self)
        spec: Any = find_spec(name)  # by the other finders
        if spec is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _make(module)

            spec.loader.exec_module = exec_module
        return spec


def _make(backends: Any) -> None:
    """Define the backend in einops's module, where it looks for subclasses."""

    class TinygradLikeBackend(backends.AbstractBackend):
        """The operations of which einops's functions are made."""

        framework_name = __name__.partition(".")[0]

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, Tensor)

        def from_numpy(self, x: np.ndarray) -> Tensor:
            return Tensor(x)

        def to_numpy(self, x: Tensor) -> np.ndarray:
            return x.numpy()

        def arange(self, start: int, stop: int) -> Tensor:
            return arange(start, stop)

        def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
            return stack(tensors)

        def add_axis(self, x: Tensor, new_position: int) -> Tensor:
            return expand_dims(x, new_position)

        def add_axes(self, x: Tensor, n_axes: int, pos2len: dict[int, int]) -> Tensor:
            """`x` repeated along new axes, without a copy."""
            for place in pos2len:
                x = expand_dims(x, place)
            lengths = (pos2len.get(i, n) for i, n in enumerate(x.shape))
            return broadcast_to(x, shape=tuple(lengths))

        def tile(self, x: Tensor, repeats: tuple[int, ...]) -> Tensor:
            return x.tile(repeats)

        def concat(self, tensors: list[Tensor], axis: int) -> Tensor:
            return concatenate(tensors, axis)

        def is_float_type(self, x: Tensor) -> bool:
            return x.dtype.kind in INEXACT

        def einsum(self, pattern: str, *x: Tensor) -> Tensor:
            return einsum(pattern, *x)

    backends.TinygradLikeBackend = TinygradLikeBackend  # subclasses that nobody holds are freed
