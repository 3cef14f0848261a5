"""Recurrent layers: RNN, GRU and LSTM, in several layers and in one or both directions."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.computed import Weights
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.create import zeros
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims, squeeze, stack
from tinygrad_like.ops.neural.recurrent import gru, lstm, rnn
from tinygrad_like.ops.samples.random import dropout


class Recurrent(Module):
    """What RNN, GRU and LSTM share: layers above each other, each in one or both directions.

    The parameters of layer k, counted from 0, have the paths `layers.k.forward.weight`,
    `.recurrent` and `.bias`, and with `bidirectional` also `layers.k.reverse.weight` and so on.
    """

    gates: int  # blocks of H columns in the weights
    biases: int  # and in the bias

    has_bias = True
    proj_size = 0  # the width of the outputs, where they are narrower than the state

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        bias: bool = True,
        proj_size: int = 0,
    ):
        name = type(self).__name__
        self.n_in = arguments.integer(name, "n_in", n_in)
        self.n_hidden = arguments.integer(name, "n_hidden", n_hidden)
        self.num_layers = arguments.integer(name, "num_layers", num_layers)
        self.bidirectional = arguments.flag(name, "bidirectional", bidirectional)
        self.dropout = arguments.number(name, "dropout", dropout, 0, 1)
        if not arguments.flag(name, "bias", bias):
            self.has_bias = False
        if proj_size:
            self.proj_size = proj_size
        names = ("forward", "reverse") if bidirectional else ("forward",)
        widths = [n_in] + [(proj_size or n_hidden) * len(names)] * (num_layers - 1)
        self.layers = [{d: self._parameters(width) for d in names} for width in widths]

    def _parameters(self, n_in: int) -> Weights:
        h, out = self.n_hidden, self.proj_size or self.n_hidden
        bound = 1 / math.sqrt(h)
        shapes: dict[str, Any] = {
            "weight": (n_in, self.gates * h),
            "recurrent": (out, self.gates * h),
        }
        if self.has_bias:
            shapes["bias"] = self.biases * h
        if self.proj_size:
            shapes["projection"] = h, out
        drawn = {name: init.uniform(shape, -bound, bound) for name, shape in shapes.items()}
        return Weights(**drawn)

    def _bias(self, p: Weights) -> Tensor:
        """The bias of a layer, zeros if it has none."""
        if "bias" in p:
            return p["bias"]
        weight = p["weight"]
        shape = self.biases * self.n_hidden
        return zeros(shape, dtype=weight.dtype, device=weight.device)

    def directions(self) -> Iterator[tuple[int, str, Weights]]:
        """(layer, "forward" or "reverse", parameters), in the order of the states."""
        for k, layer in enumerate(self.layers):
            for direction, parameters in layer.items():
                yield k, direction, parameters

    def _run(
        self, op: Callable, x: Tensor, states: tuple, lengths: Any, **attributes: Any
    ) -> tuple[Tensor, list[Tensor]]:
        """(out, last states) of all layers: each reads the outputs of the one below."""
        arguments.tensor(type(self).__name__, "x", x)
        if x.ndim == 2 and x.dtype.kind in FLOATING:
            return self._run_one(op, x, states, lengths, **attributes)
        for what, state in zip("hc", states, strict=False):
            self._check_state(what, state, x)
        x, states = self._cast(x), tuple(map(self._cast, states))
        ends = []
        outs: list[Tensor] = []
        for i, (k, direction, p) in enumerate(self.directions()):
            if direction == "forward" and k:
                x, outs = dropout(_joined(outs), self.dropout, training=self.training), []
            start = [None if state is None else state[i] for state in states]
            if self.proj_size:
                attributes["projection"] = p["projection"]
            out, *end = op(
                *(x, p["weight"], p["recurrent"], self._bias(p), *start),
                lengths=lengths,
                reverse=direction == "reverse",
                **attributes,
            )
            outs.append(out)
            ends.append(end)
        return _joined(outs), [stack(states) for states in zip(*ends, strict=True)]

    def _run_one(
        self, op: Callable, x: Tensor, states: tuple, lengths: Any, **attributes: Any
    ) -> tuple[Tensor, list[Tensor]]:
        """`_run` of one sequence (T, n_in), whose states have no axis N either."""
        if lengths is not None:
            raise ValueError(
                f"[{type(self).__name__}] x is {x.shape}, one sequence: it is as long as its length"
            )
        given = (None if state is None else expand_dims(state, 1) for state in states)
        out, ends = self._run(op, expand_dims(x, 0), tuple(given), None, **attributes)
        return squeeze(out, 0), [squeeze(end, 1) for end in ends]

    def _cast(self, x: Any) -> Any:
        """An input in the dtype of the parameters; integers are left for the op to refuse."""
        is_float = getattr(getattr(x, "dtype", None), "kind", "") in FLOATING
        return like(x, self.layers[0]["forward"]["weight"]) if is_float else x

    def _check_state(self, what: str, state: Any, x: Tensor) -> None:
        if state is None:
            return
        name = type(self).__name__
        if not hasattr(state, "shape"):
            raise TypeError(
                f"[{name}] the state {what} is a {type(state).__name__}, expected a Tensor or None"
            )
        width = self.proj_size if what == "h" and self.proj_size else self.n_hidden
        expected = self.num_layers * (1 + self.bidirectional), x.shape[0], width
        if state.shape != expected:
            raise ValueError(
                f"[{name}] the state {what} is {state.shape}, expected {expected}: "
                "(num_layers * directions, N, n_hidden)"
            )


def _joined(outs: list[Tensor]) -> Tensor:
    """The outputs of both directions side by side."""
    return outs[0] if len(outs) == 1 else concatenate(outs, axis=-1)


class RNN(Recurrent):
    """h_t = tanh(x_t W + h_(t-1) U + b): (N, T, n_in) -> ((N, T, H), h), see `tg.rnn`.

    Args:
        n_in, n_hidden: the width of x, and H.
        num_layers: each further layer reads the outputs of the one below.
        bidirectional: whether another set of parameters runs from the last step to the first;
            the outputs are (N, T, 2 H) then, those of the first direction on the left.
        dropout: of the outputs that a layer reads from the one below, in training.
        bias: whether the sums have a bias.
        nonlinearity: `"tanh"` or `"relu"`.

    Call it with x, the first state (None: zeros) and, as `lengths=`, the number of steps of each
    sequence, (N,). A state is (num_layers * directions, N, H). One sequence (T, n_in) has outputs
    and states without the axis N. To carry a state on to the next piece of a long text, drop its
    history: `detach_state(h)`.

    All parameters start as U(-1/sqrt(H), 1/sqrt(H)), as in PyTorch.
    """

    gates, biases = 1, 1

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        nonlinearity: str = "tanh",
    ):
        arguments.choice("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(n_in, n_hidden, num_layers, bidirectional, dropout, bias)
        self.nonlinearity = nonlinearity

    def forward(
        self, x: Tensor, h: Tensor | None = None, *, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        out, (h,) = self._run(rnn, x, (h,), lengths, nonlinearity=self.nonlinearity)
        return out, h


class GRU(Recurrent):
    """The gated recurrent unit: (N, T, n_in) -> ((N, T, H), h), see `tg.gru`.

    Arguments, states and starting values are those of `RNN`.
    """

    gates, biases = 3, 4

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
    ):
        super().__init__(n_in, n_hidden, num_layers, bidirectional, dropout, bias)

    def forward(
        self, x: Tensor, h: Tensor | None = None, *, lengths: Any = None
    ) -> tuple[Tensor, Tensor]:
        out, (h,) = self._run(gru, x, (h,), lengths)
        return out, h


class LSTM(Recurrent):
    """Long short-term memory: (N, T, n_in) -> ((N, T, H), (h, c)), see `tg.lstm`.

    Arguments, states and starting values are those of `RNN`, but the state is the pair (h, c),
    and `forget_bias` is added to the starting biases of the forget gates: with 1 the cells begin
    by remembering (Jozefowicz et al. 2015). With a `proj_size` P the state h that each step reads,
    and that the layer outputs, is P wide: (o tanh(c)) W_p, with `projection` W_p (H, P) (Sak et
    al. 2014).

    >>> import tinygrad_like as tg
    >>> from tinygrad_like import nn
    >>> layer = nn.LSTM(8, 16, num_layers=2)
    >>> out, (h, c) = layer(tg.randn((4, 10, 8)), lengths=[10, 3, 7, 1])
    >>> out.shape, h.shape, c.shape
    ((4, 10, 16), (2, 4, 16), (2, 4, 16))
    """

    gates, biases = 4, 4

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        forget_bias: float = 0.0,
        proj_size: int = 0,
    ):
        proj_size = arguments.integer("LSTM", "proj_size", proj_size, 0)
        super().__init__(n_in, n_hidden, num_layers, bidirectional, dropout, bias, proj_size)
        self.forget_bias = arguments.number("LSTM", "forget_bias", forget_bias)
        if self.forget_bias and not bias:
            raise ValueError(f"[LSTM] forget_bias is {forget_bias}, but there is no bias")
        for *_, p in self.directions() if self.forget_bias else ():
            p["bias"].data[n_hidden : 2 * n_hidden] += self.forget_bias

    def forward(
        self, x: Tensor, state: tuple | None = None, *, lengths: Any = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if state is None:
            state = None, None
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise TypeError(f"[LSTM] the state is a {type(state).__name__}, expected a pair (h, c)")
        out, (h, c) = self._run(lstm, x, tuple(state), lengths)
        return out, (h, c)


def detach_state(state: Any) -> Any:
    """A state, h or (h, c), without its history: for truncated back-propagation through time.

    for x, y in pieces:
        out, state = layer(x, state)
        loss(out, y).backward()
        state = nn.detach_state(state)
    """
    if isinstance(state, (tuple, list)):
        return tuple(map(detach_state, state))
    return None if state is None else state.detach()
