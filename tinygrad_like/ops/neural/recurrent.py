"""Recurrent layers over whole sequences: rnn, gru, lstm, each for one layer in one direction.

x is (N, T, D), a state is (N, H). The gates stand side by side, in blocks of H columns:

    rnn    weight (D, H)      recurrent (H, H)      bias (H,)
    gru    weight (D, 3 H)    recurrent (H, 3 H)    bias (4 H,)    r, z, n; and n's recurrent bias
    lstm   weight (D, 4 H)    recurrent (H, 4 H)    bias (4 H,)    i, f, o, g

Each is one fused op. Its composite, a loop over the steps in plain ops, spells out the formulas.
"""

import inspect

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    Batched,
    Tensor,
    all_examples,
    backend_of,
    check_choice,
    check_flag,
    composed,
    errors,
    in_half,
    op,
)
from tinygrad_like.engine.modes import tell_of_copy
from tinygrad_like.ops.arrays.create import zeros
from tinygrad_like.ops.arrays.shape import concatenate, split, stack
from tinygrad_like.ops.elements.activation import relu, sigmoid
from tinygrad_like.ops.elements.compare import less
from tinygrad_like.ops.elements.elementwise import tanh, where
from tinygrad_like.ops.matrices.linalg import linear, matmul
from tinygrad_like.ops.reductions.reduce import sum

NONLINEARITIES = {"tanh": tanh, "relu": relu}


def _unrolled(step, inputs, states, lengths, reverse):
    """Run `step(input_t, *states) -> states` over the time of `inputs` (N, T, ...).

    Returns (out, *states): the first state after each step, (N, T, H), and all after the last.
    """
    count = inputs.shape[1]
    outs = [None] * count
    for t in range(count)[::-1] if reverse else range(count):
        new = step(inputs[:, t], *states)
        if lengths is None:
            states, outs[t] = new, new[0]
        else:
            live = (lengths > t)[:, None]
            states = [where(live, n, s) for n, s in zip(new, states, strict=True)]
            outs[t] = where(live, new[0], 0)
    n, size = states[0].shape
    return stack(outs, axis=1) if outs else _zeros_beside(inputs, n, 0, size), *states


def _start(state, x, recurrent):
    """The first state, by default zeros."""
    return _zeros_beside(x, x.shape[0], recurrent.shape[0]) if state is None else state


def _zeros_beside(x, *shape):
    return zeros(shape, dtype=x.dtype, device=backend_of(x).device)


def _rnn_unrolled(x, weight, recurrent, bias, h0, lengths, reverse, nonlinearity):
    activate = NONLINEARITIES[nonlinearity]

    def step(a, h):
        return (activate(a + h @ recurrent),)

    start = [_start(h0, x, recurrent)]
    return _unrolled(step, linear(x, weight, bias), start, lengths, reverse)


def _layer_of_all(call, arrays, attributes):
    """The rule by which vmap runs a layer on all examples: they are so many more sequences."""
    x, *weights = arrays[:4]
    if any(w.mapped for w in weights):
        return call.by_definition(arrays, attributes)
    lengths = _lengths_of_all(call, attributes["lengths"])
    shared = (w.inner for w in weights)
    states = map(call.folded, arrays[4:])
    out = call(call.folded(x), *shared, *states, **{**attributes, "lengths": lengths})
    if call.extra is not None:
        call.unfold_extra()
    return tuple(map(call.unfolded, out))


def _lengths_of_all(call, lengths):
    """The lengths (N,) of one example's sequences as those of all, (size N,)."""
    if type(lengths) is Batched:
        return call.raw_folded(lengths)
    return None if lengths is None else backend.of(lengths).xp.tile(lengths, call.size)


