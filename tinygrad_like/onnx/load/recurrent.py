"""RNN, GRU and LSTM of ONNX: the layers of this library where they fit, else step by step.

Weights W (directions, gates H, D), R (directions, gates H, H), bias B (directions, 2 gates H).
With layout 0 sequences are x (T, N, D), with layout 1 x (N, T, D).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.shapes import refuse_unless
from tinygrad_like.onnx.load.table import Host, integers, runs
from tinygrad_like.ops.arrays import create
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements import activation
from tinygrad_like.ops.elements.elementwise import clip, tanh, where
from tinygrad_like.ops.neural import recurrent

ACTIVATIONS: dict[str, Callable] = {
    "Relu": activation.relu,
    "Tanh": tanh,
    "Sigmoid": activation.sigmoid,
    "Softsign": activation.softsign,
    "Softplus": activation.softplus,
}
# The attributes of all three ops, and what they are if a node does not say.
OPTIONS = {
    "activation_alpha": None,
    "activation_beta": None,
    "activations": None,
    "clip": 0.0,
    "direction": "forward",
    "hidden_size": None,
    "layout": 0,
}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


class Layer(NamedTuple):
    """One direction: x (N, T, D), and the weights as matrices to multiply with from the right."""

    x: Any
    weight: Any  # (D, gates H)
    recurrent: Any  # (H, gates H)
    bias: tuple[Any, Any]  # of the inputs, of the state: each (gates H,)
    h: Any
    c: Any
    peepholes: Any
    lengths: Any
    reverse: bool
    activations: tuple[str, ...]
    clip: float  # the bound of what activations get, 0: none

    def blocks(self, order):
        """The Layer with the blocks of its gates in another order."""
        return self._replace(
            weight=_reordered(self.weight, order),
            recurrent=_reordered(self.recurrent, order),
            bias=tuple(_reordered(b, order) for b in self.bias),
        )


def _reordered(x, order):
    size = x.shape[-1] // len(order)
    return arrays.concatenate([x[..., k * size : (k + 1) * size] for k in order], axis=-1)


def _run(op, gates, function, usual, x, w, r, b, lengths, states, peepholes, options):
    """The outputs of all directions, (Y, Y_h, Y_c or nothing)."""
    options = OPTIONS | options
    refuse_unless(DIRECTIONS, op, "direction", options["direction"])
    sides = DIRECTIONS[options["direction"]]
    names = tuple(options["activations"] or usual * len(sides))
    if options["activation_alpha"] or options["activation_beta"]:
        raise Refused(f"[onnx] {op} with activation_alpha or activation_beta")
    for name in names:
        refuse_unless(ACTIVATIONS, op, "activations", name)
    batch_first = options["layout"] == 1
    x = x if batch_first else arrays.swapaxes(x, 0, 1)
    if lengths is not None:
        lengths = np.asarray(integers(lengths))
        lengths = None if (lengths == x.shape[1]).all() else lengths
    size, results = r.shape[-1], []
    for k, reverse in enumerate(sides):
        if b is None:
            bias = (create.zeros(gates * size, dtype=x.dtype, device=x.device),) * 2
        else:
            bias = b[k][: gates * size], b[k][gates * size :]
        begin = [None if s is None else (s[:, k] if batch_first else s[k]) for s in states]
        h, c = (*begin, None)[:2]
        own = names[k * len(usual) : (k + 1) * len(usual)]
        hole = None if peepholes is None else peepholes[k]
        layer = Layer(x, w[k].T, r[k].T, bias, h, c, hole, lengths, reverse, own, options["clip"])
        results.append(function(layer))
    out, *last = zip(*results, strict=True)
    y = arrays.stack(out, axis=2)  # (N, T, directions, H)
    y = y if batch_first else arrays.transpose(y, (1, 2, 0, 3))
    return (y, *(arrays.stack(part, axis=1 if batch_first else 0) for part in last))


def _unrolled(layer, count, step):
    """Run `step(gates of the input, bound, *states) -> states`, one time step after the other.

    `count` is the number of states; `bound` cuts off what an activation gets.
    """
    x = layer.x
    n, t, size = x.shape[0], x.shape[1], layer.recurrent.shape[0]
    zeros = create.zeros((n, size), dtype=x.dtype, device=x.device)
    states = [zeros if s is None else s for s in (layer.h, layer.c)[:count]]
    inputs = x @ layer.weight + layer.bias[0]

    def bound(a):
        return clip(a, min=-layer.clip, max=layer.clip) if layer.clip else a

    outputs = [zeros] * t
    for k in reversed(range(t)) if layer.reverse else range(t):
        new = step(inputs[:, k], bound, *states)
        if layer.lengths is None:
            states, outputs[k] = list(new), new[0]
            continue
        runs_on = Tensor((k < layer.lengths)[:, None], device=x.device)
        states = [where(runs_on, a, old) for a, old in zip(new, states, strict=True)]
        outputs[k] = where(runs_on, new[0], 0.0)
    return (arrays.stack(outputs, axis=1), *states)


@runs("RNN", since=7, options=OPTIONS)
def rnn(x, w, r, b=None, lengths: Host = None, h=None, *, outputs=1, **options):
    """This library's own for tanh and relu without a bound, else step by step."""

    def run(layer):
        (name,) = layer.activations
        if name in ("Tanh", "Relu") and not layer.clip:
            return recurrent.rnn(
                layer.x, layer.weight, layer.recurrent, layer.bias[0] + layer.bias[1], layer.h,
                lengths=layer.lengths, reverse=layer.reverse, nonlinearity=name.lower(),
            )  # fmt: skip
        f = ACTIVATIONS[name]

        def step(a, bound, h):
            return (f(bound(a + h @ layer.recurrent + layer.bias[1])),)

        return _unrolled(layer, 1, step)

    found = _run("RNN", 1, run, ("Tanh",), x, w, r, b, lengths, [h], None, options)
    return found[:outputs]


