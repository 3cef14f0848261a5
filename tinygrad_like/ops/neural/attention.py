"""Attention over sequences, and rotary positions for its queries and keys.

A query that may look at no key (a fully masked row) gets zeros and gives zero gradients, never NaN.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    Tensor,
    astype,
    backend_of,
    broadcast_to,
    by_element,
    check_flag,
    check_integer,
    check_number,
    composed,
    drawing,
    in_half,
    op,
    separate,
    wrap,
)
from tinygrad_like.generator import GENERATOR
from tinygrad_like.ops.arrays.shape import expand_dims, of_one, reshape
from tinygrad_like.ops.elements.compare import logical_and
from tinygrad_like.ops.elements.elementwise import (
    abs,
    cos,
    multiply,
    negative,
    sin,
    subtract,
    where,
)
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.neural.softmax import softmax


def _masked(scores, mask, causal):
    """Scores (N, Hk, group, T, S), -inf where a mask (four axes) or causality hides the key."""
    be = backend_of(scores)
    _, key_heads, group, t, s = scores.shape
    if mask is not None:
        n, heads, *lengths = mask.shape
        split = (1, 1) if heads == 1 else (key_heads, group)
        mask = reshape(mask, (n, *split, *lengths))
        if mask.dtype.kind == "b":
            scores = where(mask, scores, -math.inf)
        else:
            scores = scores + astype(mask, dtype=scores.dtype)
    if causal:
        scores = where(be.xp.tri(t, s, s - t, dtype=bool), scores, -math.inf)
    return scores


def _weights(query, key, mask, causal, scale):
    """softmax(query key^T scale + mask): (N, Hk, group, T, S)."""
    n, heads, t, d = query.shape
    grouped = reshape(query, (n, key.shape[1], heads // key.shape[1], t, d))
    scores = matmul(grouped * scale, expand_dims(key.swapaxes(-1, -2), 2))
    return softmax(_masked(scores, mask, causal))


def _kept_weights_of_all(call, arrays, attributes):
    query, levels = arrays[0].full(), attributes["levels"]
    if call.draws(attributes):
        return call.unfolded(call(call.separate(call.folded(query), levels), **attributes))
    kept = call(call.separate(query[0], levels), **attributes)  # which all examples share
    return call.full(kept)


@op(batch=_kept_weights_of_all)
def _kept_weights(be, query, *, lengths, p, seed, offset, levels=()):
    """The factors by which dropout scales the weights (N, *lengths) of N queries."""
    like = be.xp.empty(0, query.dtype)
    return be.k.attention_dropout((len(query), *lengths), p, seed, offset, like)


def _attention(query, key, value, mask, causal, scale, p, seed, offset, levels):
    weights = _weights(query, key, mask, causal, scale)
    shape = (*query.shape[:3], key.shape[2])
    if p:
        drawn = {"p": p, "seed": seed, "offset": offset, "levels": levels}
        kept = _kept_weights(query, lengths=shape[1:], **drawn)
        weights = weights * reshape(kept, weights.shape)
    return reshape(matmul(weights, expand_dims(value, 2)), (*shape[:3], value.shape[3]))


def _attention_backward(
    g, be, query, key, value, out, sums, mask, causal, scale, p, seed, offset, levels, needs
):
    return be.k.attention_backward(
        g, query, key, value, out, sums, mask, causal, scale, p, seed, offset, needs
    )


def _attention_of_all(call, arrays, attributes):
    *projections, mask = arrays
    if attributes["p"] and not call.draws(attributes):
        return call.by_definition(arrays, attributes)
    mask = _mask_of_all(call, mask, projections[0].shape[0])
    out = call(*map(call.folded, projections), mask, **attributes)
    call.unfold_extra(axis=1)
    return call.unfolded(out)


def _mask_of_all(call, mask, n):
    """A mask (n, heads, T, S), whose axes may have length 1, for the batches of all examples."""
    if mask is None:
        return None
    if mask.shape[0] == 1 and not mask.mapped:
        return mask.inner
    return call.folded(broadcast_to(mask, shape=(n, *mask.shape[1:])))


def _attention_backward_of_all(call, g, be, query, key, value, out, sums, mask, *attributes):
    _, _, p, _, _, levels, needs = attributes
    if needs[3] or (p and call.level not in levels):
        return NotImplemented
    mask = _mask_of_all(call, mask, len(query))
    mask = mask if mask is None else mask._array
    g, query, key, value, out = map(call.raw_folded, (g, query, key, value, out))
    sums = call.raw_folded(sums, axis=1)
    grads = _attention_backward(g, call.raw(be), query, key, value, out, sums, mask, *attributes)
    return call.gradients(map(call.unfolded, grads))


@op(
    autocast=in_half,
    batch=_attention_of_all,
    batch_backward=_attention_backward_of_all,
    composite=_attention,
    backward=_attention_backward,
    saves=("sums",),
)
def _scaled_dot_product_attention(
    be, query, key, value, mask=None, *, causal, scale, p, seed, offset, levels=()
):
    out, sums = be.k.attention(query, key, value, mask, causal, scale, p, seed, offset)
    return out, (sums,)


@composed
def scaled_dot_product_attention(
    query,
    key,
    value,
    *,
    mask=None,
    causal=False,
    window=None,
    scale=None,
    dropout=0.0,
    training=True,
):
    """softmax(query key^T scale + mask) value for each head, never storing all scores.

    Args:
        query: (N, Hq, T, d), or without N, or without N and Hq.
        key, value: (N, Hk, S, d) and (N, Hk, S, dv), without the same axes. Hk divides Hq, and each
            key head serves Hq / Hk query heads (Ainslie et al. 2023, "GQA").
        mask: broadcasts to (N, Hq, T, S). Booleans: True where a query may look at a key. Floats
            are added to the scores, and have a gradient.
        causal: query i sees the keys up to i + S - T: the last query stands at the last key.
        window: the query sees only keys that are nearer than this, its own place included
            (Beltagy et al. 2020, "Longformer"): with `causal` the latest `window` keys.
        scale: by default 1 / sqrt(d).
        dropout: the probability with which a weight is zeroed, in training.

    Returns:
        (N, Hq, T, dv), without the axes that the query has not.

    Raises:
        ValueError: for shapes that do not fit, TypeError for dtypes that do not.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2; computed in blocks as
    in Dao et al. 2022, "FlashAttention".

    >>> import tinygrad_like as tg
    >>> query, key, value = tg.randn((1, 4, 5, 8)), tg.randn((1, 2, 7, 8)), tg.randn((1, 2, 7, 6))
    >>> tg.scaled_dot_product_attention(query, key, value, causal=True).shape
    (1, 4, 5, 6)
    """
    if query.ndim in (2, 3) and query.ndim == key.ndim == value.ndim:
        return of_one(
            scaled_dot_product_attention, query, expand_dims(key, 0), expand_dims(value, 0),
            mask=mask, causal=causal, window=window, scale=scale, dropout=dropout,
            training=training,
        )  # fmt: skip
    _check(query, key, value)
    expected = "a probability from 0 to 1"
    p = check_number("attention", "dropout", dropout, 0, 1, expected)
    if not check_flag("attention", "training", training):
        p = 0.0
    causal = check_flag("attention", "causal", causal)
    n, heads, t, d = query.shape
    s = key.shape[2]
    mask = None if mask is None else _four_axes(mask, (n, heads, t, s), query)
    mask, causal = _seen(mask, causal, window, query, s)
    scale, seed, offset, levels = _scale(scale, d), 0, 0, ()
    if p:
        levels = drawing()
        query = separate(query, levels)
        count = math.prod(level.size for level in levels) * n * heads * t
        seed, offset = GENERATOR.reserve(count * backend_of(query).k.blocks(s))
    return _scaled_dot_product_attention(
        query,
        key,
        value,
        mask,
        causal=causal,
        scale=scale,
        p=p,
        seed=seed,
        offset=offset,
        levels=levels,
    )


@composed
def attention_weights(query, key, *, mask=None, causal=False, window=None, scale=None):
    """softmax(query key^T scale + mask), (N, Hq, T, S), to look at: all of it is stored.

    Arguments are as in `scaled_dot_product_attention`. Rows that are fully masked are zeros.
    """
    _check(query, key, key)
    n, heads, t, d = query.shape
    shape = (n, heads, t, key.shape[2])
    mask = None if mask is None else _four_axes(mask, shape, query)
    causal = check_flag("attention", "causal", causal)
    mask, causal = _seen(mask, causal, window, query, shape[3])
    return reshape(_weights(query, key, mask, causal, _scale(scale, d)), shape)


def _seen(mask, causal, window, query, s):
    """(a mask of four axes, causal), where a window and causality have become a part of the mask.

    A window that hides nothing leaves both as they are.
    """
    t = query.shape[2]
    window = window if window is None else check_integer("attention", "window", window, 1)
    if window is None or window >= max(s, t):
        return mask, causal
    return hidden(mask, near(query, s, causal, window)), False


def near(query, s, causal, window=None):
    """Booleans (1, 1, T, S): where a query may look, if `causal`, or within a window."""
    xp, t = backend_of(query).xp, query.shape[-2]
    seen = xp.ones((t, s), dtype=bool) if not causal else xp.tri(t, s, s - t, dtype=bool)
    if window is not None:
        seen = seen & ~xp.tri(t, s, s - t - window, dtype=bool)
        if not causal:
            seen = seen & xp.tri(t, s, s - t + window - 1, dtype=bool)
    return seen[None, None]


def hidden(mask, seen):
    """A mask of four axes, or None, that hides as well what is False in `seen`."""
    if mask is None:
        return seen
    return logical_and(mask, seen) if mask.dtype.kind == "b" else where(seen, mask, -math.inf)


@composed
def alibi(query, key):
    """Linear biases for the scores of a query (N, H, T, d) and a key (N, Hk, S, d): (1, H, T, S).

    A float mask, -slope_h |i + S - T - j|: the last query stands at the last key. The slopes are
    2^(-8 / H), its square, and so on; where H is no power of 2, those of the next lower power, and
    between them those of twice as many heads.

    Source: Press et al. 2022, "Train short, test long".

    >>> import tinygrad_like as tg
    >>> query = tg.ones((1, 2, 3, 4))
    >>> tg.alibi(query, query).numpy()[0, 1]
    array([[ 0.        , -0.00390625, -0.0078125 ],
           [-0.00390625,  0.        , -0.00390625],
           [-0.0078125 , -0.00390625,  0.        ]], dtype=float32)
    """
    for name, x in (("query", query), ("key", key)):
        if x.ndim != 4 or x.dtype.kind not in INEXACT:
            raise ValueError(
                f"[alibi] {name} is {x.shape} of {x.dtype}, expected floats (N, heads, length, d)"
            )
    xp, t, s = backend_of(query).xp, query.shape[2], key.shape[2]
    places = xp.arange(s - t, s)[:, None]  # a part of what is recorded
    distance = abs(subtract(wrap(places) if isinstance(query, Tensor) else places, xp.arange(s)))
    slopes = xp.asarray(_slopes(query.shape[1]))[:, None, None]
    return astype(multiply(negative(distance), slopes), dtype=query.dtype)[None]


def _slopes(heads):
    """The slope of each head; where their number is no power of 2, see `alibi`."""
    power = 1 << max(heads.bit_length() - 1, 0)
    slopes = [2.0 ** (-8 * (i + 1) / power) for i in range(power)]
    between = [2.0 ** (-4 * (i + 1) / power) for i in range(2 * power)]
    return tuple((slopes + between[::2])[:heads])


def _scale(scale, d):
    """The factor of the scores of queries and keys with d features."""
    if scale is None:
        return 1 / math.sqrt(max(d, 1))
    return check_number("attention", "scale", scale)


def _check(query, key, value):
    """Raise ValueError or TypeError unless query, key and value fit together."""
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.ndim != 4:
            raise ValueError(f"[attention] {name} is {x.shape}, expected (N, heads, length, d)")
        if x.dtype.kind not in INEXACT:
            raise TypeError(f"[attention] {name} has dtype {x.dtype}, expected a floating one")
    problem = None
    if query.shape[0] != key.shape[0]:
        problem = f"query has a batch of {query.shape[0]}, key of {key.shape[0]}"
    elif key.shape[:3] != value.shape[:3]:
        problem = "key and value differ in batch, heads or length"
    elif query.shape[3] != key.shape[3]:
        problem = f"query has {query.shape[3]} features, key has {key.shape[3]}"
    elif key.shape[1] < 1 or query.shape[1] % key.shape[1]:
        problem = f"{key.shape[1]} key heads do not divide {query.shape[1]} query heads"
    if problem is not None:
        shapes = f"(query: {query.shape}, key: {key.shape}, value: {value.shape})"
        raise ValueError(f"[attention] {problem} {shapes}")


def _four_axes(mask, shape, query):
    """A mask with axes of length 1 in front, floats in the dtype of the query."""
    if not hasattr(mask, "dtype") or mask.dtype.kind not in "b" + INEXACT:
        got = f"dtype {mask.dtype}" if hasattr(mask, "dtype") else f"type {type(mask).__name__}"
        raise TypeError(
            f"[attention] mask has {got}, expected booleans (True: may look) or floats to add"
        )
    lengths = (1,) * (4 - mask.ndim) + tuple(mask.shape)
    if mask.ndim > 4 or any(m not in (1, n) for m, n in zip(lengths, shape, strict=True)):
        raise ValueError(
            f"[attention] mask is {mask.shape}, expected what broadcasts to (N, heads, T, S) = "
            f"{shape}; give a mask (N, T, S) an axis for the heads, mask[:, None]"
        )
    mask = reshape(mask, lengths)
    as_is = mask.dtype in (query.dtype, bool)
    return mask if as_is else astype(mask, dtype=query.dtype)


@op(batch=by_element, x=lambda g, cos, sin: _rotate(g, cos=cos, sin=-sin))
def _rotate(be, x, *, cos, sin):
    """Each pair (x[2i], x[2i + 1]) rotated by its own angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return be.xp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def angles(x, offset, base):
    """position * base^(-2i / d) for the positions of x (..., T, d), which begin at `offset`.

    float64 (T, ceil(d / 2)); a Tensor if x is one, so that positions are part of what is recorded.
    """
    xp, (length, d) = backend_of(x).xp, x.shape[-2:]
    rates = float(base) ** (-xp.arange(0, d, 2, dtype=np.float64) / max(d, 1))
    places = xp.arange(offset, offset + length, dtype=np.float64)[:, None]
    return multiply(wrap(places) if isinstance(x, Tensor) else places, rates)


@composed
def rotary(x, *, offset=0, base=10000.0):
    """`x` (..., T, d), each pair of features rotated by its position times base^(-2i / d).

    Pairs are (0, 1), (2, 3), ...; the first position is `offset`. The scores of queries and keys
    rotated this way depend on the distance of their positions alone.

    Raises ValueError if d is odd, `offset` negative or `base` not positive, TypeError for an x
    that is not floating.

    Source: Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding".
    """
    if x.ndim < 2 or x.shape[-1] % 2:
        raise ValueError(f"[rotary] x is {x.shape}, expected (..., T, d) with an even d")
    if x.dtype.kind not in INEXACT:
        raise TypeError(f"[rotary] x has dtype {x.dtype}, expected a floating one")
    offset = check_integer("rotary", "offset", offset, 0)
    least = np.finfo(np.float64).tiny
    base = check_number("rotary", "base", base, least, expected="a positive number")
    turns, dtype = angles(x, offset, base), np.empty(0, x.dtype).real.dtype
    return _rotate(x, cos=astype(cos(turns), dtype=dtype), sin=astype(sin(turns), dtype=dtype))
