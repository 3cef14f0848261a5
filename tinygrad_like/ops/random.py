"""Random tensors and dropout, drawn from one counter-based stream (Philox).

`tg.seed(n)` sets the stream; the numbers are the same on every device.
"""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, wide_dtype
from tinygrad_like.engine import Tensor, composed, op
from tinygrad_like.ops.create import FLOAT, made, shape_of


def _draw(kernel, name, shape, dtype, device, requires_grad):
    """`shape` numbers of a kernel of `reference.random`, from the next counter values."""
    be = backend.get(device)
    shape, dtype = shape_of(name, *shape), be.checked_dtype(name, dtype)
    if dtype.kind not in FLOATING:
        raise TypeError(f"[{name}] dtype is {dtype}, expected a floating one")
    n, drawn = math.prod(shape), wide_dtype(dtype) if dtype.kind == "V" else dtype
    seed, first = backend.GENERATOR.reserve(be.k.blocks(be.k.words_used(kernel, n, drawn)))
    numbers = getattr(be.k, kernel)(seed, first, n, drawn, be.xp.empty(0))
    return made(numbers.reshape(shape).astype(dtype, copy=False), requires_grad)


def rand(*shape, dtype=FLOAT, device=None, requires_grad=False):
    """Uniform random numbers from 0 up to, without, 1: `rand((2, 3))` or `rand(2, 3)`."""
    return _draw("uniform", "rand", shape, dtype, device, requires_grad)


def randn(*shape, dtype=FLOAT, device=None, requires_grad=False):
    """Standard normal random numbers: `randn((2, 3))` or `randn(2, 3)`."""
    return _draw("normal", "randn", shape, dtype, device, requires_grad)


def randint(low, high, shape, *, dtype=np.int64, device=None):
    """Random integers from `low` up to, without, `high` (ValueError if there are none)."""
    if high <= low:
        raise ValueError(f"[randint] high is {high}, expected more than low, {low}")
    uniform = rand(shape, dtype=np.float64, device=device).data
    return Tensor(low + uniform * (high - low) // 1, dtype=dtype, device=device)


def rand_like(x, *, dtype=None, requires_grad=False):
    """`rand` in the shape, dtype and device of the tensor `x`."""
    return rand(x.shape, dtype=dtype or x.dtype, device=x.device, requires_grad=requires_grad)


def randn_like(x, *, dtype=None, requires_grad=False):
    """`randn` in the shape, dtype and device of the tensor `x`."""
    return randn(x.shape, dtype=dtype or x.dtype, device=x.device, requires_grad=requires_grad)


def permutation(n):
    """The integers 0 to n - 1 in random order, as a tensor."""
    return Tensor(np.argsort(rand(n, dtype=np.float64, device="cpu").numpy(), kind="stable"))


@op(x=lambda g, p, seed, offset: _dropout(g, p=p, seed=seed, offset=offset))
def _dropout(be, x, *, p, seed, offset):
    return be.k.dropout(x, p, seed, offset)


@composed
def dropout(x, p=0.5, *, training=True):
    """`x` with each element zeroed with probability `p`, the rest scaled by 1 / (1 - p).

    Source: Srivastava et al. 2014. Outside training `x` itself. The mask is a function of the
    random stream's state; backward computes it again instead of storing it.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"[dropout] p is {p}, expected a probability from 0 to 1")
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    be = backend.of(x.data if isinstance(x, Tensor) else x)
    seed, offset = backend.GENERATOR.reserve(be.k.blocks(x.size))
    return _dropout(x, p=p, seed=seed, offset=offset)