def _layer_backward_of_all(call, g, be, *saved):
    """The rule by which vmap differentiates a layer whose weights all examples share.

    As if the gates' sums were the layer's input, and its weight the identity, the kernel gives
    their gradients. Those of each example's weights are products with them.
    """
    kernel = call.op.backward
    names = list(inspect.signature(kernel).parameters)[2:]
    have = dict(zip(names, saved, strict=True))
    x, weight, recurrent, h0 = (have[name] for name in ("x", "weight", "recurrent", "h0"))
    reverse, lengths, needs = have["reverse"], have["lengths"], have["needs"]
    unknown = reverse and lengths is not None and h0 is not None  # where a sequence begins
    if weight.mapped or recurrent.mapped or unknown or not x.shape[1]:
        return NotImplemented
    weights = {"weight": call.shared(weight), "recurrent": call.shared(recurrent)}
    raw = {n: weights[n] if n in weights else call.raw_folded(value) for n, value in have.items()}
    x, weight, xp = raw["x"], raw["weight"], call.raw(be).xp
    gates = weight.shape[1]
    raw |= {
        "x": xp.zeros((*x.shape[:2], gates), x.dtype),
        "weight": xp.eye(gates, dtype=x.dtype),
        "lengths": _lengths_of_all(call, lengths),
        "needs": (True, False, False, False, *needs[4:]),
    }
    da, _, _, _, *dstates = kernel(call.raw_folded(g), call.raw(be), *raw.values())
    at_hidden = at_bias = da
    if call.op is _gru.op:
        r, (first, second, n) = raw["gates"][..., : gates // 3], split(da, 3, axis=-1)
        at_hidden = concatenate([first, second, n * r], axis=-1)
        at_bias = concatenate([da, n * r], axis=-1)
    before = _states_before(raw["out"][0], raw["h0"], reverse)

    def rows(a):
        return a.reshape(call.size, -1, a.shape[-1])

    return call.gradients(
        [
            call.unfolded(matmul(da, weight.T)) if needs[0] else None,
            matmul(rows(x).swapaxes(1, 2), rows(da)) if needs[1] else None,
            matmul(rows(before).swapaxes(1, 2), rows(at_hidden)) if needs[2] else None,
            sum(rows(at_bias), axis=1) if needs[3] else None,
            *map(call.unfolded, dstates),
        ]
    )


def _states_before(states, first, reverse):
    """The state (N, T, H) before each step, from those after the steps."""
    begin = states[:, :1] * 0 if first is None else first[:, None]
    if reverse:
        return concatenate([states[:, 1:], begin], axis=1)
    return concatenate([begin, states[:, :-1]], axis=1)


def _rnn_backward(g, be, x, weight, recurrent, h0, out, lengths, reverse, nonlinearity, needs):
    return be.k.rnn_backward(
        *g, x, weight, recurrent, h0, out[0], lengths, reverse, nonlinearity, needs
    )


@op(
    autocast=in_half,
    several=True,
    batch=_layer_of_all,
    batch_backward=_layer_backward_of_all,
    composite=_rnn_unrolled,
    backward=_rnn_backward,
)
def _rnn(be, x, weight, recurrent, bias, h0=None, *, lengths, reverse, nonlinearity):
    return be.k.rnn(x, weight, recurrent, bias, h0, lengths, reverse, nonlinearity)


@composed
def rnn(x, weight, recurrent, bias, h0=None, *, lengths=None, reverse=False, nonlinearity="tanh"):
    """h_t = tanh(x_t W + h_(t-1) U + b), or relu: the plain recurrent network (Elman 1990).

    Args:
        x: (N, T, D). weight W: (D, H). recurrent U: (H, H). bias b: (H,).
        h0: the first state, (N, H); None: zeros.
        lengths: (N,) integers from 0 to T, or None: the number of steps of each sequence. Steps
            beyond it leave the state unchanged, have output 0, and their x is ignored.
        reverse: run from each sequence's last step to its first; outputs stay in their places.
        nonlinearity: `"tanh"` or `"relu"`.

    Returns:
        (out, h): all states (N, T, H), and the last one (N, H).

    Raises:
        ValueError: for shapes, lengths or a nonlinearity that do not fit. TypeError: for an x
            that is not floating, and lengths that are not integers.
    """
    check_choice("rnn", "nonlinearity", nonlinearity, NONLINEARITIES)
    reverse = check_flag("rnn", "reverse", reverse)
    _check("rnn", x, weight, recurrent, bias, 1, 1, h0=h0)
    x, lengths = _cut_to_length("rnn", x, lengths)
    return _rnn(
        x, weight, recurrent, bias, h0, lengths=lengths, reverse=reverse, nonlinearity=nonlinearity
    )


def _gru_unrolled(x, weight, recurrent, bias, h0, lengths, reverse):
    size = recurrent.shape[0]

    def step(a, h):
        b = h @ recurrent
        r, z = split(sigmoid(a[:, : 2 * size] + b[:, : 2 * size]), 2, axis=1)
        n = tanh(a[:, 2 * size :] + r * (b[:, 2 * size :] + bias[3 * size :]))
        return (n + z * (h - n),)

    inputs = linear(x, weight, bias[: 3 * size])
    return _unrolled(step, inputs, [_start(h0, x, recurrent)], lengths, reverse)


def _gru_backward(g, be, x, weight, recurrent, h0, out, gates, lengths, reverse, needs):
    return be.k.gru_backward(*g, x, weight, recurrent, h0, out[0], gates, lengths, reverse, needs)


@op(
    autocast=in_half,
    several=True,
    batch=_layer_of_all,
    batch_backward=_layer_backward_of_all,
    composite=_gru_unrolled,
    backward=_gru_backward,
    saves=("gates",),
)
def _gru(be, x, weight, recurrent, bias, h0=None, *, lengths, reverse):
    out, h, gates = be.k.gru(x, weight, recurrent, bias, h0, lengths, reverse)
    return (out, h), (gates,)


@composed
def gru(x, weight, recurrent, bias, h0=None, *, lengths=None, reverse=False):
    """h_t = (1 - z) n + z h_(t-1), the gated recurrent unit (Cho et al. 2014) as in cuDNN:

        r = sigmoid(x_t W_r + h_(t-1) U_r + b_r)    how much of the past n sees
        z = sigmoid(x_t W_z + h_(t-1) U_z + b_z)    how much of the past stays
        n = tanh(x_t W_n + b_n + r (h_(t-1) U_n + c_n))

    Args:
        x: (N, T, D). weight W_r, W_z, W_n: (D, 3 H). recurrent U_r, U_z, U_n: (H, 3 H).
        bias: b_r, b_z, b_n, c_n: (4 H,).
        h0, lengths, reverse: see `rnn`.

    Returns:
        (out, h): all states (N, T, H), and the last one (N, H).

    Raises as `rnn` does.
    """
    reverse = check_flag("gru", "reverse", reverse)
    _check("gru", x, weight, recurrent, bias, 3, 4, h0=h0)
    x, lengths = _cut_to_length("gru", x, lengths)
    return _gru(x, weight, recurrent, bias, h0, lengths=lengths, reverse=reverse)


def _lstm_unrolled(x, weight, recurrent, bias, h0, c0, lengths, reverse):
    size = recurrent.shape[0]

    def step(a, h, c):
        a = a + h @ recurrent
        i, f, o = split(sigmoid(a[:, : 3 * size]), 3, axis=1)
        c = f * c + i * tanh(a[:, 3 * size :])
        return o * tanh(c), c

    start = [_start(h0, x, recurrent), _start(c0, x, recurrent)]
    return _unrolled(step, linear(x, weight, bias), start, lengths, reverse)


def _lstm_backward(g, be, x, weight, recurrent, h0, c0, out, gates, cells, lengths, reverse, needs):
    return be.k.lstm_backward(
        *g, x, weight, recurrent, h0, c0, out[0], gates, cells, lengths, reverse, needs
    )


@op(
    autocast=in_half,
    several=True,
    batch=_layer_of_all,
    batch_backward=_layer_backward_of_all,
    composite=_lstm_unrolled,
    backward=_lstm_backward,
    saves=("gates", "cells"),
)
def _lstm(be, x, weight, recurrent, bias, h0=None, c0=None, *, lengths, reverse):
    out, h, c, *kept = be.k.lstm(x, weight, recurrent, bias, h0, c0, lengths, reverse)
    return (out, h, c), kept


def _lstm_projected(x, weight, recurrent, bias, projection, h0, c0, lengths, reverse):
    """(out, h, c) of an lstm whose h = (o tanh(c)) projection is read by the next step."""
    size = projection.shape[0]

    def step(a, h, c):
        a = a + h @ recurrent
        i, f, o = split(sigmoid(a[:, : 3 * size]), 3, axis=1)
        c = f * c + i * tanh(a[:, 3 * size :])
        return (o * tanh(c)) @ projection, c

    h0 = _start(h0, x, recurrent)
    c0 = _start(c0, x, projection)
    return _unrolled(step, linear(x, weight, bias), [h0, c0], lengths, reverse)


@composed
def lstm(
    x, weight, recurrent, bias, h0=None, c0=None, *, lengths=None, reverse=False, projection=None
):
    """c_t = f c_(t-1) + i g and h_t = o tanh(c_t), long short-term memory:

        i, f, o = sigmoid(x_t W + h_(t-1) U + b)    write, keep (forget), read
        g = tanh(x_t W_g + h_(t-1) U_g + b_g)       what is written

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000 for the forget gate.

    Args:
        x: (N, T, D). weight: (D, 4 H), recurrent: (H, 4 H) and bias: (4 H,), in blocks i, f, o, g.
        h0, c0: the first state and cell, (N, H); None: zeros.
        lengths, reverse: see `rnn`.
        projection: (H, P), or None: then h_t = (o tanh(c_t)) projection, of width P, and so are
            h0 (N, P), recurrent (P, 4 H) and the outputs (Sak et al. 2014). It is computed step by
            step, in plain ops.

    Returns:
        (out, h, c): all states (N, T, H), the last one and the last cell (N, H).

    Raises as `rnn` does.
    """
    reverse = check_flag("lstm", "reverse", reverse)
    if projection is not None:
        _check_projection(x, weight, recurrent, bias, projection, h0, c0)
        x, lengths = _cut_to_length("lstm", x, lengths)
        return _lstm_projected(x, weight, recurrent, bias, projection, h0, c0, lengths, reverse)
    _check("lstm", x, weight, recurrent, bias, 4, 4, h0=h0, c0=c0)
    x, lengths = _cut_to_length("lstm", x, lengths)
    return _lstm(x, weight, recurrent, bias, h0, c0, lengths=lengths, reverse=reverse)


def _check(name, x, weight, recurrent, bias, gates, biases, **states):
    """Raise unless the shapes fit, with `gates` blocks in the weights and `biases` in the bias."""
    if x.ndim != 3:
        hint = "; give token ids to an Embedding first" if x.dtype.kind in "iu" else ""
        raise ValueError(f"[{name}] x is {x.shape}, expected (N, T, D){hint}")
    if x.dtype.kind not in INEXACT:
        raise TypeError(f"[{name}] x has dtype {x.dtype}, expected a floating one")
    blocks = f"{gates} H" if gates > 1 else "H"
    size = recurrent.shape[0] if recurrent.ndim == 2 else 0
    if recurrent.ndim != 2 or recurrent.shape[1] != gates * size:
        raise ValueError(f"[{name}] recurrent is {recurrent.shape}, expected (H, {blocks})")
    if weight.ndim != 2 or weight.shape[1] != gates * size:
        raise ValueError(
            f"[{name}] weight is {weight.shape}, expected (D, {gates * size}): (D, {blocks}), as "
            f"recurrent is {recurrent.shape}"
        )
    if x.shape[2] != weight.shape[0]:
        raise ValueError(
            f"[{name}] x has {x.shape[2]} features, weight expects {weight.shape[0]} "
            f"(x: {x.shape}, weight: {weight.shape})"
        )
    if bias.shape != (biases * size,):
        raise ValueError(f"[{name}] bias is {bias.shape}, expected ({biases * size},)")
    for what, state in states.items():
        if state is not None and state.shape != (x.shape[0], size):
            raise ValueError(
                f"[{name}] {what} is {state.shape}, expected (N, H): {(x.shape[0], size)}"
            )


def _check_projection(x, weight, recurrent, bias, projection, h0, c0):
    """Raise unless the shapes of a projected lstm fit: those of others, and the projection's."""
    if projection.ndim != 2 or recurrent.shape != (projection.shape[1], 4 * projection.shape[0]):
        raise ValueError(
            f"[lstm] projection is {projection.shape}, recurrent is {recurrent.shape}, expected "
            "(H, P) and (P, 4 H)"
        )
    size, width = projection.shape
    whole = np.empty((size, 4 * size), np.bool_)  # a recurrent matrix without a projection
    _check("lstm", x, weight, whole, bias, 4, 4, c0=c0)
    if h0 is not None and h0.shape != (x.shape[0], width):
        raise ValueError(f"[lstm] h0 is {h0.shape}, expected (N, P): {(x.shape[0], width)}")


def _cut_to_length(name, x, lengths):
    """(x with zeros beyond `lengths`, a copy of lengths as an array on the device of x)."""
    if lengths is None:
        return x, None
    errors.refuse_masked(name, "lengths", lengths)
    given, lengths = lengths, lengths.data if isinstance(lengths, Tensor) else lengths
    if backend.of(lengths) is None:
        lengths = np.asarray(lengths)
    n, count = x.shape[:2]
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"[{name}] lengths have dtype {lengths.dtype}, expected integers")
    if lengths.shape != (n,):
        raise ValueError(f"[{name}] lengths are {lengths.shape}, expected ({n},) (x: {x.shape})")
    raw = all_examples(lengths)
    if raw.size and (raw.min() < 0 or raw.max() > count):
        raise ValueError(
            f"[{name}] lengths are from {raw.min()} to {raw.max()}, expected 0 to {count} "
            f"(x: {x.shape})"
        )
    be = backend_of(x)
    if type(lengths) is not Batched:
        lengths = backend.of(lengths).to_host(lengths)
    copy = be.from_host(lengths.astype(np.int64))
    tell_of_copy(given._array if isinstance(given, Tensor) else given, copy)
    recorded = isinstance(given, Tensor) and backend_of(given) is be  # where the lengths come from
    live = less(be.from_host(np.arange(count)), (given if recorded else copy)[:, None])
    return where(live[:, :, None], x, 0), copy
