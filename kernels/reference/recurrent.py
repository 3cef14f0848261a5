"""Recurrent layers over whole sequences: one layer, one direction, forward and backward.

    x (N, T, D)    weight W (D, G H)    recurrent U (H, G H)    bias b    h0, c0 (N, H)

The blocks of H columns, one for each gate, stand side by side:

    rnn    the state itself
    gru    r, z, n; the bias has a fourth block, which is added to the recurrent part of n
    lstm   i, f, o, g: the three sigmoids, then the tanh

h0 and c0 may be None: zeros. `lengths` is (N,) or None: beyond its length a sequence keeps its
state, its outputs are 0, and x, which must be finite, is ignored. With `reverse` time runs from the
last step to the first: from each sequence's own last step, by its length.

A backward kernel gets the gradients of all outputs, and `needs`, a bool for each input from x to
h0 or c0: a gradient that is not needed is None. The inputs of all steps are multiplied by W at
once, and so are the gradients of W, U and x.
"""

import numpy as np

from .contract import kernel
from .elementwise import sigmoid
from .precision import narrow, result_dtype, wide_dtype
from .reduce import sum_axes


@kernel
def rnn(x, weight, recurrent, bias, h0, lengths, reverse, nonlinearity):
    """(out, h) of h' = tanh(x W + h U + b), or relu: (N, T, H) and the last state (N, H)."""
    (x, weight, recurrent, bias, h0), dtype = _alike(x, weight, recurrent, bias, h0)
    inputs, h = _inputs(x, weight, bias), _start(h0, x, recurrent)
    out = _zeros(x, recurrent)
    for t, live in _steps(x.shape[1], lengths, reverse):
        a = inputs[:, t] + h @ recurrent
        new = np.tanh(a) if nonlinearity == "tanh" else np.where(a.real <= 0, 0, a)
        out[:, t] = _keep(live, new, 0)
        h = _keep(live, new, h)
    return narrow(out, dtype), narrow(h, dtype)


@kernel
def rnn_backward(dout, dh, x, weight, recurrent, h0, out, lengths, reverse, nonlinearity, needs):
    """(dx, dweight, drecurrent, dbias, dh0), from the outputs."""
    (dout, dh, x, weight, recurrent, h0, out), dtype = _alike(
        dout, dh, x, weight, recurrent, h0, out
    )
    slope = 1 - out * out if nonlinearity == "tanh" else out.real > 0
    da = np.zeros_like(out)
    for t, live in reversed(_steps(x.shape[1], lengths, reverse)):
        da[:, t] = _keep(live, (dh + dout[:, t]) * slope[:, t], 0)
        dh = _keep(live, da[:, t] @ recurrent.swapaxes(0, 1), dh)
    before = _before(out, _start(h0, x, recurrent), lengths, reverse)
    grads = *_products(x, weight, before, da, da, da, needs), dh if needs[4] else None
    return _narrowed(grads, dtype)


@kernel
def gru(x, weight, recurrent, bias, h0, lengths, reverse):
    """(out, h, gates) of h' = (1 - z) n + z h, with

        r, z = sigmoid(x W + h U + b)    n = tanh(x W_n + b_n + r s)    s = h U_n + c_n

    where c_n is the bias's fourth block. `gates` (N, T, 4 H) is r, z, n, s, for the backward.
    """
    (x, weight, recurrent, bias, h0), dtype = _alike(x, weight, recurrent, bias, h0)
    size = recurrent.shape[0]
    h = _start(h0, x, recurrent)
    out, gates = _zeros(x, recurrent), _zeros(x, recurrent, 4)
    gates[:, :, : 3 * size] = _inputs(x, weight, bias[: 3 * size])
    for t, live in _steps(x.shape[1], lengths, reverse):
        step, a = gates[:, t], h @ recurrent
        step[:, : 2 * size] = sigmoid(step[:, : 2 * size] + a[:, : 2 * size])
        step[:, 3 * size :] = a[:, 2 * size :] + bias[3 * size :]
        r, z, n, s = _blocks(step, 4)
        n[:] = np.tanh(n + r * s)
        new = n + z * (h - n)
        out[:, t] = _keep(live, new, 0)
        h = _keep(live, new, h)
    return narrow(out, dtype), narrow(h, dtype), gates


