"""Recurrent layers forward, compiled: x W for all steps at once, then step by step.

Either each task runs whole sequences on its own, or, where these are few and the layer is wide, all
tasks compute a step together, each its share of the units.
"""

from .compile import jit
from .panels import clear_beyond, multiply, pack_columns
from .recurrent_cells import GRU, LSTM, RNN_RELU, gru_cell, lstm_cell, rnn_cell
from .threads import run, share

ROWS_AT_ONCE = 32


@jit
def group_of(task, tasks, by_units):
    """(group, groups, part, parts): the sequences and the units that are a task's."""
    return (0, 1, task, tasks) if by_units else (task, tasks, 0, 1)


@jit
def start_of(group, groups, count):
    """Where a group of sequences begins: the first ones have one more where they are not even."""
    return group * (count // groups) + min(group, count % groups)


@jit
def state_before(states, first, sequence, t, steps, length, reverse):
    """The state that a step began with, of the states (N T, H) that the steps ended with."""
    if reverse:
        return first[sequence] if t == length - 1 else states[sequence * steps + t + 1]
    return first[sequence] if t == 0 else states[sequence * steps + t - 1]


@jit
def list_steps(order, live, reverse, rows):
    """The rows n T + t of all steps: group by group, then in the order of time, then of sequences."""
    groups, steps = live.shape
    at = 0
    for group in range(groups):
        start = start_of(group, groups, order.size)
        for s in range(steps):
            t = steps - 1 - s if reverse else s
            for r in range(live[group, s]):
                rows[at] = order[start + r] * steps + t
                at += 1


@jit
def _pack(task, tasks, weight, recurrent, weight_panels, recurrent_panels):
    begin, end = share(task, tasks, weight.shape[0])
    pack_columns(weight, 0, weight.shape[1], weight_panels, 0, begin, end)
    clear_beyond(weight.shape[1], weight_panels, begin, end)
    size = recurrent.shape[0]
    begin, end = share(task, tasks, size)
    parts = recurrent_panels.shape[0]
    for part in range(parts):
        lo, hi = share(part, parts, size)
        panels = recurrent_panels[part]
        blocks = recurrent.shape[1] // max(size, 1)
        for k in range(blocks):
            pack_columns(
                recurrent, k * size + lo, k * size + hi, panels, k * (hi - lo), begin, end
            )
        clear_beyond(blocks * (hi - lo), panels, begin, end)


@jit
def _inputs(task, tasks, x, bias, rows, panels, gates, x_rows, sums, columns):
    """Write x W + b to the first columns of `gates`, for the steps in `rows`."""
    begin, end = share(task, tasks, rows.size)
    x_rows, sums = x_rows[task], sums[task]
    for first in range(begin, end, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, end - first)
        for i in range(count):
            x_rows[i] = x[rows[first + i]]
        multiply(x_rows[:count], panels, sums, False)
        for i in range(count):
            target, row = gates[rows[first + i], :columns], sums[i]
            for j in range(target.size):
                target[j] = row[j] + bias[j]


@jit
def _steps(
    task, tasks, kind, by_units, begin, end, reverse, order, lengths, live,
    bias, h0, c0, out, gates, cells, states, sums, panels,
):  # fmt: skip
    """Run the steps from `begin` to `end` for the sequences and units of a task."""
    group, groups, part, parts = group_of(task, tasks, by_units)
    start = start_of(group, groups, order.size)
    stop = start_of(group + 1, groups, order.size)
    lo, hi = share(part, parts, out.shape[1])
    steps = live.shape[1]
    for s in range(begin, end):
        t = steps - 1 - s if reverse else s
        count = live[group, s]
        before, after = states[s % 2, start:stop], states[(s + 1) % 2, start:stop]
        sum_rows = sums[part, start:stop]
        multiply(before[:count], panels[part], sum_rows, False)
        for r in range(stop - start):
            n = order[start + r]
            row = n * steps + t
            if r >= count:
                _clear(kind, out[row], gates[row], cells, row, lo, hi)
            elif kind == LSTM:
                cell = state_before(cells, c0, n, t, steps, lengths[n], reverse)
                lstm_cell(gates[row], sum_rows[r], cell, cells[row], out[row], after[r], lo, hi)
            elif kind == GRU:
                gru_cell(gates[row], sum_rows[r], bias, before[r], out[row], after[r], lo, hi)
            else:
                rnn_cell(kind == RNN_RELU, out[row], sum_rows[r], after[r], lo, hi)


@jit
def _clear(kind, out, gates, cells, row, lo, hi):
    """Zeros for a step beyond its sequence's length."""
    size = out.size
    out[lo:hi] = 0
    if kind >= GRU:
        for k in range(4):
            gates[k * size + lo : k * size + hi] = 0
    if kind == LSTM:
        cells[row, lo:hi] = 0


@jit
def forward(
    pool, kind, tasks, by_units, reverse, order, lengths, live, rows,
    x, weight, recurrent, bias, h0, c0, out, gates, cells,
    weight_panels, recurrent_panels, x_rows, input_sums, states, sums,
):  # fmt: skip
    """Fill out, gates and cells, (N T, ...) each, and `states`, the rest being room to work in."""
    list_steps(order, live, reverse, rows)
    work = x_rows.shape[0]
    run(pool, _pack, (weight, recurrent, weight_panels, recurrent_panels), work)
    columns = weight.shape[1]
    run(
        pool,
        _inputs,
        (x, bias, rows, weight_panels, gates, x_rows, input_sums, columns),
        work,
    )
    steps = live.shape[1]
    at_once = 1 if by_units else steps
    for s in range(0, steps, max(at_once, 1)):
        run(
            pool,
            _steps,
            (
                kind, by_units, s, s + at_once, reverse, order, lengths, live,
                bias, h0, c0, out, gates, cells, states, sums, recurrent_panels,
            ),
            tasks,
        )  # fmt: skip
