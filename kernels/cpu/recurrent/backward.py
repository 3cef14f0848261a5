"""The backward pass of recurrent layers: step by step, then the gradients with respect to the
weights, the bias and x for all steps at once.

`da` has the gradients with respect to x W + h U + b, a row for each step of each sequence, in the
order of `list_steps`: the rows of one step are neighbours. A GRU's blocks of columns are n, r, z, s
there, so that both those that belong to x W and those that belong to h U are neighbours.
"""

from ..machine.compile import jit
from ..machine.simd import body
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

ROWS_AT_ONCE = 32  # rows of dx
SUMMED_AT_ONCE = 256  # rows of x, h and da, for the gradients of the weights
LONGEST = 64 * SUMMED_AT_ONCE  # rows whose products are added up in the dtype of the weights
PANELS_AT_ONCE = 4  # panels of columns of da


@body
def _pack(task, tasks, kind, weight, recurrent, scratch):
    """Pack W^T, its rows in the order of the columns of `da`, and U^T."""
    weight_panels, recurrent_panels = scratch.weight_panels, scratch.recurrent_panels
    features, columns = weight.shape
    size = recurrent.shape[0]
    leading = 2 * size if kind == GRU else columns  # r and z, which come after n in `da`
    begin, end = share(task, tasks, leading)
    pack_rows(weight, weight_panels, begin, end, columns - leading)
    begin, end = share(task, tasks, columns - leading)
    pack_rows(weight, weight_panels, leading + begin, leading + end, -leading)
    begin, end = share(task, tasks, columns)
    clear_beyond(features, weight_panels, begin, end)
    parts = recurrent_panels.shape[0]
    for part in range(parts):
        lo, hi = share(part, parts, size)
        pack_rows(recurrent[lo:hi], recurrent_panels[part], begin, end, 0)
        clear_beyond(hi - lo, recurrent_panels[part], begin, end)


@body
def _steps(task, tasks, begin, end, schedule, h0, c0, results, grads, panels):
    """Run the steps from end - 1 back to `begin` for the sequences and units of a task.

    Step -1, if it is among them, computes the gradient with respect to the initial state.
    """
    kind, live, starts = schedule.kind, schedule.live, schedule.starts
    group, groups, part, parts = group_of(task, tasks, schedule.by_units)
    start = start_of(group, groups, schedule.order.size)
    stop = start_of(group + 1, groups, schedule.order.size)
    units = share(part, parts, results.out.shape[1])
    steps, columns = live.shape[1], results.gates.shape[1]
    dh_rows = grads.dh[part, start:stop]
    da_of_h = grads.da[:, columns - panels.shape[2] : columns]  # the columns that belong to h U
    for s in range(end - 1, begin - 1, -1):
        if s + 1 < steps:
            first, count = starts[group, s + 1], live[group, s + 1]
            multiply(da_of_h[first : first + count], panels[part], dh_rows, kind == GRU)
        if s >= 0:
            _step(s, start, live[group, s], starts[group, s], units, schedule, h0, c0,
                  results, grads, dh_rows)  # fmt: skip


@body
def _step(s, start, count, first, units, schedule, h0, c0, results, grads, dh_rows):
    """Step s for `count` sequences, from `start` in `order` on: rows of `da` from `first` on."""
    kind, reverse, order = schedule.kind, schedule.reverse, schedule.order
    out, gates, cells = results
    dout, dc, da = grads.dout, grads.dc, grads.da
    (lo, hi), steps = units, schedule.live.shape[1]
    t = steps - 1 - s if reverse else s
    for r in range(count):
        n = order[start + r]
        row, length, d, dh = n * steps + t, schedule.lengths[n], da[first + r], dh_rows[r]
        if kind == LSTM:
            cell = state_before(cells, c0, n, t, steps, length, reverse)
            lstm_gradient(gates[row], cell, cells[row], dout[row], dh, dc[start + r], d, lo, hi)
        elif kind == GRU:
            h = state_before(out, h0, n, t, steps, length, reverse)
            gru_gradient(gates[row], h, dout[row], dh, d, lo, hi)
        else:
            rnn_gradient(kind == RNN_RELU, out[row], dout[row], dh, d, lo, hi)


