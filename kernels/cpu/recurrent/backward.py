"""Recurrent layers backward, compiled: step by step, then the gradients by W, U, b and x at once.

The gradients by x W + h U + b lie in `da`, the rows of one step beside each other: a row for each
step of each sequence, as `list_steps` has them. A GRU's blocks are n, r, z, s there, so that what
belongs to x W and what belongs to h U is each one run of columns.
"""

from ..machine.compile import jit
from ..machine.threads import run, share
from ..products.panels import (
    clear_beyond,
    multiply,
    multiply_transposed,
    pack_columns,
    pack_rows,
    put_row_blocks,
)
from .cells import GRU, LSTM, RNN_RELU, gru_gradient, lstm_gradient, rnn_gradient
from .forward import group_of, list_steps, start_of, state_before

ROWS_AT_ONCE = 32  # of dx
SUMMED_AT_ONCE = 256  # of x, h and da for the weights
LONGEST = 64 * SUMMED_AT_ONCE  # rows whose products are added up in the dtype of the weights
PANELS_AT_ONCE = 4


@jit
def _pack(task, tasks, kind, weight, recurrent, weight_panels, recurrent_panels):
    """W^T, with the rows in the order of `da`, and U^T."""
    features, columns = weight.shape
    size = recurrent.shape[0]
    turned = 2 * size if kind == GRU else columns
    begin, end = share(task, tasks, turned)
    pack_rows(weight, weight_panels, begin, end, columns - turned)
    begin, end = share(task, tasks, columns - turned)
    pack_rows(weight, weight_panels, turned + begin, turned + end, -turned)
    begin, end = share(task, tasks, columns)
    clear_beyond(features, weight_panels, begin, end)
    parts = recurrent_panels.shape[0]
    for part in range(parts):
        lo, hi = share(part, parts, size)
        pack_rows(recurrent[lo:hi], recurrent_panels[part], begin, end, 0)
        clear_beyond(hi - lo, recurrent_panels[part], begin, end)


@jit
def _steps(
    task, tasks, kind, by_units, begin, end, reverse, order, lengths, live, starts,
    dout, h0, c0, out, gates, cells, dh, dc, da, panels,
):  # fmt: skip
    """Run the steps from end - 1 back to `begin` for the sequences and units of a task.

    dh[part] and dc hold what reaches a step's state from the steps after it. To finish with the
    gradient of the first state, a last call has the step -1.
    """
    group, groups, part, parts = group_of(task, tasks, by_units)
    start = start_of(group, groups, order.size)
    stop = start_of(group + 1, groups, order.size)
    lo, hi = share(part, parts, out.shape[1])
    steps, columns = live.shape[1], gates.shape[1]
    dh_rows, by_h = dh[part, start:stop], da[:, columns - panels.shape[2] : columns]
    for s in range(end - 1, begin - 1, -1):
        if s + 1 < steps:
            first, count = starts[group, s + 1], live[group, s + 1]
            multiply(by_h[first : first + count], panels[part], dh_rows, kind == GRU)
        if s < 0:
            break
        t = steps - 1 - s if reverse else s
        for r in range(live[group, s]):
            n = order[start + r]
            row, d = n * steps + t, da[starts[group, s] + r]
            if kind == LSTM:
                cell = state_before(cells, c0, n, t, steps, lengths[n], reverse)
                lstm_gradient(
                    gates[row], cell, cells[row], dout[row], dh_rows[r], dc[start + r], d, lo, hi
                )
            elif kind == GRU:
                h = state_before(out, h0, n, t, steps, lengths[n], reverse)
                gru_gradient(gates[row], h, dout[row], dh_rows[r], d, lo, hi)
            else:
                rnn_gradient(kind == RNN_RELU, out[row], dout[row], dh_rows[r], d, lo, hi)