@runs("GRU", since=7, options=OPTIONS)
def gru(
    x, w, r, b=None, lengths: Host = None, h=None, *, linear_before_reset=0, outputs=1, **options
):
    """Blocks z, r, h; with linear_before_reset the state is multiplied before it is reset."""

    def run(layer):
        if linear_before_reset and layer.activations == ("Sigmoid", "Tanh") and not layer.clip:
            ours, size = layer.blocks((1, 0, 2)), layer.recurrent.shape[0]
            inner, outer = ours.bias
            bias = (inner[: 2 * size] + outer[: 2 * size], inner[2 * size :], outer[2 * size :])
            return recurrent.gru(
                layer.x, ours.weight, ours.recurrent, arrays.concatenate(bias, axis=0), layer.h,
                lengths=layer.lengths, reverse=layer.reverse,
            )  # fmt: skip
        f, g = (ACTIVATIONS[name] for name in layer.activations)
        size = layer.recurrent.shape[0]
        at_gates, at_new = layer.recurrent[:, : 2 * size], layer.recurrent[:, 2 * size :]
        to_gates, to_new = layer.bias[1][: 2 * size], layer.bias[1][2 * size :]

        def step(a, bound, h):
            gates = f(bound(a[:, : 2 * size] + h @ at_gates + to_gates))
            z, reset = gates[:, :size], gates[:, size:]
            if linear_before_reset:
                rest = reset * (h @ at_new + to_new)
            else:
                rest = (reset * h) @ at_new + to_new
            new = g(bound(a[:, 2 * size :] + rest))
            return (new + z * (h - new),)

        return _unrolled(layer, 1, step)

    found = _run("GRU", 3, run, ("Sigmoid", "Tanh"), x, w, r, b, lengths, [h], None, options)
    return found[:outputs]


@runs("LSTM", since=7, options=OPTIONS)
def lstm(
    x, w, r, b=None, lengths: Host = None, h=None, c=None, p=None, *, input_forget=0, outputs=1,
    **options,
):  # fmt: skip
    """Blocks i, o, f, c; peepholes p (directions, 3 H) of i, o, f."""

    def run(layer):
        special = layer.clip or input_forget or layer.peepholes is not None
        if layer.activations == ("Sigmoid", "Tanh", "Tanh") and not special:
            ours = layer.blocks((0, 2, 1, 3))
            return recurrent.lstm(
                layer.x, ours.weight, ours.recurrent, ours.bias[0] + ours.bias[1], layer.h, layer.c,
                lengths=layer.lengths, reverse=layer.reverse,
            )  # fmt: skip
        return _unrolled(layer, 2, _lstm_step(layer, input_forget))

    usual = ("Sigmoid", "Tanh", "Tanh")
    return _run("LSTM", 4, run, usual, x, w, r, b, lengths, [h, c], p, options)[:outputs]


def _lstm_step(layer, input_forget):
    """A step of an LSTM with peepholes, other activations, or one gate for input and forgetting."""
    f, g, out = (ACTIVATIONS[name] for name in layer.activations)
    size = layer.recurrent.shape[0]
    holes = (0.0, 0.0, 0.0)
    if layer.peepholes is not None:
        holes = tuple(layer.peepholes[k * size : (k + 1) * size] for k in range(3))

    def step(a, bound, h, c):
        a = a + h @ layer.recurrent + layer.bias[1]
        i, o, forget, new = (a[:, k * size : (k + 1) * size] for k in range(4))
        i = f(bound(i + holes[0] * c))
        forget = 1 - i if input_forget else f(bound(forget + holes[2] * c))
        c = forget * c + i * g(bound(new))
        return f(bound(o + holes[1] * c)) * out(c), c

    return step