@kernel
def gru_backward(dout, dh, x, weight, recurrent, h0, out, gates, lengths, reverse, needs):
    """(dx, dweight, drecurrent, dbias, dh0), from the outputs and `gates`."""
    (dout, dh, x, weight, recurrent, h0, out), dtype = _alike(
        dout, dh, x, weight, recurrent, h0, out
    )
    before = _before(out, _start(h0, x, recurrent), lengths, reverse)
    # With respect to r, z and n before their sigmoid or tanh, and with respect to s.
    da = np.zeros_like(out, shape=gates.shape)
    for t, live in reversed(_steps(x.shape[1], lengths, reverse)):
        r, z, n, s = _blocks(gates[:, t], 4)
        dnew = dh + dout[:, t]
        dn = dnew * (1 - z) * (1 - n * n)
        dr = dn * s * r * (1 - r)
        dz = dnew * (before[:, t] - n) * z * (1 - z)
        da[:, t] = _keep(live, np.concatenate([dr, dz, dn, dn * r], axis=1), 0)
        through_products = _recurrent_part(da[:, t]) @ recurrent.swapaxes(0, 1)
        dh = _keep(live, dnew * z + through_products, dh)
    at_input = da[:, :, : 3 * recurrent.shape[0]]
    grads = _products(x, weight, before, at_input, _recurrent_part(da), da, needs)
    return _narrowed((*grads, dh if needs[4] else None), dtype)


@kernel
def lstm(x, weight, recurrent, bias, h0, c0, lengths, reverse):
    """(out, h, c, gates, cells) of c' = f c + i g and h' = o tanh(c'), with

        i, f, o = sigmoid(x W + h U + b)    g = tanh(x W_g + h U_g + b_g)

    `gates` (N, T, 4 H) is i, f, o, g and `cells` (N, T, H) all c', for the backward.
    """
    (x, weight, recurrent, bias, h0, c0), dtype = _alike(x, weight, recurrent, bias, h0, c0)
    h, c = _start(h0, x, recurrent), _start(c0, x, recurrent)
    gates = _inputs(x, weight, bias)
    out, cells = _zeros(x, recurrent), _zeros(x, recurrent)
    sigmoids = 3 * recurrent.shape[0]
    for t, live in _steps(x.shape[1], lengths, reverse):
        step = gates[:, t]
        step += h @ recurrent
        step[:, :sigmoids] = sigmoid(step[:, :sigmoids])
        step[:, sigmoids:] = np.tanh(step[:, sigmoids:])
        i, f, o, g = _blocks(step, 4)
        cell = f * c + i * g
        new = o * np.tanh(cell)
        cells[:, t], out[:, t] = cell, _keep(live, new, 0)
        h, c = _keep(live, new, h), _keep(live, cell, c)
    return narrow(out, dtype), narrow(h, dtype), narrow(c, dtype), gates, cells


@kernel
def lstm_backward(
    dout, dh, dc, x, weight, recurrent, h0, c0, out, gates, cells, lengths, reverse, needs
):
    """(dx, dweight, drecurrent, dbias, dh0, dc0), from the outputs, `gates` and `cells`."""
    (dout, dh, dc, x, weight, recurrent, h0, c0, out), dtype = _alike(
        dout, dh, dc, x, weight, recurrent, h0, c0, out
    )
    before = _before(cells, _start(c0, x, recurrent), lengths, reverse)
    tanh_c = np.tanh(cells)
    da = np.zeros_like(out, shape=gates.shape)
    for t, live in reversed(_steps(x.shape[1], lengths, reverse)):
        i, f, o, g = _blocks(gates[:, t], 4)
        dnew = dh + dout[:, t]
        dcell = dc + dnew * o * (1 - tanh_c[:, t] * tanh_c[:, t])
        di = dcell * g * i * (1 - i)
        df = dcell * before[:, t] * f * (1 - f)
        do = dnew * tanh_c[:, t] * o * (1 - o)
        dg = dcell * i * (1 - g * g)
        da[:, t] = _keep(live, np.concatenate([di, df, do, dg], axis=1), 0)
        dh = _keep(live, da[:, t] @ recurrent.swapaxes(0, 1), dh)
        dc = _keep(live, dcell * f, dc)
    before = _before(out, _start(h0, x, recurrent), lengths, reverse)
    grads = _products(x, weight, before, da, da, da, needs)
    return _narrowed((*grads, dh if needs[4] else None, dc if needs[5] else None), dtype)


