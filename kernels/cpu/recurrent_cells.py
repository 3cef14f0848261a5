"""One step of one sequence in each recurrent cell, forward and backward, for compiled code.

Units `lo` to `hi` are computed; `sums` holds h U for these alone, block beside block. The formulas
are those of the reference.
"""

from .compile import jit
from .vector_math import sigmoid, tanh

RNN_TANH, RNN_RELU, GRU, LSTM = range(4)


@jit
def rnn_cell(relu, out, sums, h, lo, hi):
    """`out` holds x W + b, and gets the new state, as `h` does."""
    out, sums, h = out[lo:hi], sums[: hi - lo], h[lo:hi]
    if relu:
        for j in range(out.size):
            a = out[j] + sums[j]
            a = a if a > 0 else out.dtype.type(0)
            out[j] = a
            h[j] = a
    else:
        for j in range(out.size):
            a = tanh(out[j] + sums[j])
            out[j] = a
            h[j] = a


@jit
def rnn_gradient(relu, out, dout, dh, da, lo, hi):
    out, dout, da, dh = out[lo:hi], dout[lo:hi], da[lo:hi], dh[: hi - lo]
    zero, one = out.dtype.type(0), out.dtype.type(1)
    if relu:
        for j in range(out.size):
            da[j] = dh[j] + dout[j] if out[j] > 0 else zero * (dh[j] + dout[j])
    else:
        for j in range(out.size):
            da[j] = (dh[j] + dout[j]) * (one - out[j] * out[j])


@jit
def block(x, k, size, lo, hi):
    """The units from lo to hi in block k of a row whose blocks are of so many units."""
    return x[k * size + lo : k * size + hi]


@jit
def gru_cell(gates, sums, bias, before, out, h, lo, hi):
    """`gates` holds x W + b, and gets r, z, n, s."""
    size, n = out.size, hi - lo
    gate_r, gate_z = block(gates, 0, size, lo, hi), block(gates, 1, size, lo, hi)
    gate_n, gate_s = block(gates, 2, size, lo, hi), block(gates, 3, size, lo, hi)
    sum_r, sum_z, sum_s = sums[:n], sums[n : 2 * n], sums[2 * n : 3 * n]
    bias, before, out, h = block(bias, 3, size, lo, hi), before[lo:hi], out[lo:hi], h[lo:hi]
    for j in range(h.size):
        r = sigmoid(gate_r[j] + sum_r[j])
        z = sigmoid(gate_z[j] + sum_z[j])
        s = sum_s[j] + bias[j]
        new = tanh(gate_n[j] + r * s)
        gate_r[j], gate_z[j], gate_n[j], gate_s[j] = r, z, new, s
        new += z * (before[j] - new)
        out[j] = new
        h[j] = new


@jit
def gru_gradient(gates, before, dout, dh, da, lo, hi):
    """`da` gets the gradients by n, r, z, s in this order; `dh` what passes by h U."""
    size = before.size
    gate_r, gate_z = block(gates, 0, size, lo, hi), block(gates, 1, size, lo, hi)
    gate_n, gate_s = block(gates, 2, size, lo, hi), block(gates, 3, size, lo, hi)
    da_n, da_r = block(da, 0, size, lo, hi), block(da, 1, size, lo, hi)
    da_z, da_s = block(da, 2, size, lo, hi), block(da, 3, size, lo, hi)
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


@jit
def lstm_cell(gates, sums, before, cell, out, h, lo, hi):
    """`gates` holds x W + b, and gets i, f, o, g; `before` and `cell` are c and c'."""
    size, n = out.size, hi - lo
    gate_i, gate_f = block(gates, 0, size, lo, hi), block(gates, 1, size, lo, hi)
    gate_o, gate_g = block(gates, 2, size, lo, hi), block(gates, 3, size, lo, hi)
    sum_i, sum_f = sums[:n], sums[n : 2 * n]
    sum_o, sum_g = sums[2 * n : 3 * n], sums[3 * n : 4 * n]
    before, cell, out, h = before[lo:hi], cell[lo:hi], out[lo:hi], h[lo:hi]
    for j in range(h.size):
        i = sigmoid(gate_i[j] + sum_i[j])
        f = sigmoid(gate_f[j] + sum_f[j])
        o = sigmoid(gate_o[j] + sum_o[j])
        g = tanh(gate_g[j] + sum_g[j])
        gate_i[j], gate_f[j], gate_o[j], gate_g[j] = i, f, o, g
        c = f * before[j] + i * g
        cell[j] = c
        new = o * tanh(c)
        out[j] = new
        h[j] = new


@jit
def lstm_gradient(gates, before, cell, dout, dh, dc, da, lo, hi):
    """`da` gets the gradients by i, f, o, g before their sigmoid or tanh; `dc` that by c."""
    size = cell.size
    gate_i, gate_f = block(gates, 0, size, lo, hi), block(gates, 1, size, lo, hi)
    gate_o, gate_g = block(gates, 2, size, lo, hi), block(gates, 3, size, lo, hi)
    da_i, da_f = block(da, 0, size, lo, hi), block(da, 1, size, lo, hi)
    da_o, da_g = block(da, 2, size, lo, hi), block(da, 3, size, lo, hi)
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
