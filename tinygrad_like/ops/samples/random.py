"""Random tensors and dropout, drawn from one counter-based stream (Philox).

`tg.seed(n)` sets the stream; the numbers are the same on every device.
"""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, INEXACT, holds, wide_dtype
from tinygrad_like.engine import (
    Batched,
    Tensor,
    backend_of,
    check_flag,
    check_integer,
    check_number,
    composed,
    drawing,
    mode,
    op,
    separate,
    wrap,
)
from tinygrad_like.generator import GENERATOR
from tinygrad_like.ops.arrays.create import FLOAT, made, ones_like, shape_of
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing.index import argsort


def _draw(kernel, name, shape, dtype, device, requires_grad):
    """A Tensor drawn by a kernel of `reference.random` from the next values of the counter."""
    shape, level = shape_of(name, *shape), mode.vmap
    if level is not None:
        drawn = _for_all(level, lambda *n: _draw(kernel, name, (*n, *shape), dtype, device, False))
        return made(drawn.data, requires_grad)
    be = backend.get(device)
    dtype = be.checked_dtype(name, dtype)
    if dtype.kind not in FLOATING:
        raise TypeError(f"[{name}] dtype is {dtype}, expected a floating one")
    n, drawn = math.prod(shape), wide_dtype(dtype) if dtype.kind == "V" else dtype
    seed, first = GENERATOR.reserve(be.k.blocks(be.k.words_used(kernel, n, drawn)))
    numbers = getattr(be.k, kernel)(seed, first, n, drawn, be.xp.empty(0))
    return made(numbers.reshape(shape).astype(dtype, copy=False), requires_grad)


def _for_all(level, draw):
    """What `draw(*lead)` draws for all examples of a vmap: `lead` is the length of their axis."""
    with level.outside():
        drawn = draw() if level.alike else draw(level.size)
    return wrap(Batched(drawn, level, mapped=not level.alike))


def rand(*shape, dtype=FLOAT, device=None, requires_grad=False):
    """Uniform random numbers in [0, 1): `rand((2, 3))` or `rand(2, 3)`."""
    return _draw("uniform", "rand", shape, dtype, device, requires_grad)


def randn(*shape, dtype=FLOAT, device=None, requires_grad=False):
    """Standard normal random numbers: `randn((2, 3))` or `randn(2, 3)`."""
    return _draw("normal", "randn", shape, dtype, device, requires_grad)


def randint(low, high, shape, *, dtype=np.int64, device=None):
    """Random integers in [low, high).

    Raises TypeError for bounds that are not integers; ValueError if no integer lies between them,
    or the dtype cannot hold all that do.
    """
    low, high = check_integer("randint", "low", low), check_integer("randint", "high", high)
    if high <= low:
        raise ValueError(f"[randint] high is {high}, expected more than low, {low}")
    level, shape = mode.vmap, shape_of("randint", shape)
    if level is not None:
        return _for_all(
            level, lambda *n: randint(low, high, (*n, *shape), dtype=dtype, device=device)
        )
    dtype = backend.get(device).checked_dtype("randint", dtype)
    least, most = (-(1 << 63), 1 << 64) if dtype.kind not in "iu" else _limits(dtype)
    holds_all = low >= least and high <= most and (low >= 0 or high <= 1 << 63)
    if not holds_all or not all(holds(dtype, n, exactly=False) for n in (low, high - 1)):
        raise ValueError(f"[randint] {low} to {high - 1} does not fit into {dtype}")
    numbers = _below(high - low, shape, device)
    numbers += np.uint64(low % (1 << 64))  # modulo 2^64, which two's complement undoes
    numbers = numbers if high > 1 << 63 else numbers.view(np.int64)
    return Tensor(numbers, dtype=dtype, device=device)


def _limits(dtype):
    info = np.iinfo(dtype)
    return info.min, info.max + 1


