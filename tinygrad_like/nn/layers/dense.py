"""Dense: the affine map."""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.matrices.linalg import linear


class Dense(Module):
    """y = x W + b: (..., n_in) -> (..., n_out).

    `weight` W is (n_in, n_out), `bias` b is (n_out,), or None with `bias=False`; both start as
    U(-1/sqrt(n_in), 1/sqrt(n_in)), as in PyTorch.
    """

    def __init__(self, n_in: int, n_out: int, bias: bool = True):
        self.n_in = arguments.integer("Dense", "n_in", n_in)
        self.n_out = arguments.integer("Dense", "n_out", n_out)
        bias = arguments.flag("Dense", "bias", bias)
        self.weight = init.fan_in_uniform((self.n_in, self.n_out))
        self.bias = init.fan_in_uniform(self.n_out, self.n_in) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return linear(like(x, self.weight), self.weight, self.bias)