@body
def _weights(task, tasks, blocks, schedule, x, h0, out, grads, scratch):
    """dweight = x^T da, drecurrent = (h before each step)^T da, dbias = the sums of da.

    A row of `blocks` describes some columns of da: the first one, how many there are, and the first
    one in dweight, drecurrent and dbias (-1: nowhere). A task has its share of each.
    """
    x_blocks, h_blocks = scratch.x_blocks[task], scratch.h_blocks[task]
    panels, spare = scratch.panels[task], scratch.spare[task]
    at_once, _, width = panels.shape
    da, dweight, drecurrent, dbias = grads.da, grads.dweight, grads.drecurrent, grads.dbias
    features, size = x.shape[1], out.shape[1]
    whole_x, whole_h = grads.whole[:features], grads.whole[features : features + size]
    whole_bias = grads.whole[features + size :]
    rows, is_long = schedule.rows.size, grads.whole.size > 0
    for first in range(0, rows, SUMMED_AT_ONCE):
        count = min(SUMMED_AT_ONCE, rows - first)
        _put_rows(first, count, schedule, x, h0, out, x_blocks, h_blocks)
        more = first % LONGEST > 0 if is_long else first > 0
        last = first + count == rows
        full = is_long and (last or (first + count) % LONGEST == 0)
        for b in range(blocks.shape[0]):
            start, columns, at_weight, at_recurrent, at_bias = blocks[b]
            begin, end = share(task, tasks, (columns + width - 1) // width)
            for p in range(begin, end, at_once):
                lo, hi = p * width, min(min(p + at_once, end) * width, columns)
                taken = panels[: (hi - lo + width - 1) // width]
                pack_columns(da[first : first + count], start + lo, start + hi, taken, 0, 0, count)
                clear_beyond(hi - lo, taken, 0, count)
                args = count, taken, lo, hi, spare, more, full, last
                _add_columns(scratch.ones, dbias, whole_bias, at_bias, *args)
                _add_columns(x_blocks, dweight, whole_x, at_weight, *args)
                _add_columns(h_blocks, drecurrent, whole_h, at_recurrent, *args)


@body
def _put_rows(first, count, schedule, x, h0, out, x_blocks, h_blocks):
    """Copy `count` rows of x, and the states before those steps, to blocks of left factors."""
    lengths, steps = schedule.lengths, out.shape[0] // max(schedule.lengths.size, 1)
    for k in range(count):
        row = schedule.rows[first + k]
        n = row // steps
        before = state_before(out, h0, n, row % steps, steps, lengths[n], schedule.reverse)
        put_row_blocks(x[row], k, x_blocks)
        put_row_blocks(before, k, h_blocks)


@body
def _add_columns(left, gradient, whole, at, count, panels, lo, hi, spare, more, full, last):
    """Add left^T @ the panels to the columns at + lo to at + hi - 1 of a gradient, if at >= 0.

    With `more` unset the product replaces them. With `full` they are then added to the sums in
    float64, `whole`, and these are written back the `last` time.
    """
    if at >= 0:
        columns = gradient[:, at + lo : at + hi]
        _add_product(left, count, panels, columns, spare, more)
        if full:
            _add_to_whole(columns, whole[:, at + lo : at + hi], last)


@body
def _add_product(blocks, count, panels, c, spare, more):
    """c = a^T @ the panels, or c += that if `more`; c may end within the last panel."""
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


@body
def _add_to_whole(c, whole, last):
    """whole += c, then c = whole if it is the last time."""
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            whole[i, j] += c[i, j]
            if last:
                c[i, j] = whole[i, j]


@body
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
def backward(pool, tasks, needs, blocks, schedule, inputs, results, grads, scratch):
    """Fill in the gradients. The tuples are those of arguments.py; for `blocks` see `_weights`.

    needs: whether dx, any of dweight, drecurrent and dbias, and dh are needed.
    """
    needs_x, needs_weights, needs_h = needs
    x, h0, c0 = inputs.x, inputs.h0, inputs.c0
    list_steps(schedule)
    work = scratch.panels.shape[0]
    run(pool, _pack, (schedule.kind, inputs.weight, inputs.recurrent, scratch), work)
    steps = schedule.live.shape[1]
    at_once = 1 if schedule.by_units else steps + 1
    last = -1 if needs_h else 0
    for end in range(steps, last, -at_once):
        begin = max(end - at_once, last)
        args = begin, end, schedule, h0, c0, results, grads, scratch.recurrent_panels
        run(pool, _steps, args, tasks)
    if needs_weights:
        run(pool, _weights, (blocks, schedule, x, h0, results.out, grads, scratch), work)
    if needs_x:
        panels, sums = scratch.weight_panels, scratch.dx_sums
        run(pool, _inputs, (schedule.rows, grads.da, panels, sums, grads.dx), work)