def _below(span, shape, device):
    """A raw array of uint64 in [0, span), all equally likely."""
    if span <= 1 << 53:
        uniform = rand(shape, dtype=np.float64, device=device).data
        return backend.get(device).xp.asarray(uniform * span // 1, np.uint64)
    numbers = np.full(shape, span - 1, np.uint64)  # drawn again until all are below span
    missing = np.ones(shape, bool)
    mask = np.uint64((1 << (span - 1).bit_length()) - 1)
    while count := np.count_nonzero(missing):
        halves = rand(2, count, dtype=np.float64, device="cpu").data * (1 << 32)
        high, low = halves.astype(np.uint64)
        numbers[missing] = (high << np.uint64(32) | low) & mask
        missing = numbers > np.uint64(span - 1)
    return backend.get(device).from_host(numbers)


@composed
def rand_like(x, *, dtype=None, requires_grad=False):
    """`rand` in the shape, dtype and device of the tensor `x`."""
    return rand(
        x.shape, dtype=dtype or x.dtype, device=backend_of(x).device, requires_grad=requires_grad
    )


@composed
def randn_like(x, *, dtype=None, requires_grad=False):
    """`randn` in the shape, dtype and device of the tensor `x`."""
    return randn(
        x.shape, dtype=dtype or x.dtype, device=backend_of(x).device, requires_grad=requires_grad
    )


def permutation(n):
    """The integers 0 to n - 1 in random order, as a tensor."""
    n = check_integer("permutation", "n", n, least=0)
    return argsort(rand(n, dtype=np.float64, device="cpu")).to(backend.get().device)


def multinomial(probabilities, num_samples, replacement=False):
    """Indices drawn from the distributions along the last axis, as PyTorch's.

    Args:
        probabilities: (..., n), floating, at least 0; they need not add up to 1.
        num_samples: how many are drawn from each distribution.
        replacement: whether an index may be drawn again. If not, each draw is from the indices
            that the draws before it left (Efraimidis and Spirakis 2006, "Weighted random sampling
            with a reservoir").

    Returns:
        (..., num_samples) int64, in the order of the draws.

    Raises:
        TypeError: for probabilities that are not floating.
        ValueError: for negative, infinite or NaN ones, for a distribution of zeros and, without
            replacement, for fewer positive probabilities than `num_samples`.

    >>> multinomial(Tensor([[0.0, 0.5, 0.0], [1.0, 0.0, 0.0]]), 1).data.ravel().tolist()
    [1, 0]
    """
    name = "multinomial"
    count = check_integer(name, "num_samples", num_samples, least=1)
    replacement = check_flag(name, "replacement", replacement)
    return _multinomial(probabilities, count, replacement, ())


def _multinomial(probabilities, count, replacement, alike):
    """`alike`: the leading axes, counted from the end, along which the same numbers are drawn."""
    name, level = "multinomial", mode.vmap
    if level is not None:
        given = level.lifted(probabilities)
        mapped = given.mapped or not level.alike
        if mapped and level.alike:
            alike = (*alike, -1 - given.ndim)
        with level.outside():
            inner = given.full() if mapped else given.inner
            drawn = _multinomial(inner, count, replacement, alike)
        return wrap(Batched(drawn, level, mapped))
    raw = probabilities.data if isinstance(probabilities, Tensor) else probabilities
    be = backend.of(raw)
    if be is None or raw.dtype.kind not in FLOATING:
        got = f"of {raw.dtype}" if be else f"a {type(raw).__name__}"
        raise TypeError(f"[{name}] probabilities are {got}, expected a floating Tensor or array")
    if raw.ndim == 0:
        raise ValueError(f"[{name}] probabilities are a number, expected at least one axis")
    p = be.to_host(raw).astype(np.float64)  # the draws are made on the host: few, and exact
    if p.size and not (p.min() >= 0 and np.isfinite(p.max())):
        raise ValueError(f"[{name}] probabilities contain negative, infinite or NaN ones")
    positive = np.count_nonzero(p, axis=-1).min(initial=p.shape[-1])
    wanted = 1 if replacement else count
    if positive < wanted:
        raise ValueError(
            f"[{name}] a distribution has {positive} positive probabilities, expected at least "
            f"{wanted}" + ("" if replacement else "; pass replacement=True to draw them again")
        )
    lead = tuple(1 if i - p.ndim in alike else n for i, n in enumerate(p.shape[:-1]))
    width = count if replacement else p.shape[-1]
    uniform = rand((*lead, width), dtype=np.float64, device="cpu").data
    uniform = np.broadcast_to(uniform, (*p.shape[:-1], width))
    drawn = _draw_again(p, uniform) if replacement else _draw_once(p, uniform)[..., :count]
    return Tensor(drawn, device=be.device)


def _draw_again(p, uniform):
    """(..., n) probabilities -> (..., count) indices, each from all, by inverting running sums."""
    rows, uniform = p.reshape(-1, p.shape[-1]), uniform.reshape(-1, uniform.shape[-1])
    drawn = np.empty(uniform.shape, np.int64)
    for row, u, out in zip(rows, uniform, drawn, strict=True):
        below = np.cumsum(row / row.max())
        out[:] = np.searchsorted(below, u * below[-1], side="right")
        np.minimum(out, np.flatnonzero(row)[-1], out=out)  # u * below[-1] may round up
    return drawn.reshape(*p.shape[:-1], uniform.shape[-1])


def _draw_once(p, uniform):
    """(..., n) probabilities -> all indices by rising waits, at rates p: the first are drawn."""
    with np.errstate(divide="ignore", invalid="ignore"):
        waits = np.log(-np.log1p(-uniform)) - np.log(p)  # as logarithms: a tiny p would overflow
    return np.argsort(waits, axis=-1, kind="stable")


def _drop_all(call, arrays, attributes):
    x, levels = arrays[0].full(), attributes["levels"]
    if call.draws(attributes):
        return call(call.separate(x, levels), **attributes)
    ones = call.separate(ones_like(x[0]), levels)
    factors = call(ones, **attributes)  # which all examples share
    return where(factors == 0, 0, x * factors)


def _dropout_rule(g, p, seed, offset, levels):
    return _dropout(g, p=p, seed=seed, offset=offset, levels=levels)


@op(batch=_drop_all, x=_dropout_rule)
def _dropout(be, x, *, p, seed, offset, levels=()):
    return be.k.dropout(x, p, seed, offset)


@composed
def dropout(x, p=0.5, *, training=True):
    """`x` with each element zeroed with probability `p`, the rest scaled by 1 / (1 - p).

    Outside training it is `x` itself. The mask is a function of the random stream's state; backward
    computes it again instead of storing it. Source: Srivastava et al. 2014, "Dropout".

    Raises TypeError for an x that is not floating.
    """
    p = check_number("dropout", "p", p, 0, 1, "a probability from 0 to 1")
    training = check_flag("dropout", "training", training)
    if x.dtype.kind not in (INEXACT if mode.steps else FLOATING):
        raise TypeError(f"[dropout] x has dtype {x.dtype}, expected a floating one")
    if not training or p == 0:
        return x
    if p == 1:  # a product with 0 would be NaN where x is infinite
        return where(False, x, 0)
    levels = drawing()
    x = separate(x, levels)
    be = backend.of(x.data if isinstance(x, Tensor) else x)
    count = math.prod(level.size for level in levels) * x.size
    seed, offset = GENERATOR.reserve(be.k.blocks(count))
    return _dropout(x, p=p, seed=seed, offset=offset, levels=levels)
