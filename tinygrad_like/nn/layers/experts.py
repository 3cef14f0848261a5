"""Mixture of experts: many feed-forward layers, of which each vector uses a few."""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.nn.layers.transformer import ACTIVATIONS
from tinygrad_like.ops.arrays.shape import expand_dims, reshape
from tinygrad_like.ops.indexing.index import argsort, embedding, one_hot, scatter_rows, take, topk
from tinygrad_like.ops.neural.experts import expert_matmul
from tinygrad_like.ops.neural.softmax import softmax
from tinygrad_like.ops.reductions.reduce import mean, sum


class MixtureOfExperts(Module):
    """y = sum_e p_e f_e(x) over the k experts e with the largest p = softmax(x W_router).

    Each expert is a feed-forward layer f(x) = activation(x U + b) V + c of its own, through which
    only those vectors run that chose it, however many these are: none is dropped. x is
    (..., d_model), and so is y.

    Args:
        d_model, d_ff: the widths of x and of the hidden layer.
        num_experts: how many experts there are.
        k: how many of them each vector uses.
        normalize: whether the k shares p are divided by their sum.
        activation: as FeedForward's. bias: whether the experts have b and c.

    `up` U is (num_experts, d_model, d_ff), `down` V (num_experts, d_ff, d_model).

    A call with `return_balance=True` returns (y, balance): num_experts sum_e f_e P_e, with f_e the
    share of choices that fell on expert e, and P_e the mean of p_e. It is 1 if all experts are used
    alike; about 0.01 of it, added to the loss, keeps the router from using a few alone.

    Source: Shazeer et al. 2017, "Outrageously large neural networks"; the balance is that of Fedus
    et al. 2021, "Switch transformers", equation 4.

    >>> import tinygrad_like as tg
    >>> layer = tg.nn.MixtureOfExperts(8, 16, num_experts=4, k=2)
    >>> y, balance = layer(tg.randn((2, 5, 8)), return_balance=True)
    >>> y.shape, balance.shape
    ((2, 5, 8), ())
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        num_experts: int,
        k: int = 2,
        *,
        normalize: bool = True,
        activation: str = "gelu",
        bias: bool = True,
    ):
        name = "MixtureOfExperts"
        self.d_model = arguments.integer(name, "d_model", d_model)
        self.d_ff = arguments.integer(name, "d_ff", d_ff)
        self.num_experts = arguments.integer(name, "num_experts", num_experts)
        self.k = arguments.integer(name, "k", k)
        if self.k > self.num_experts:
            raise ValueError(f"[{name}] k is {k}, expected at most num_experts={num_experts}")
        self.normalize = arguments.flag(name, "normalize", normalize)
        self.activation = ACTIVATIONS[
            arguments.choice(name, "activation", activation, ACTIVATIONS)
        ]()
        has_bias = arguments.flag(name, "bias", bias)
        self.router = Dense(d_model, num_experts, bias=False)
        self.up = init.fan_in_uniform((num_experts, d_model, d_ff), d_model)
        self.down = init.fan_in_uniform((num_experts, d_ff, d_model), d_ff)
        self.up_bias = init.fan_in_uniform((num_experts, d_ff), d_model) if has_bias else None
        self.down_bias = init.fan_in_uniform((num_experts, d_model), d_ff) if has_bias else None

    def forward(self, x: Tensor, *, return_balance: bool = False) -> Any:
        arguments.flag("MixtureOfExperts", "return_balance", return_balance)
        arguments.tensor("MixtureOfExperts", "x", x)
        if not x.ndim or x.shape[-1] != self.d_model:
            raise ValueError(f"[MixtureOfExperts] x is {x.shape}, expected (..., {self.d_model})")
        shape, x = x.shape, like(x, self.up)
        x = reshape(x, (x.size // self.d_model, self.d_model))
        p = softmax(self.router(x))
        shares, chosen = topk(p, self.k)  # (rows, k) both
        if self.normalize:
            shares = shares / sum(shares, axis=1, keepdims=True)
        y = reshape(self._mixed(x, shares, chosen), shape)
        if not return_balance:
            return y
        used = mean(one_hot(chosen, self.num_experts, dtype=p.dtype), axis=(0, 1))
        return y, sum(used * mean(p, axis=0)) * self.num_experts

    def _mixed(self, x: Tensor, shares: Tensor, chosen: Tensor) -> Tensor:
        """The sum of what the chosen experts make of each row, sorted by experts in between."""
        count = x.shape[0] * self.k
        choices = reshape(chosen, (count,))
        order = argsort(choices)
        experts, rows = take(choices, order), order // self.k
        h = expert_matmul(embedding(x, rows), self.up, experts)
        if self.up_bias is not None:
            h = h + embedding(self.up_bias, experts)
        y = expert_matmul(self.activation(h), self.down, experts)
        if self.down_bias is not None:
            y = y + embedding(self.down_bias, experts)
        y = y * expand_dims(take(reshape(shares, (count,)), order), 1)
        return scatter_rows(y, rows, count=x.shape[0])
