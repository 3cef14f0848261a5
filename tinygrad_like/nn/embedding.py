"""Embedding: a table of vectors, one for each symbol."""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments, init
from tinygrad_like.nn.module import Module
from tinygrad_like.ops.elementwise import equal, where
from tinygrad_like.ops.index import embedding
from tinygrad_like.ops.shape import expand_dims


class Embedding(Module):
    """y = W[ids]: integers of any shape (...) from 0 to num - 1 -> (..., dim).

    `weight` W is (num, dim) and starts as N(0, 1). The vector of the symbol `padding_idx`, counted
    from the end if negative, starts as 0 and gets no gradient: steps leave it at 0. If it is not 0,
    as after a load, weight decay still moves it, since that needs no gradient.
    """

    def __init__(self, num: int, dim: int, padding_idx: int | None = None):
        self.num = arguments.integer("Embedding", "num", num)
        self.dim = arguments.integer("Embedding", "dim", dim)
        self.padding_idx = padding_idx
        self.weight = init.normal((self.num, self.dim))
        if padding_idx is not None:
            least = -self.num
            self.padding_idx = arguments.integer("Embedding", "padding_idx", padding_idx, least)
            if self.padding_idx >= self.num:
                raise ValueError(
                    f"[Embedding] padding_idx is {padding_idx}, expected less than num={num}"
                )
            self.padding_idx %= self.num
            self.weight.data[self.padding_idx] = 0

    def forward(self, ids: Tensor) -> Tensor:
        y = embedding(self.weight, ids)
        if self.padding_idx is None:
            return y
        ids = ids if isinstance(ids, Tensor) else Tensor(ids, device=y.device)
        return where(expand_dims(equal(ids, self.padding_idx), -1), y.detach(), y)
