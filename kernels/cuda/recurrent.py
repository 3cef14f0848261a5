"""Recurrent layers over whole sequences: products of linalg.cu, and the steps of recurrent.cu.

The contract is that of kernels/reference/recurrent.py. One product multiplies the inputs of all
steps, and one for each weight gives its gradient; in between, each step is one product and one
kernel. Half types are computed in float32 and rounded at the end.
"""

import numpy as np

from .linalg import gemm
from .machine import flat
from .machine.dtypes import WIDE, as_int64, dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source
from .reduce import sum_middle

SOURCE = Source("recurrent.cu", dtypes=("float32", "float64"))
THREADS = 128


@kernel("x weight recurrent bias h0?", others="lengths")
def rnn(x, weight, recurrent, bias, h0, lengths, reverse, nonlinearity):
    """(out, h) of h' = tanh(x W + h U + b), or relu: (N, T, H) and the last state (N, H)."""
    layer = _Layer(x, recurrent, lengths, reverse)
    if not layer.taken:
        return NotImplemented
    x, weight, recurrent, bias, h0 = layer.wide(x, weight, recurrent, bias, h0)
    inputs, h, out = layer.inputs(x, weight, bias), layer.state(h0), layer.room(1)
    for t in layer.times:
        layer.run("rnn_step", t, out, h, inputs, gemm(h, recurrent), relu=nonlinearity == "relu")
    return layer.narrow(out, h)


@kernel("dout dh x weight recurrent h0? out", others="lengths")
def rnn_backward(dout, dh, x, weight, recurrent, h0, out, lengths, reverse, nonlinearity, needs):
    """(dx, dweight, drecurrent, dbias, dh0), from the outputs."""
    layer = _Layer(x, recurrent, lengths, reverse)
    if not layer.taken:
        return NotImplemented
    x, weight, recurrent, h0, dout, dh, out = layer.wide(x, weight, recurrent, h0, dout, dh, out)
    da, step, carry, product = layer.room(1), layer.step(1), dh.copy(), None
    for t in layer.times[::-1]:
        args = da, step, carry, product, dout, out
        layer.run("rnn_step_backward", t, *args, relu=nonlinearity == "relu")
        product = gemm(step, recurrent.swapaxes(0, 1))
    grads = layer.products(x, weight, layer.before(out, h0), da, da, needs)
    return layer.narrow(*grads, layer.column_sums(da, needs[3]), _sum(carry, product, needs[4]))


@kernel("x weight recurrent bias h0? c0?", others="lengths")
def lstm(x, weight, recurrent, bias, h0, c0, lengths, reverse):
    """(out, h, c, gates, cells); gates (N, T, 4 H) is i, f, o, g and cells (N, T, H) all c'."""
    layer = _Layer(x, recurrent, lengths, reverse)
    if not layer.taken:
        return NotImplemented
    x, weight, recurrent, bias, h0, c0 = layer.wide(x, weight, recurrent, bias, h0, c0)
    gates, h, c = layer.inputs(x, weight, bias), layer.state(h0), layer.state(c0)
    out, cells = layer.room(1), layer.room(1)
    for t in layer.times:
        layer.run("lstm_step", t, out, h, c, gates, cells, gemm(h, recurrent))
    return *layer.narrow(out, h, c), gates, cells


@kernel("dout dh dc x weight recurrent h0? c0? out", others="gates cells lengths")
def lstm_backward(
    dout, dh, dc, x, weight, recurrent, h0, c0, out, gates, cells, lengths, reverse, needs
):
    """(dx, dweight, drecurrent, dbias, dh0, dc0), from the outputs, `gates` and `cells`."""
    layer = _Layer(x, recurrent, lengths, reverse)
    if not layer.taken:
        return NotImplemented
    args = x, weight, recurrent, h0, c0, dout, dh, dc, out, gates, cells
    x, weight, recurrent, h0, c0, dout, dh, dc, out, gates, cells = layer.wide(*args)
    da, step, carry, dc, product = layer.room(4), layer.step(4), dh.copy(), dc.copy(), None
    for t in layer.times[::-1]:
        args = da, step, carry, dc, product, dout, gates, cells, c0
        layer.run("lstm_step_backward", t, *args)
        product = gemm(step, recurrent.swapaxes(0, 1))
    grads = layer.products(x, weight, layer.before(out, h0), da, da, needs)
    states = _sum(carry, product, needs[4]), dc if needs[5] else None
    return layer.narrow(*grads, layer.column_sums(da, needs[3]), *states)


@kernel("x weight recurrent bias h0?", others="lengths")
def gru(x, weight, recurrent, bias, h0, lengths, reverse):
    """(out, h, gates) of h' = (1 - z) n + z h; gates (N, T, 4 H) is r, z, n, s."""
    layer = _Layer(x, recurrent, lengths, reverse)
    if not layer.taken:
        return NotImplemented
    x, weight, recurrent, bias, h0 = layer.wide(x, weight, recurrent, bias, h0)
    units = recurrent.shape[0]
    inputs, hidden_bias = layer.inputs(x, weight, bias[: 3 * units]), bias[3 * units :]
    h, out, gates = layer.state(h0), layer.room(1), layer.room(4)
    for t in layer.times:
        args = out, h, gates, inputs, gemm(h, recurrent), hidden_bias
        layer.run("gru_step", t, *args)
    return *layer.narrow(out, h), gates


