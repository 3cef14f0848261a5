"""Attention layers over sequences (N, T, D) or one of them, and the key-value cache.

A `mask` says where a query may look: booleans, True = may look (in torch's MultiheadAttention
True means the opposite), or floats that are added to the scores. A `key_padding_mask` (N, S) says
which keys of each sequence are padding, at which no query may look: True = padding, as in torch.
A query that may look nowhere has an attention of zero, and gets no gradient from it.
"""

from typing import Any

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import Tensor, astype, broadcast_to, errors
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.ops.arrays.create import zeros_like
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims, moveaxis, reshape, squeeze
from tinygrad_like.ops.elements.compare import logical_and, logical_not
from tinygrad_like.ops.elements.elementwise import tanh, where
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.neural.attention import (
    alibi,
    attention_weights,
    hidden,
    near,
    rotary,
    scaled_dot_product_attention,
)
from tinygrad_like.ops.neural.softmax import softmax


class KeyValueCache:
    """The keys and values of all positions so far, for every attention layer that it is given to.

    One cache serves a whole model: pass it to each step of a generation, with the new positions
    only, and the outputs are those of the full pass. Start a new text with a new cache.

    >>> import tinygrad_like as tg
    >>> from tinygrad_like import nn
    >>> layer, cache = nn.MultiHeadAttention(8, 2), nn.KeyValueCache()
    >>> for x in (tg.randn((1, 3, 8)), tg.randn((1, 1, 8))):
    ...     y = layer(x, causal=True, cache=cache)
    >>> y.shape, cache.length
    ((1, 1, 8), 4)
    """

    def __init__(self, seen: dict[Module, tuple[Tensor, Tensor]] | None = None) -> None:
        self._seen: dict[Module, tuple[Tensor, Tensor]] = dict(seen or {})

    @property
    def seen(self) -> dict[Module, tuple[Tensor, Tensor]]:
        """{attention layer: its keys and values (N, heads, T, d)}; `KeyValueCache(seen)` has them.

        The Tensors are those of the cache, the dictionary is a copy.
        """
        return dict(self._seen)

    @property
    def length(self) -> int:
        """The number of positions seen, which is the position of the next one."""
        return max((key.shape[2] for key, _ in self._seen.values()), default=0)

    def length_of(self, layer: Module) -> int:
        """The number of positions that a layer has seen: within a step, layers differ in it."""
        return self._seen[layer][0].shape[2] if layer in self._seen else 0

    def rows(self, places: Any) -> "KeyValueCache":
        """A new cache with these sequences of the batch, (M,) integers, which may repeat.

        >>> import tinygrad_like as tg
        >>> layer, cache = tg.nn.MultiHeadAttention(8, 2), tg.nn.KeyValueCache()
        >>> y = layer(tg.randn((2, 3, 8)), cache=cache)
        >>> layer(tg.randn((3, 1, 8)), cache=cache.rows([0, 1, 1])).shape
        (3, 1, 8)
        """
        return KeyValueCache(
            {layer: (k[places], v[places]) for layer, (k, v) in self._seen.items()}
        )

    def extend(self, layer: Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append (N, heads, T, d) to what a layer has seen; returns all of it."""
        if not isinstance(layer, Module):
            raise TypeError(
                f"[KeyValueCache] layer is a {type(layer).__name__}, expected the attention layer "
                "that the keys belong to"
            )
        if key.ndim != 4 or key.shape[:3] != value.shape[:3]:
            raise ValueError(
                f"[KeyValueCache] key is {key.shape}, value is {value.shape}, expected "
                "(N, heads, T, d) of the same N, heads and T"
            )
        if layer in self._seen:
            before, values = self._seen[layer]
            if before.shape[:2] != key.shape[:2]:
                raise ValueError(
                    f"[KeyValueCache] holds a batch of {before.shape[0]}, got one of "
                    f"{key.shape[0]}; start with a new cache"
                )
            key, value = concatenate([before, key], 2), concatenate([values, value], 2)
        self._seen[layer] = key, value
        return key, value


class MultiHeadAttention(Module):
    """y = concat_h(softmax(q_h k_h^T / sqrt(d) + mask) v_h) W_o: (N, T, d_model) -> same.

    q, k and v are affine maps of query, key and value (self attention without a key: key and
    value are the query; the value is by default the key), cut into `num_heads` of width
    d = d_model / num_heads.

    Args:
        num_kv_heads: fewer heads for k and v, which groups of query heads share.
        kdim, vdim: the width of key and of value, by default d_model.
        dropout: of the softmax.
        bias: whether the affine maps have one.
        rotary: whether q and k are turned by their positions, at rates `rotary_base`^(-2i / d).
        alibi: whether the scores fall with the distance, see `tg.alibi`.
        window: the keys that a query sees are nearer than this; with `causal` the latest `window`.
        add_bias_kv: whether one more key and value, which are parameters, follow all others.
        add_zero_attn: whether one more key and value of zeros do. Every query sees these two.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.2.2.

    >>> import tinygrad_like as tg
    >>> layer = tg.nn.MultiHeadAttention(8, 4, num_kv_heads=2, rotary=True, window=3)
    >>> layer(tg.ones((2, 5, 8)), causal=True).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        num_kv_heads: int | None = None,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        rotary: bool = False,
        rotary_base: float = 10000.0,
        alibi: bool = False,
        window: int | None = None,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
    ):
        name = "MultiHeadAttention"
        self.d_model = arguments.integer(name, "d_model", d_model)
        self.num_heads = arguments.integer(name, "num_heads", num_heads)
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        self.num_kv_heads = arguments.integer(name, "num_kv_heads", kv_heads)
        self.dropout = arguments.number(name, "dropout", dropout, 0, 1)
        self.rotary = arguments.flag(name, "rotary", rotary)
        self.rotary_base = arguments.number(name, "rotary_base", rotary_base, 1)
        self.alibi = arguments.flag(name, "alibi", alibi)
        self.window = None if window is None else arguments.integer(name, "window", window)
        self.add_zero_attn = arguments.flag(name, "add_zero_attn", add_zero_attn)
        arguments.divides(name, "num_heads", self.num_heads, d_model=self.d_model)
        arguments.divides(name, "num_kv_heads", self.num_kv_heads, num_heads=self.num_heads)
        d_head = self.d_model // self.num_heads
        if self.rotary and d_head % 2:
            raise ValueError(f"[{name}] rotary needs heads of even width, got {d_head}")
        bias = arguments.flag(name, "bias", bias)
        width = self.num_kv_heads * d_head
        self.query = Dense(self.d_model, self.d_model, bias)
        self.key = Dense(self.d_model if kdim is None else kdim, width, bias)
        self.value = Dense(self.d_model if vdim is None else vdim, width, bias)
        self.out = Dense(self.d_model, self.d_model, bias)
        has_bias = arguments.flag(name, "add_bias_kv", add_bias_kv)
        self.bias_key = init.xavier_normal((1, 1, width)) if has_bias else None
        self.bias_value = init.xavier_normal((1, 1, width)) if has_bias else None

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Any = None,
        key_padding_mask: Any = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
        return_weights: bool = False,
    ) -> Any:
        """Attend.

        Args:
            query: (N, T, d_model), or one sequence (T, d_model): then nothing has an axis N.
            key, value: (N, S, kdim) and (N, S, vdim), for cross attention.
            mask: (T, S), or four axes that broadcast to (N, num_heads, T, S). With a cache S
                counts all positions.
            key_padding_mask: booleans (N, S), True where a key is padding.
            causal: each position looks at itself and those before it.
            cache: the positions before those of the query, which join it (self attention only).
            return_weights: return (y, weights), weights (N, num_heads, T, S) without dropout.

        Raises:
            ValueError: for shapes that do not fit.

        Warns:
            UserWarning: if a mask (T, S) is given and N is T, as a padding mask (N, S) could be
                meant; `mask[None, None]` says that it is not.
        """
        arguments.flag("MultiHeadAttention", "return_weights", return_weights)
        if getattr(query, "ndim", 3) == 2:
            given = (x if x is None or x is query else expand_dims(x, 0) for x in (key, value))
            batch = expand_dims(query, 0)
            key, value = (batch if x is query else x for x in given)
            if key_padding_mask is not None:
                key_padding_mask = expand_dims(key_padding_mask, 0)
            found = self.forward(
                batch, key, value, mask=mask, key_padding_mask=key_padding_mask, causal=causal,
                cache=cache, return_weights=return_weights,
            )  # fmt: skip
            return tuple(squeeze(y, 0) for y in found) if return_weights else squeeze(found, 0)
        crossing = not (key is None or key is query) or not (value is None or value is query)
        self._check(query, key, value, mask, crossing, cache)
        key = query if key is None else key
        value = key if value is None else value
        q = self._heads(self.query(query), self.num_heads)
        k = self._heads(self.key(key), self.num_kv_heads)
        v = self._heads(self.value(value), self.num_kv_heads)
        if self.rotary:
            offset = cache.length_of(self) if cache is not None else 0
            q, k = (rotary(x, offset=offset, base=self.rotary_base) for x in (q, k))
        if cache is not None:
            k, v = cache.extend(self, k, v)
        if key_padding_mask is not None:
            mask = _without_padding(mask, key_padding_mask, (k.shape[0], k.shape[2]))
        if self.alibi:
            mask = _with_biases(mask, alibi(q, k))
        seen: dict[str, Any] = {"mask": mask, "causal": causal, "window": self.window}
        if self.bias_key is not None or self.add_zero_attn:
            k, v, seen = self._extended(q, k, v, seen)
        heads = scaled_dot_product_attention(
            q, k, v, **seen, dropout=self.dropout, training=self.training
        )
        y = self.out(reshape(moveaxis(heads, 1, 2), query.shape))
        return (y, attention_weights(q, k, **seen)) if return_weights else y

    def _extended(self, q: Tensor, k: Tensor, v: Tensor, seen: dict[str, Any]) -> tuple:
        """(keys, values, how they are seen), with those that follow all others."""
        s, keys, values = k.shape[2], [k], [v]
        if self.bias_key is not None and self.bias_value is not None:
            keys.append(self._of_all(self.bias_key, k))
            values.append(self._of_all(self.bias_value, v))
        if self.add_zero_attn:
            keys.append(zeros_like(k[:, :, :1]))
            values.append(zeros_like(v[:, :, :1]))
        mask, causal, window = seen["mask"], seen["causal"], seen["window"]
        if mask is not None:
            mask = reshape(mask, (*(1,) * (4 - mask.ndim), *mask.shape))
        if causal or window is not None:
            mask = hidden(mask, near(q, s, causal, window))
        if mask is not None:
            mask = broadcast_to(mask, shape=(*mask.shape[:3], s))
            widths = ((0, 0), (0, 0), (0, 0), (0, len(keys) - 1))
            mask = pad(mask, widths, value=mask.dtype.kind == "b")
        return concatenate(keys, 2), concatenate(values, 2), {"mask": mask}

    def _of_all(self, x: Tensor, like: Tensor) -> Tensor:
        """A further key or value (1, 1, width) as (N, heads, 1, d)."""
        heads = self._heads(x, self.num_kv_heads)
        return broadcast_to(heads, shape=(like.shape[0], *heads.shape[1:]))

    def _heads(self, x: Tensor, heads: int) -> Tensor:
        """(N, T, heads d) -> (N, heads, T, d)."""
        n, t, _ = x.shape
        return moveaxis(reshape(x, (n, t, heads, self.d_model // self.num_heads)), 2, 1)

    def _check(self, query, key, value, mask, crossing, cache):
        key = query if key is None else key
        value = key if value is None else value
        layers = (self.query, self.key, self.value)
        for name, x, layer in zip(
            ("query", "key", "value"), (query, key, value), layers, strict=True
        ):
            arguments.tensor("MultiHeadAttention", name, x)
            if x.ndim != 3 or x.shape[2] != layer.n_in:
                raise ValueError(
                    f"[MultiHeadAttention] {name} is {x.shape}, expected (N, T, {layer.n_in})"
                )
        if getattr(mask, "ndim", 2) not in (2, 4):
            raise ValueError(
                f"[MultiHeadAttention] mask is {mask.shape}, expected (T, S) or four axes; give a "
                "mask (N, T, S) an axis for the heads, mask[:, None]; where keys are padding say "
                "key_padding_mask"
            )
        if getattr(mask, "ndim", 0) == 2:
            n, t = query.shape[:2]
            padding = "key_padding_mask (True: padding)"
            _check_two_axes("MultiHeadAttention", mask, n, t, padding, "mask[None, None]")
        if cache is not None and not isinstance(cache, KeyValueCache):
            raise TypeError(
                f"[MultiHeadAttention] cache is a {type(cache).__name__}, expected a KeyValueCache"
            )
        if crossing and (cache is not None or self.rotary or self.alibi):
            what = "a cache" if cache is not None else "rotary" if self.rotary else "alibi"
            raise ValueError(
                f"[MultiHeadAttention] {what} is for self attention: the positions of key and "
                "query must be the same; leave out key and value"
            )


def _check_two_axes(layer, mask, n, t, as_padding, as_mask):
    """Refuse a padding mask (N, S) in the place of a mask (T, S); warn where it may be one."""
    if 1 in mask.shape or getattr(mask, "requires_grad", False):  # unambiguous, or a learned bias
        return
    if mask.shape[0] == n != t:
        raise ValueError(
            f"[{layer}] mask is {mask.shape}, expected (T, S) with T = {t}; a padding mask (N, S) "
            f"is given as {as_padding}"
        )
    if n == t:
        errors.warn(
            f"[{layer}] mask {mask.shape} is taken as (T, S), the same for all {n} sequences; the "
            "batch is as large as the sequences are long, so it could be a padding mask (N, S). "
            f"If it is, give it as {as_padding}, else as {as_mask}"
        )


def _without_padding(mask, padding, shape):
    """A mask of four axes that hides the keys which are padding, and those that `mask` hides."""
    if getattr(getattr(padding, "dtype", None), "kind", "") != "b":
        got = getattr(padding, "dtype", type(padding).__name__)
        raise TypeError(
            f"[MultiHeadAttention] key_padding_mask is {got}, expected booleans (True: padding)"
        )
    if tuple(padding.shape) != shape:
        raise ValueError(
            f"[MultiHeadAttention] key_padding_mask is {padding.shape}, expected (N, S) = {shape}"
        )
    padding = reshape(padding, (shape[0], 1, 1, shape[1]))
    if mask is None:
        return logical_not(padding)
    kind = getattr(getattr(mask, "dtype", None), "kind", "")
    if kind == "b":
        return logical_and(mask, logical_not(padding))
    return where(padding, -float("inf"), mask) if kind in INEXACT else mask  # attention refuses it


def _with_biases(mask, biases):
    """A mask, or None, and biases (1, H, T, S) that are added to the scores as well."""
    if mask is None:
        return biases
    kind = getattr(getattr(mask, "dtype", None), "kind", "")
    if kind == "b":
        return where(mask, biases, -float("inf"))
    return mask + biases if kind in INEXACT else mask  # attention refuses it


class AdditiveAttention(Module):
    """scores_j = w . tanh(W q + U k_j + b), context = sum_j softmax(scores)_j v_j.

    query (N, d_query) or (N, T, d_query), keys (N, S, d_key), values (N, S, d), by default the
    keys -> context (N, d) or (N, T, d), weights (N, S) or (N, T, S). `mask` broadcasts to the
    weights: booleans, True where the query may look, or floats to add to the scores. A mask (T, S)
    with N = T could be meant as a padding mask (N, S): a UserWarning says how to write either.

    Source: Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and
    translate", appendix A.1.2.
    """

    def __init__(self, d_query: int, d_key: int, d_hidden: int):
        name = "AdditiveAttention"
        d_hidden = arguments.integer(name, "d_hidden", d_hidden)
        self.query = Dense(arguments.integer(name, "d_query", d_query), d_hidden, bias=False)
        self.key = Dense(arguments.integer(name, "d_key", d_key), d_hidden)
        self.score = Dense(d_hidden, 1, bias=False)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, *, mask: Any = None
    ) -> tuple[Tensor, Tensor]:
        values = keys if values is None else values
        _check_additive(query, keys, values)
        values = like(values, self.score.weight)
        one_step = query.ndim == 2
        if one_step:
            query = expand_dims(query, 1)
        scores = self._scores(query, keys)
        if mask is not None:
            _check_additive_mask(mask, scores.shape, one_step)
            mask = expand_dims(mask, 1) if one_step and mask.ndim == 2 else mask
            scores = _masked(scores, mask)
        weights = softmax(scores)
        context = matmul(weights, values)
        return (squeeze(context, 1), squeeze(weights, 1)) if one_step else (context, weights)

    def _scores(self, query: Tensor, keys: Tensor) -> Tensor:
        hidden = tanh(expand_dims(self.query(query), 2) + expand_dims(self.key(keys), 1))
        return squeeze(self.score(hidden), 3)  # (N, T, S)


def _masked(scores, mask):
    if mask.dtype.kind == "b":
        return where(mask, scores, -float("inf"))
    return scores + astype(mask, dtype=scores.dtype)


def _check_additive(query, keys, values):
    for name, x in (("query", query), ("keys", keys), ("values", values)):
        arguments.tensor("AdditiveAttention", name, x)
    fit = query.ndim in (2, 3) and keys.ndim == values.ndim == 3
    if not fit or query.shape[0] != keys.shape[0] or keys.shape[:2] != values.shape[:2]:
        raise ValueError(
            f"[AdditiveAttention] query is {query.shape}, keys {keys.shape}, values "
            f"{values.shape}, expected (N, d_query) or (N, T, d_query), (N, S, d_key), (N, S, d)"
        )


def _check_additive_mask(mask, shape, one_step):
    shape = (shape[0], shape[2]) if one_step else shape
    kind = getattr(getattr(mask, "dtype", None), "kind", "")
    if not kind or kind not in "b" + INEXACT:
        raise TypeError(
            f"[AdditiveAttention] mask is {getattr(mask, 'dtype', type(mask).__name__)}, expected "
            "booleans (True: may look) or floats to add"
        )
    if mask.ndim == 2 and not one_step:
        n, t = shape[:2]
        _check_two_axes("AdditiveAttention", mask, n, t, "mask[:, None]", "mask[None]")
    lengths = (1,) * (len(shape) - mask.ndim) + tuple(mask.shape)
    if len(lengths) > len(shape) or any(
        m not in (1, n) for m, n in zip(lengths, shape, strict=True)
    ):
        raise ValueError(
            f"[AdditiveAttention] mask is {mask.shape}, expected what broadcasts to {shape}"
        )
