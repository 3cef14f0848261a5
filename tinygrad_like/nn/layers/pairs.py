"""Layers of two inputs: Bilinear, CosineSimilarity, PairwiseDistance."""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.shape import expand_dims, reshape, squeeze
from tinygrad_like.ops.elements.elementwise import maximum
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.reductions.reduce import norm, sum


class Bilinear(Module):
    """y_o = a^T W_o b + c_o: (..., n_a) and (..., n_b) -> (..., n_out).

    `weight` W is (n_out, n_a, n_b), `bias` c is (n_out,), or None with `bias=False`; both start as
    U(-1/sqrt(n_a), 1/sqrt(n_a)), as in PyTorch.
    """

    def __init__(self, n_a: int, n_b: int, n_out: int, bias: bool = True):
        self.n_a = arguments.integer("Bilinear", "n_a", n_a)
        self.n_b = arguments.integer("Bilinear", "n_b", n_b)
        self.n_out = arguments.integer("Bilinear", "n_out", n_out)
        bias = arguments.flag("Bilinear", "bias", bias)
        self.weight = init.fan_in_uniform((self.n_out, self.n_a, self.n_b), self.n_a)
        self.bias = init.fan_in_uniform(self.n_out, self.n_a) if bias else None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        for name, x, n in (("a", a, self.n_a), ("b", b, self.n_b)):
            arguments.tensor("Bilinear", name, x)
            if not x.ndim or x.shape[-1] != n or a.shape[:-1] != b.shape[:-1]:
                raise ValueError(
                    f"[Bilinear] a is {a.shape}, b is {b.shape}, expected (..., {self.n_a}) and "
                    f"(..., {self.n_b})"
                )
        a, b = like(a, self.weight), like(b, self.weight)
        table = reshape(self.weight.transpose((1, 0, 2)), (self.n_a, self.n_out * self.n_b))
        rows = reshape(matmul(a, table), (*a.shape[:-1], self.n_out, self.n_b))
        y = squeeze(matmul(rows, expand_dims(b, -1)), -1)
        return y if self.bias is None else y + self.bias


class CosineSimilarity(Module):
    """y = a . b / (max(|a|, eps) max(|b|, eps)) along an axis."""

    def __init__(self, axis: int = 1, eps: float = 1e-8):
        self.axis = arguments.integer("CosineSimilarity", "axis", axis, -(1 << 30))
        self.eps = arguments.number("CosineSimilarity", "eps", eps, 0)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        norms = (norm(x, axis=self.axis, keepdims=True) for x in (a, b))
        of_a, of_b = (maximum(n, self.eps) for n in norms)
        return sum((a / of_a) * (b / of_b), axis=self.axis)


class PairwiseDistance(Module):
    """y = (sum_i |a_i - b_i + eps|^p)^(1 / p) over the last axis; p may be infinite.

    With `keepdims` the axis stays, with length 1. Where all differences are 0 the gradient is 0.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False):
        largest = float("inf")
        self.p = arguments.number("PairwiseDistance", "p", p, 0, largest)
        self.eps = arguments.number("PairwiseDistance", "eps", eps)
        self.keepdims = arguments.flag("PairwiseDistance", "keepdims", keepdims)
        if self.p == 0:
            raise ValueError("[PairwiseDistance] p is 0, expected a positive number")

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return norm(a - b + self.eps, ord=self.p, axis=-1, keepdims=self.keepdims)