@kernel("dout dh x weight recurrent h0? out", others="gates lengths")
def gru_backward(dout, dh, x, weight, recurrent, h0, out, gates, lengths, reverse, needs):
    """(dx, dweight, drecurrent, dbias, dh0), from the outputs and `gates`."""
    layer = _Layer(x, recurrent, lengths, reverse)
    if not layer.taken:
        return NotImplemented
    args = x, weight, recurrent, h0, dout, dh, out, gates
    x, weight, recurrent, h0, dout, dh, out, gates = layer.wide(*args)
    at_input, at_hidden, step = layer.room(3), layer.room(3), layer.step(3)
    carry, product, units = dh.copy(), None, recurrent.shape[0]
    for t in layer.times[::-1]:
        args = at_input, at_hidden, step, carry, product, dout, gates, out, h0
        layer.run("gru_step_backward", t, *args)
        product = gemm(step, recurrent.swapaxes(0, 1))
    grads = layer.products(x, weight, layer.before(out, h0), at_input, at_hidden, needs)
    dbias = None
    if needs[3]:
        sums = [layer.column_sums(d, True) for d in (at_input, at_hidden)]
        dbias = np.concatenate([sums[0], sums[1][2 * units :]])
    return layer.narrow(*grads, dbias, _sum(carry, product, needs[4]))


def _sum(carry, product, need):
    """The gradient of the first state: what came past U, and what came through it."""
    return carry + product if need else None


class _Layer:
    """What the three layers share in one call: sizes, order of the steps, dtype, launches."""

    def __init__(self, x, recurrent, lengths, reverse):
        self.taken = x.size > 0 and recurrent.size > 0
        self.dtype = WIDE[dtype_name(x.dtype)]  # to compute in
        (self.n, self.t, _), self.units = x.shape, recurrent.shape[0]
        self.like, self.reverse = x, bool(reverse)
        self.times = range(self.t)[::-1] if reverse else range(self.t)
        self.lengths = None if lengths is None else as_int64(lengths)

    def wide(self, *arrays):
        """The arrays (or None) in the dtype to compute in."""
        return [a if a is None else a.astype(self.dtype, copy=False) for a in arrays]

    def narrow(self, *arrays):
        """Results (or None) in the dtype of the inputs."""
        return tuple(a if a is None else a.astype(self.like.dtype, copy=False) for a in arrays)

    def room(self, blocks):
        """An unwritten array over time: (N, T, blocks H)."""
        return self._empty(self.n, self.t, blocks * self.units)

    def step(self, blocks):
        """An unwritten array of one step: (N, blocks H)."""
        return self._empty(self.n, blocks * self.units)

    def _empty(self, *shape):
        return np.empty_like(self.like, shape=shape, dtype=self.dtype)

    def state(self, start):
        """The first state, which the steps will overwrite: a copy of `start`, or zeros."""
        if start is not None:
            return start.copy()
        return np.zeros_like(self.like, shape=(self.n, self.units), dtype=self.dtype)

    def inputs(self, x, weight, bias):
        """x W + b for all steps at once: (N, T, ...)."""
        y = gemm(x.reshape(-1, x.shape[2]), weight, bias=bias)
        return y.reshape(self.n, self.t, weight.shape[1])

    def run(self, name, t, *args, **options):
        """Launch the kernel of step t."""
        sizes = self.n, self.t, self.units, t, int(self.reverse)
        blocks = -(-self.n * self.units // THREADS)
        kernel = SOURCE.kernel(name, self.dtype)
        kernel(blocks, THREADS, *args, self.lengths, *options.values(), sizes)

    def before(self, states, start):
        """The state that each step began with: (N, T, H)."""
        before = self.room(1)
        sizes = self.n, self.t, self.units, 0, int(self.reverse)
        kernel = SOURCE.kernel("states_before", self.dtype)
        args = before, states, start, self.lengths, sizes, before.size
        kernel(flat.blocks(before.size), flat.THREADS, *args)
        return before

    def products(self, x, weight, before, at_input, at_hidden, needs):
        """(dx, dweight, drecurrent), from the gradients of x W and h U."""
        at_input, at_hidden = (d.reshape(-1, d.shape[2]) for d in (at_input, at_hidden))
        dx = gemm(at_input, weight.swapaxes(0, 1)).reshape(x.shape) if needs[0] else None
        rows, states = (y.reshape(-1, y.shape[2]).swapaxes(0, 1) for y in (x, before))
        dweight = gemm(rows, at_input) if needs[1] else None
        drecurrent = gemm(states, at_hidden) if needs[2] else None
        return dx, dweight, drecurrent

    def column_sums(self, gradients, need):
        """The gradient of a bias: over all sequences and steps."""
        if not need:
            return None
        width = gradients.shape[2]
        return sum_middle(gradients.reshape(1, -1, width)).reshape(width)