# What the three have in common


def _alike(*arrays):
    """The arrays (or None) in one dtype to compute in, and the dtype to round the results to."""
    dtypes = [a.dtype for a in arrays if a is not None]
    dtype = wide_dtype(*dtypes)
    same = [a if a is None or a.dtype == dtype else a.astype(dtype) for a in arrays]
    return same, result_dtype(*dtypes)


def _narrowed(grads, dtype):
    return tuple(None if d is None else narrow(d, dtype) for d in grads)


def _zeros(x, recurrent, blocks=1):
    """Zeros: `blocks` elements for each sequence, step and unit."""
    return np.zeros_like(x, shape=(*x.shape[:2], blocks * recurrent.shape[0]))


def _start(state, x, recurrent):
    """A copy of the first state, or zeros."""
    if state is None:
        return np.zeros_like(x, shape=(x.shape[0], recurrent.shape[0]))
    return state.astype(x.dtype)


def _steps(count, lengths, reverse):
    """(t, live) of the steps in their order; live (N, 1), or None, says which sequences go on."""
    times = range(count)[::-1] if reverse else range(count)
    return [(t, None if lengths is None else (lengths > t)[:, None]) for t in times]


def _keep(live, new, old):
    """`new` for the sequences that are not over, `old` for the others."""
    return new if live is None else np.where(live, new, old)


def _before(states, first, lengths, reverse):
    """The state before each step, (N, T, H), from the states after the steps."""
    first = first[:, None]
    if lengths is not None:  # a reversed sequence is over at first, and has its first state
        live = np.arange(states.shape[1], like=lengths) < lengths[:, None]
        states = np.where(live[:, :, None], states, first)
    if reverse:
        return np.concatenate([states, first], axis=1)[:, 1:]
    return np.concatenate([first, states], axis=1)[:, :-1]


def _blocks(a, count):
    """The blocks of the last axis, as views."""
    size = a.shape[-1] // count
    return [a[..., k * size : (k + 1) * size] for k in range(count)]


def _recurrent_part(da):
    """Out of a GRU's gradients with respect to r, z, n and s, those that reach h U: r, z and s."""
    r, z, _, s = _blocks(da, 4)
    return np.concatenate([r, z, s], axis=-1)


def _rows(x):
    """(N, T, D) -> (N T, D)."""
    return x.reshape((x.shape[0] * x.shape[1], x.shape[2]))


def _inputs(x, weight, bias):
    """x W + b for all steps at once."""
    y = _rows(x) @ weight
    y += bias
    return y.reshape((*x.shape[:2], weight.shape[1]))


def _products(x, weight, before, at_input, at_hidden, at_bias, needs):
    """(dx, dweight, drecurrent, dbias), from the gradients of x W, h U and b."""
    at_input, at_hidden = _rows(at_input), _rows(at_hidden)
    dx = (at_input @ weight.swapaxes(0, 1)).reshape(x.shape) if needs[0] else None
    dweight = _rows(x).swapaxes(0, 1) @ at_input if needs[1] else None
    drecurrent = _rows(before).swapaxes(0, 1) @ at_hidden if needs[2] else None
    dbias = sum_axes(at_bias, (0, 1)) if needs[3] else None
    return dx, dweight, drecurrent, dbias