@jit
def _weights(
    task, tasks, blocks, reverse, lengths, rows, x, h0, out, da,
    dweight, drecurrent, dbias, whole, ones, x_blocks, h_blocks, panels, spare,
):  # fmt: skip
    """dweight = x^T da, drecurrent = (h before each step)^T da, dbias = the sums of da.


    A row of `blocks` is a run of columns: where it begins in da, how many there are, and where it
    begins in dweight, drecurrent and dbias (-1: nowhere). A task has its share of each.

    `whole` (features + size + 1, columns) of float64 adds up the sums over LONGEST rows each, of
    dweight, drecurrent and dbias below each other; it is empty where there are fewer rows.
    """
    x_blocks, h_blocks, panels, spare = x_blocks[task], h_blocks[task], panels[task], spare[task]
    at_once, _, width = panels.shape
    steps = out.shape[0] // max(lengths.size, 1)
    features, size = x.shape[1], out.shape[1]
    for first in range(0, rows.size, SUMMED_AT_ONCE):
        count = min(SUMMED_AT_ONCE, rows.size - first)
        for k in range(count):
            row = rows[first + k]
            n = row // steps
            before = state_before(out, h0, n, row % steps, steps, lengths[n], reverse)
            put_row_blocks(x[row], k, x_blocks)
            put_row_blocks(before, k, h_blocks)
        more = first % LONGEST > 0 if whole.size else first > 0
        last = first + count == rows.size
        full = whole.size > 0 and (last or (first + count) % LONGEST == 0)
        for b in range(blocks.shape[0]):
            start, columns, at_weight, at_recurrent, at_bias = blocks[b]
            begin, end = share(task, tasks, (columns + width - 1) // width)
            for p in range(begin, end, at_once):
                lo, hi = p * width, min(min(p + at_once, end) * width, columns)
                taken = panels[: (hi - lo + width - 1) // width]
                pack_columns(da[first : first + count], start + lo, start + hi, taken, 0, 0, count)
                clear_beyond(hi - lo, taken, 0, count)
                if at_bias >= 0:
                    left, right = at_bias + lo, at_bias + hi
                    c, total = dbias[:, left:right], whole[features + size :, left:right]
                    _add_product(ones, count, taken, c, spare, more)
                    if full:
                        _add_to_whole(c, total, last)
                if at_weight >= 0:
                    left, right = at_weight + lo, at_weight + hi
                    c, total = dweight[:, left:right], whole[:features, left:right]
                    _add_product(x_blocks, count, taken, c, spare, more)
                    if full:
                        _add_to_whole(c, total, last)
                if at_recurrent >= 0:
                    left, right = at_recurrent + lo, at_recurrent + hi
                    c = drecurrent[:, left:right]
                    total = whole[features : features + size, left:right]
                    _add_product(h_blocks, count, taken, c, spare, more)
                    if full:
                        _add_to_whole(c, total, last)


@jit
def _add_product(blocks, count, panels, c, spare, more):
    """c = a^T @ the panels, plus what c was if `more`; c may end within the last panel."""
    width = panels.shape[2]
    for p in range(panels.shape[0]):
        to = c[:, p * width : (p + 1) * width]
        if to.shape[1] == width:
            multiply_transposed(blocks, count, panels[p], to, more)
        else:
            part = spare[: to.shape[0], :]
            multiply_transposed(blocks, count, panels[p], part, False)
            for i in range(to.shape[0]):
                for j in range(to.shape[1]):
                    to[i, j] = to[i, j] + part[i, j] if more else part[i, j]


@jit
def _add_to_whole(c, whole, last):
    """whole += c, and at last c = whole."""
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            whole[i, j] += c[i, j]
            if last:
                c[i, j] = whole[i, j]


@jit
def _inputs(task, tasks, rows, da, panels, sums, dx):
    """dx = da @ W^T."""
    sums = sums[task]
    begin, end = share(task, tasks, rows.size)
    for first in range(begin, end, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, end - first)
        multiply(da[first : first + count, : panels.shape[1]], panels, sums, False)
        for i in range(count):
            target, row = dx[rows[first + i]], sums[i]
            for j in range(target.size):
                target[j] = row[j]


@jit
def backward(
    pool, kind, tasks, by_units, reverse, order, lengths, live, starts, rows, blocks,
    dout, x, weight, recurrent, h0, c0, out, gates, cells,
    dh, dc, da, dx, dweight, drecurrent, dbias, whole, needs_x, needs_weights, needs_h,
    weight_panels, recurrent_panels, ones, x_blocks, h_blocks, panels, spare, dx_sums,
):  # fmt: skip
    """Fill dx, dweight, drecurrent, dbias; dh and dc become the gradients of the first states."""
    list_steps(order, live, reverse, rows)
    work = panels.shape[0]
    run(pool, _pack, (kind, weight, recurrent, weight_panels, recurrent_panels), work)
    steps = live.shape[1]
    at_once = 1 if by_units else steps + 1
    last = -1 if needs_h else 0
    for end in range(steps, last, -at_once):
        run(
            pool,
            _steps,
            (
                kind, by_units, max(end - at_once, last), end, reverse, order, lengths, live,
                starts, dout, h0, c0, out, gates, cells, dh, dc, da, recurrent_panels,
            ),
            tasks,
        )  # fmt: skip
    if needs_weights:
        run(
            pool,
            _weights,
            (
                blocks, reverse, lengths, rows, x, h0, out, da,
                dweight, drecurrent, dbias, whole, ones, x_blocks, h_blocks, panels, spare,
            ),
            work,
        )  # fmt: skip
    if needs_x:
        run(pool, _inputs, (rows, da, weight_panels, dx_sums, dx), work)
