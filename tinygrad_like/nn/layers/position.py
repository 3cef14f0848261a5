"""Positions added to embeddings (N, T, d_model): attention by itself does not know the order.

`offset` is the position of the first vector: `cache.length` to go on from a key-value cache.
Rotary positions (Su et al. 2021) are an option of MultiHeadAttention.
"""

from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor, astype
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.shape import reshape, stack
from tinygrad_like.ops.elements.elementwise import cos, sin
from tinygrad_like.ops.neural.attention import angles


class PositionalEncoding(Module):
    """y[t, 2i] = x[t, 2i] + sin(t r_i), y[t, 2i + 1] = x[t, 2i + 1] + cos(t r_i).

    r_i = 10000^(-2i / d_model); positions t go up to max_length - 1. There are no parameters.

    Source: Vaswani et al. 2017, "Attention is all you need", section 3.5.
    """

    def __init__(self, d_model: int, max_length: int = 5000):
        self.d_model = arguments.integer("PositionalEncoding", "d_model", d_model)
        self.max_length = arguments.integer("PositionalEncoding", "max_length", max_length)

    def forward(self, x: Tensor, *, offset: int = 0) -> Tensor:
        _check("PositionalEncoding", x, offset, self.d_model, self.max_length)
        turn = angles(x, offset, 10000)
        waves = stack([sin(turn), cos(turn)], axis=-1)
        waves = reshape(waves, (x.shape[-2], 2 * turn.shape[1]))[:, : self.d_model]
        return x + astype(waves, dtype=x.dtype)


class LearnedPositions(Module):
    """y[t] = x[t] + W[t]: `weight` W is (max_length, d_model) and starts as N(0, 0.02^2).

    Source: Gehring et al. 2017, "Convolutional sequence to sequence learning"; the start is GPT's.
    """

    def __init__(self, max_length: int, d_model: int):
        self.max_length = arguments.integer("LearnedPositions", "max_length", max_length)
        self.d_model = arguments.integer("LearnedPositions", "d_model", d_model)
        self.weight = init.normal((self.max_length, self.d_model), std=0.02)

    def forward(self, x: Tensor, *, offset: int = 0) -> Tensor:
        _check("LearnedPositions", x, offset, self.d_model, self.max_length)
        return like(x, self.weight) + self.weight[offset : offset + x.shape[-2]]


def _check(name, x, offset, d_model, max_length):
    arguments.tensor(name, "x", x)
    if x.dtype.kind not in FLOATING:
        raise TypeError(f"[{name}] x is {x.dtype}, expected floating embeddings; embed ids first")
    if x.ndim < 2 or x.shape[-1] != d_model:
        raise ValueError(f"[{name}] x is {x.shape}, expected (..., T, {d_model})")
    arguments.integer(name, "offset", offset, 0)
    end = offset + x.shape[-2]
    if end > max_length:
        raise ValueError(
            f"[{name}] x reaches position {end - 1}, expected at most {max_length - 1} "
            f"(max_length={max_length}); shorten the sequence or raise max_length"
        )
