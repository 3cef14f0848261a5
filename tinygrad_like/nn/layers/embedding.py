"""Embedding: a table of vectors, one for each symbol. EmbeddingBag: sums of them."""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.shape import expand_dims
from tinygrad_like.ops.elements.elementwise import equal, where
from tinygrad_like.ops.indexing.index import embedding
from tinygrad_like.ops.neural.bag import MODES, embedding_bag


class Embedding(Module):
    """y = W[ids]: integers of any shape (...) from 0 to num - 1 -> (..., dim).

    `weight` W is (num, dim) and starts as N(0, 1). The vector of the symbol `padding_idx`, counted
    from the end if negative, starts as 0 and gets no gradient: steps leave it at 0. If it is not 0,
    as after a load, weight decay still moves it, since that needs no gradient.

    With `sparse`, `weight.grad` is `tg.SparseRows`, the gradient of the rows that were read, and a
    step of SGD, Adagrad or SparseAdam costs what they do, however large the table is.

    >>> import numpy as np
    >>> from tinygrad_like import nn, optim
    >>> layer = nn.Embedding(100_000, 8, sparse=True)
    >>> optimizer = optim.SparseAdam([layer.weight], lr=0.01)
    >>> layer(np.array([[5, 7], [5, 9]])).sum().backward()
    >>> layer.weight.grad.coalesce().indices.tolist()
    [5, 7, 9]
    >>> optimizer.step()
    """

    def __init__(self, num: int, dim: int, padding_idx: int | None = None, sparse: bool = False):
        self.num = arguments.integer("Embedding", "num", num)
        self.dim = arguments.integer("Embedding", "dim", dim)
        self.sparse = arguments.flag("Embedding", "sparse", sparse)
        self.padding_idx = padding_idx
        self.weight = init.normal((self.num, self.dim))
        if padding_idx is not None:
            self.padding_idx = _row("Embedding", padding_idx, self.num)
            self.weight.data[self.padding_idx] = 0

    def forward(self, ids: Tensor) -> Tensor:
        y = embedding(self.weight, ids, sparse=self.sparse)
        if self.padding_idx is None:
            return y
        ids = ids if isinstance(ids, Tensor) else Tensor(ids, device=y.device)
        return where(expand_dims(equal(ids, self.padding_idx), -1), y.detach(), y)


def _row(layer: str, padding_idx: Any, num: int) -> int:
    """A padding_idx counted from the start."""
    index = arguments.integer(layer, "padding_idx", padding_idx, -num)
    if index >= num:
        raise ValueError(f"[{layer}] padding_idx is {padding_idx}, expected less than num={num}")
    return index % num


class EmbeddingBag(Module):
    """The mean, sum or maximum of the vectors W[ids] of each bag of ids, see `tg.embedding_bag`.

    ids (B, L), or (count,) with the `offsets` (B,) where bags begin -> (B, dim). `weight` W is
    (num, dim) and starts as N(0, 1). The symbol `padding_idx` does not count; its vector starts
    as 0 and gets no gradient.

    >>> import numpy as np
    >>> from tinygrad_like import nn
    >>> nn.EmbeddingBag(10, 4)(np.array([1, 5, 2]), np.array([0, 1])).shape
    (2, 4)
    """

    def __init__(self, num: int, dim: int, mode: str = "mean", padding_idx: int | None = None):
        self.num = arguments.integer("EmbeddingBag", "num", num)
        self.dim = arguments.integer("EmbeddingBag", "dim", dim)
        self.mode = arguments.choice("EmbeddingBag", "mode", mode, MODES)
        self.padding_idx = padding_idx
        self.weight = init.normal((self.num, self.dim))
        if padding_idx is not None:
            self.padding_idx = _row("EmbeddingBag", padding_idx, self.num)
            self.weight.data[self.padding_idx] = 0

    def forward(
        self, ids: Tensor, offsets: Any = None, *, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        return embedding_bag(
            self.weight,
            ids,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            padding_idx=self.padding_idx,
        )
