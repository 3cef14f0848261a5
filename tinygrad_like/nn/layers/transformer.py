"""Transformer layers over sequences (N, T, d_model), and stacks of them.

Pre-norm (`norm_first`, the default) normalises what each sublayer reads, x + f(norm(x)), and
trains without warm-up; post-norm, norm(x + f(x)), is the original (Vaswani et al. 2017). Dropout
falls on attention weights, inside the feed-forward, and on each sublayer's output.

Masks are those of MultiHeadAttention: `mask`, booleans, True where a position may look, or floats
to add; `key_padding_mask` (N, S), True where a position is padding.
"""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.activation import GELU, ReLU, SiLU
from tinygrad_like.nn.layers.attention import KeyValueCache, MultiHeadAttention
from tinygrad_like.nn.layers.containers import ModuleList
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.nn.layers.norm import Dropout, LayerNorm

ACTIVATIONS = {
    "gelu": GELU,
    "gelu_tanh": lambda: GELU(approximate=True),
    "relu": ReLU,
    "silu": SiLU,
}


class FeedForward(Module):
    """y = activation(x W_1 + b_1) W_2 + b_2: (..., d_model) -> (..., d_ff) -> (..., d_model)."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        dropout: float = 0.0,
        activation: str = "gelu",
        bias: bool = True,
    ):
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(
                f"[FeedForward] activation is {activation!r}, expected one of {list(ACTIVATIONS)}"
            )
        bias = arguments.flag("FeedForward", "bias", bias)
        self.up = Dense(d_model, arguments.integer("FeedForward", "d_ff", d_ff), bias)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)
        self.down = Dense(d_ff, d_model, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.dropout(self.activation(self.up(x))))


class TransformerLayer(Module):
    """What the encoder and the decoder layer share: all but how the sublayers follow each other."""

    _has_memory = False  # whether there is attention to a memory, and a third norm

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        d_ff: int,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        activation: str = "gelu",
        num_kv_heads: int | None = None,
        rotary: bool = False,
        alibi: bool = False,
        window: int | None = None,
        bias: bool = True,
        eps: float = 1e-5,
    ):
        name = type(self).__name__
        self.norm_first = arguments.flag(name, "norm_first", norm_first)
        bias = arguments.flag(name, "bias", bias)
        heads: dict[str, Any] = {"num_kv_heads": num_kv_heads, "dropout": dropout, "bias": bias}
        self.attention = MultiHeadAttention(
            d_model, num_heads, rotary=rotary, alibi=alibi, window=window, **heads
        )
        if self._has_memory:
            self.cross_attention = MultiHeadAttention(d_model, num_heads, **heads)
        self.feed_forward = FeedForward(d_model, d_ff, dropout, activation, bias)
        self.norm1, self.norm2 = (LayerNorm(d_model, eps, bias) for _ in range(2))
        if self._has_memory:
            self.norm3 = LayerNorm(d_model, eps, bias)
        self.dropout = Dropout(dropout)

    def _sublayer(self, norm: LayerNorm, f: Module, x: Tensor, *given: Any, **options: Any) -> Any:
        """x + f(norm(x)) or, with `norm_first=False`, norm(x + f(x)); f gets what else is given."""
        if self.norm_first:
            return x + self.dropout(f(norm(x), *given, **options))
        return norm(x + self.dropout(f(x, *given, **options)))


class TransformerEncoderLayer(TransformerLayer):
    """h = x + attention(norm1(x)), y = h + feed_forward(norm2(h)): (N, T, d_model) -> same.

    With `norm_first=False` h = norm1(x + attention(x)), y = norm2(h + feed_forward(h)). Called
    with `causal=True` it is the block of a GPT. `activation` is "gelu", "gelu_tanh", "relu" or
    "silu"; `num_kv_heads`, `rotary`, `alibi` and `window` are those of MultiHeadAttention. Without
    `bias` no layer in it has one, the norms included; `eps` is that of the norms.
    """

    def forward(
        self,
        x: Tensor,
        *,
        mask: Any = None,
        key_padding_mask: Any = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        x = like(x, self.norm1.weight)
        seen: dict[str, Any] = {"mask": mask, "key_padding_mask": key_padding_mask}
        x = self._sublayer(self.norm1, self.attention, x, **seen, causal=causal, cache=cache)
        return self._sublayer(self.norm2, self.feed_forward, x)


class TransformerDecoderLayer(TransformerLayer):
    """An encoder layer, causal, with attention to a memory (N, S, d_model) before the feed-forward.

    h = x + attention(norm1(x)), i = h + cross_attention(norm2(h), memory),
    y = i + feed_forward(norm3(i)); post-norm with `norm_first=False`.
    """

    _has_memory = True

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        mask: Any = None,
        key_padding_mask: Any = None,
        causal: bool = True,
        memory_mask: Any = None,
        memory_key_padding_mask: Any = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        x = like(x, self.norm1.weight)
        seen: dict[str, Any] = {"mask": mask, "key_padding_mask": key_padding_mask}
        remembered: dict[str, Any] = {
            "mask": memory_mask,
            "key_padding_mask": memory_key_padding_mask,
        }
        x = self._sublayer(self.norm1, self.attention, x, **seen, causal=causal, cache=cache)
        x = self._sublayer(self.norm2, self.cross_attention, x, memory, **remembered)
        return self._sublayer(self.norm3, self.feed_forward, x)


class _Stack(Module):
    """What the stacks share: layers in a row and, with pre-norm, LayerNorm at the end."""

    _layer: Any  # the class of the layers

    def __init__(self, d_model: int, num_heads: int, d_ff: int, num_layers: int, **options: Any):
        count = arguments.integer(type(self).__name__, "num_layers", num_layers)
        self.layers = ModuleList(
            self._layer(d_model, num_heads, d_ff, **options) for _ in range(count)
        )
        first = self.layers[0]
        norm = LayerNorm(d_model, first.norm1.eps, options.get("bias", True))
        self.norm = norm if first.norm_first else None


class TransformerEncoder(_Stack):
    """`num_layers` encoder layers, one after the other; with pre-norm, LayerNorm at the end.

    Options and call are those of TransformerEncoderLayer.
    """

    _layer = TransformerEncoderLayer

    def forward(
        self,
        x: Tensor,
        *,
        mask: Any = None,
        key_padding_mask: Any = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask=mask, key_padding_mask=key_padding_mask, causal=causal, cache=cache)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(_Stack):
    """`num_layers` decoder layers, one after the other; with pre-norm, LayerNorm at the end.

    Options and call are those of TransformerDecoderLayer.
    """

    _layer = TransformerDecoderLayer

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        *,
        mask: Any = None,
        key_padding_mask: Any = None,
        causal: bool = True,
        memory_mask: Any = None,
        memory_key_padding_mask: Any = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        for layer in self.layers:
            x = layer(
                x,
                memory,
                mask=mask,
                key_padding_mask=key_padding_mask,
                causal=causal,
                memory_mask=memory_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                cache=cache,
            )
        return x if self.norm is None else self.norm(x)
