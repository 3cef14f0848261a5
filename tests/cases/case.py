"""One row of the op tests, and the inputs that rows are made of.

    Case(tg.sum, N(2, 3), axis=0)

says: call `tg.sum(x, axis=0)` for a random x of shape (2, 3), and compare it with
`torch.sum(x, dim=0)`. test_cases.py runs every row through all its tests: values, gradients of
order 1 and 2, views, dtypes, empty inputs, raw arrays. The rows are in cases_*.py.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from oracle import F, torch

# What torch calls an attribute.
IN_TORCH = {"axis": "dim", "keepdims": "keepdim", "size": "kernel_size"}


class Case:
    """A call of an op or a compositional function, and what it should give.

    Args:
        function: of Tensors or raw arrays, then attributes by name.
        inputs: makers (N, P, ...). Floating ones are differentiated, the others are constants.
        torch: the oracle: a function of torch tensors, or a name in torch (nn.functional, linalg)
            that takes the same attributes; by default the name of `function`.
        numpy: the oracle where torch has none: a function of arrays, or a name in numpy.
        name: for the test's id, where `function` is a lambda.
        grad: False for outputs without gradient (booleans, indices).
        orders: how often it can be differentiated, where a rule refuses to go on.
        half: False where NumPy has no float16 (LAPACK): then a clear error is expected.
        statistics: whether there are outputs besides the first that are float32 for float16.
        error: the relative error of an op that rounds to fewer digits than its dtype has.
        empty: whether an empty batch works: the first axis cut to length 0, in all inputs that
            have its length. False: a clear error will do.
    """

    def __init__(
        self,
        function: Callable,
        *inputs: "Maker",
        torch: Callable | str | None = None,
        numpy: Callable | str | None = None,
        name: str | None = None,
        grad: bool = True,
        orders: int | None = None,
        half: bool = True,
        statistics: bool = False,
        empty: bool = True,
        error: float = 0.0,
        **attributes,
    ):
        self.function, self.inputs, self.attributes = function, inputs, attributes
        self.grad, self.half, self.statistics, self.empty = grad, half, statistics, empty
        self.error, self.orders = error, orders
        label = name or function.__name__.lstrip("_")
        if torch is None and numpy is None:
            torch = label
        self.label, self.torch, self.numpy = label, torch, numpy
        shapes = "-".join("x".join(map(str, x.shape)) or "0d" for x in inputs)
        given = "".join(f"-{k}={v}" for k, v in attributes.items() if not hasattr(v, "shape"))
        self.name = f"{label}-{shapes}{given}".replace(" ", "")

    def __repr__(self):
        return self.name

    def __call__(self, *inputs):
        """The outputs as a tuple, for Tensors or raw arrays."""
        return several(self.function(*inputs, **self.attributes))

    def arrays(self):
        """The inputs: always the same ones for the same row."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [x.make(rng) for x in self.inputs]

    def by_torch(self, *tensors):
        """The outputs that torch gives, a tuple."""
        if callable(self.torch):
            return several(self.torch(*tensors))
        places = (torch.linalg, torch, F)
        function = next(getattr(p, self.torch) for p in places if hasattr(p, self.torch))
        return several(
            function(*tensors, **{IN_TORCH.get(k, k): v for k, v in self.attributes.items()})
        )

    def by_numpy(self, *arrays):
        """The outputs that NumPy gives, a tuple."""
        if callable(self.numpy):
            return several(self.numpy(*arrays))
        return several(getattr(np, self.numpy)(*arrays, **self.attributes))


def several(out):
    """One output or many as a tuple."""
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


class Maker(NamedTuple):
    """How to make one input: its shape, and a function of a random generator and that shape."""

    shape: tuple[int, ...]
    draw: Callable
    tame: bool = False  # whether only these values will do (a matrix with an inverse)

    def make(self, rng):
        return np.ascontiguousarray(self.draw(rng, self.shape)).reshape(self.shape)


def N(*shape):
    """Any numbers (normally distributed)."""
    return Maker(shape, lambda rng, s: rng.standard_normal(s))


def Z(*shape):
    """Any complex numbers (both parts normally distributed)."""
    return Maker(shape, lambda rng, s: rng.standard_normal(s) + 1j * rng.standard_normal(s))


def ZSquare(*shape):
    """Complex square matrices (..., n, n) far from singular."""
    real, imaginary = Square(*shape), N(*shape)
    return Maker(shape, lambda rng, s: real.make(rng) + 0.3j * imaginary.make(rng), tame=True)


def P(*shape):
    """Positive numbers from 0.4 to 2."""
    return Maker(shape, lambda rng, s: rng.uniform(0.4, 2, s))


def U(*shape):
    """Numbers inside (-1, 1)."""
    return Maker(shape, lambda rng, s: rng.uniform(-0.9, 0.9, s))


def Apart(*shape, shift=0.0):
    """Numbers apart from each other by 0.13 and from 0 by 0.06, for kinks and ties.

    Those with a shift of 0.06 are apart from those without.
    """

    def draw(rng, s):
        n = int(np.prod(s))
        return 0.13 * (rng.permutation(n) - n // 2) + 0.065 - shift

    return Maker(shape, draw)


def Between(*shape):
    """Numbers away from integers and from halves by 0.1, for steps."""

    def draw(rng, s):
        fraction = rng.choice([0.1, 0.6], s) + rng.uniform(0, 0.3, s)
        return rng.integers(-3, 3, s) + fraction

    return Maker(shape, draw)


def Square(*shape):
    """Square matrices (..., n, n) far from singular."""

    def draw(rng, s):
        return rng.uniform(-0.5, 0.5, s) + np.eye(s[-1]) * rng.choice([-2, 2], s[:-1])[..., None]

    return Maker(shape, draw, tame=True)


def Spd(*shape):
    """Symmetric positive definite matrices (..., n, n)."""

    def draw(rng, s):
        root = rng.uniform(-0.5, 0.5, s)
        return root @ root.swapaxes(-1, -2) + np.eye(s[-1])

    return Maker(shape, draw, tame=True)


def Ints(high, *shape, low=0):
    """Integers in [low, high): a constant."""
    return Maker(shape, lambda rng, s: rng.integers(low, high, s), tame=True)


def Bools(*shape):
    """True and False at random: a constant."""
    return Maker(shape, lambda rng, s: rng.random(s) < 0.5, tame=True)


def Values(values):
    """These very numbers."""
    array = np.array(values)
    return Maker(array.shape, lambda rng, s: array.copy(), tame=True)
