"""State-space layer: a linear recurrence whose rates depend on the input, run as one scan."""

import math
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.conv import Conv1D
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.ops.arrays.create import zeros
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims, split, squeeze, swapaxes
from tinygrad_like.ops.elements.activation import silu, softplus
from tinygrad_like.ops.elements.elementwise import exp
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.reductions.scan import linear_scan

STEPS = 1e-3, 1e-1  # the range of the first steps, as in Mamba


class StateSpace(Module):
    """A selective state-space layer (Mamba): (N, T, d_model) -> same, causal.

    For each of `expand` d_model channels u, a short causal convolution of x W_in with SiLU:

        h_t = exp(s_t A) h_(t-1) + s_t u_t B_t       a state of d_state numbers
        y_t = (C_t . h_t + D u_t) silu(z_t)          z is the other half of x W_in

    and W_out brings them back to d_model. The step s_t > 0 and the vectors B_t and C_t are linear
    in u_t: the layer chooses what it keeps. A = -exp(`log_decay`) starts as -1, ..., -d_state.

    Args:
        d_state: the numbers in the state of each channel.
        expand: how many times wider than d_model it is inside.
        kernel_size: of the convolution.
        rank: of the map from u to the steps, by default d_model / 16, rounded up.

    Called with `return_state=True` it returns (y, state), and a call with that `state` goes on
    where this one ended. To carry it on in training, drop its history: `nn.detach_state(state)`.

    Source: Gu and Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces".

    >>> import tinygrad_like as tg
    >>> layer, x = tg.nn.StateSpace(8, d_state=4), tg.randn((2, 6, 8))
    >>> y, state = layer(x[:, :4], return_state=True)
    >>> y.shape, layer(x[:, 4:], state).shape
    ((2, 4, 8), (2, 2, 8))
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        *,
        expand: int = 2,
        kernel_size: int = 4,
        rank: int | None = None,
    ):
        name = "StateSpace"
        self.d_model = arguments.integer(name, "d_model", d_model)
        self.d_state = arguments.integer(name, "d_state", d_state)
        self.expand = arguments.integer(name, "expand", expand)
        self.kernel_size = arguments.integer(name, "kernel_size", kernel_size)
        rank = -(-self.d_model // 16) if rank is None else rank
        self.rank = arguments.integer(name, "rank", rank)
        inner = self.expand * self.d_model
        self.enter = Dense(self.d_model, 2 * inner, bias=False)
        self.conv = Conv1D(inner, inner, self.kernel_size, groups=inner)
        self.choose = Dense(inner, self.rank + 2 * self.d_state, bias=False)
        self.step = Dense(self.rank, inner)
        low, high = map(math.log, STEPS)
        steps = np.exp(init.uniform(inner, low, high).numpy())
        self.step.bias = Tensor(np.log(np.expm1(steps)))  # of which softplus makes the steps
        rates = np.log(np.arange(1, self.d_state + 1, dtype=np.float32))
        self.log_decay = init.zeros((inner, self.d_state))
        self.log_decay.data = np.broadcast_to(rates, self.log_decay.shape)
        self.skip = init.ones(inner)
        self.leave = Dense(inner, self.d_model, bias=False)

    def forward(self, x: Tensor, state: tuple | None = None, *, return_state: bool = False) -> Any:
        arguments.flag("StateSpace", "return_state", return_state)
        arguments.tensor("StateSpace", "x", x)
        if x.ndim != 3 or x.shape[2] != self.d_model:
            raise ValueError(f"[StateSpace] x is {x.shape}, expected (N, T, {self.d_model})")
        u, z = split(self.enter(x), 2, axis=-1)
        before, h = self._start(u) if state is None else state
        seen = concatenate([before, u], axis=1)
        u = silu(swapaxes(self.conv(swapaxes(seen, 1, 2)), 1, 2))
        y, h = self._scan(u, h)
        y = self.leave((y + self.skip * u) * silu(z))
        return (y, (seen[:, x.shape[1] :], h)) if return_state else y

    def _start(self, u: Tensor) -> tuple[Tensor, None]:
        """The inputs of the convolution before the first step, zeros, and the state."""
        shape = u.shape[0], self.kernel_size - 1, u.shape[2]
        return zeros(shape, dtype=u.dtype, device=u.device), None

    def _scan(self, u: Tensor, h: Tensor | None) -> tuple[Tensor, Tensor]:
        """(C . h of all steps, the last h) for channels u (N, T, inner)."""
        steps, write, read = split(self.choose(u), [self.rank, self.rank + self.d_state], axis=-1)
        steps = expand_dims(softplus(self.step(steps)), 3)  # (N, T, inner, 1)
        keep = exp(steps * -exp(like(self.log_decay, u)))
        write = steps * expand_dims(u, 3) * expand_dims(write, 2)
        states = linear_scan(keep, write, axis=1, initial=h)  # (N, T, inner, d_state)
        return squeeze(matmul(states, expand_dims(read, 3)), 3), states[:, -1]
