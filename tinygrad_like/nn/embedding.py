"""Embedding: a table of vectors, one for each symbol."""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments, init
from tinygrad_like.nn.module import Module
from tinygrad_like.ops.index import embedding


class Embedding(Module):
    """y = W[ids]: integers of any shape (...) from 0 to num - 1 -> (..., dim).

    `weight` W is (num, dim) and starts as N(0, 1).
    """

    def __init__(self, num: int, dim: int):
        self.num = arguments.integer("Embedding", "num", num)
        self.dim = arguments.integer("Embedding", "dim", dim)
        self.weight = init.normal((self.num, self.dim))

    def forward(self, ids: Tensor) -> Tensor:
        return embedding(self.weight, ids)
