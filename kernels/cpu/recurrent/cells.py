"""One step of one sequence in each recurrent cell, forward and backward, for compiled code.

`sums` is x W + h U + b, one block of columns for each gate. Those of a GRU are n, r, z, s, of which
n has no h U and s no x W. A function computes the units lo <= j < hi: `sums`, and the `dh` of the
gradients, have only these, the other arrays have all units. The formulas are those of the
reference.
"""

from ..machine.compile import jit
from ..machine.simd import body
from ..math.vector_math import sigmoid, tanh

RNN_TANH, RNN_RELU, GRU, LSTM = range(4)


@body
def rnn_cell(relu, sums, out, h, lo, hi):
    """Write the new state to `out` and `h`."""
    sums, out, h = sums[: hi - lo], out[lo:hi], h[lo:hi]
    for j in range(out.size):
        a = sums[j]
        a = (sums.dtype.type(0) if a <= 0 else a) if relu else tanh(a)  # NaN stays NaN
        out[j] = a
        h[j] = a


@body
def rnn_gradient(relu, out, dout, dh, da, lo, hi):
    """Write the gradient with respect to `sums` to `da`."""
    out, dout, dh, da = out[lo:hi], dout[lo:hi], dh[: hi - lo], da[lo:hi]
    zero, one = out.dtype.type(0), out.dtype.type(1)
    for j in range(out.size):
        y = out[j]
        slope = (one if y > 0 else zero) if relu else one - y * y
        da[j] = (dh[j] + dout[j]) * slope


@jit
def _block(x, k, size, lo, hi):
    """The units lo <= j < hi of block k of a row, whose blocks have `size` units each."""
    return x[k * size + lo : k * size + hi]


@body
def gru_cell(sums, before, gates, out, h, lo, hi):
    """Write r, z, n, s to `gates`, and the new state to `out` and `h`."""
    size, n = out.size, hi - lo
    sum_n, sum_r, sum_z, sum_s = sums[:n], sums[n : 2 * n], sums[2 * n : 3 * n], sums[3 * n : 4 * n]
    gate_r, gate_z = _block(gates, 0, size, lo, hi), _block(gates, 1, size, lo, hi)
    gate_n, gate_s = _block(gates, 2, size, lo, hi), _block(gates, 3, size, lo, hi)
    before, out, h = before[lo:hi], out[lo:hi], h[lo:hi]
    for j in range(h.size):
        r, z, s = sigmoid(sum_r[j]), sigmoid(sum_z[j]), sum_s[j]
        new = tanh(sum_n[j] + r * s)
        gate_r[j], gate_z[j], gate_n[j], gate_s[j] = r, z, new, s
        new += z * (before[j] - new)
        out[j] = new
        h[j] = new


@body
def gru_gradient(gates, before, dout, dh, da, lo, hi):
    """Write the gradients with respect to `sums` to `da`, and to `dh` the part of the gradient with
    respect to `before` that does not pass through `sums`."""
    size = before.size
    gate_r, gate_z = _block(gates, 0, size, lo, hi), _block(gates, 1, size, lo, hi)
    gate_n, gate_s = _block(gates, 2, size, lo, hi), _block(gates, 3, size, lo, hi)
    da_n, da_r = _block(da, 0, size, lo, hi), _block(da, 1, size, lo, hi)
    da_z, da_s = _block(da, 2, size, lo, hi), _block(da, 3, size, lo, hi)
    before, dout, dh = before[lo:hi], dout[lo:hi], dh[: hi - lo]
    one = gates.dtype.type(1)
    for j in range(dh.size):
        r, z, n = gate_r[j], gate_z[j], gate_n[j]
        dnew = dh[j] + dout[j]
        dn = dnew * (one - z) * (one - n * n)
        da_n[j] = dn
        da_r[j] = dn * gate_s[j] * r * (one - r)
        da_z[j] = dnew * (before[j] - n) * z * (one - z)
        da_s[j] = dn * r
        dh[j] = dnew * z


@body
def lstm_cell(sums, before, gates, cell, out, h, lo, hi):
    """Write i, f, o, g to `gates`, the new c to `cell`, and the new state to `out` and `h`.

    `before` is the c of the step before.
    """
    size, n = out.size, hi - lo
    sum_i, sum_f, sum_o, sum_g = sums[:n], sums[n : 2 * n], sums[2 * n : 3 * n], sums[3 * n : 4 * n]
    gate_i, gate_f = _block(gates, 0, size, lo, hi), _block(gates, 1, size, lo, hi)
    gate_o, gate_g = _block(gates, 2, size, lo, hi), _block(gates, 3, size, lo, hi)
    before, cell, out, h = before[lo:hi], cell[lo:hi], out[lo:hi], h[lo:hi]
    for j in range(h.size):
        i, f, o = sigmoid(sum_i[j]), sigmoid(sum_f[j]), sigmoid(sum_o[j])
        g = tanh(sum_g[j])
        gate_i[j], gate_f[j], gate_o[j], gate_g[j] = i, f, o, g
        c = f * before[j] + i * g
        cell[j] = c
        new = o * tanh(c)
        out[j] = new
        h[j] = new


@body
def lstm_gradient(gates, before, cell, dout, dh, dc, da, lo, hi):
    """Write the gradients with respect to `sums` to `da`, and that with respect to `before`, the c
    of the step before, to `dc`."""
    size = cell.size
    gate_i, gate_f = _block(gates, 0, size, lo, hi), _block(gates, 1, size, lo, hi)
    gate_o, gate_g = _block(gates, 2, size, lo, hi), _block(gates, 3, size, lo, hi)
    da_i, da_f = _block(da, 0, size, lo, hi), _block(da, 1, size, lo, hi)
    da_o, da_g = _block(da, 2, size, lo, hi), _block(da, 3, size, lo, hi)
    before, cell, dout = before[lo:hi], cell[lo:hi], dout[lo:hi]
    dh, dc = dh[: hi - lo], dc[lo:hi]
    one = gates.dtype.type(1)
    for j in range(dh.size):
        i, f, o, g = gate_i[j], gate_f[j], gate_o[j], gate_g[j]
        tanh_c = tanh(cell[j])
        dnew = dh[j] + dout[j]
        dcell = dc[j] + dnew * o * (one - tanh_c * tanh_c)
        da_i[j] = dcell * g * i * (one - i)
        da_f[j] = dcell * before[j] * f * (one - f)
        da_o[j] = dnew * tanh_c * o * (one - o)
        da_g[j] = dcell * i * (one - g * g)
        dc[j] = dcell * f
