"""The forward pass of recurrent layers: x W + b for some steps at once, then these step by step.

Either each task runs whole sequences alone or, if the sequences are few and the layer is wide, all
tasks compute each step together, each for its share of the units.
"""

from ..machine.compile import jit
from ..machine.simd import body
from ..machine.threads import run, share
from ..products.panels import clear_beyond, multiply, pack_columns
from .cells import GRU, LSTM, RNN_RELU, gru_cell, lstm_cell, rnn_cell


@body
def group_of(task, tasks, by_units):
    """(group, groups, part, parts): which group of sequences and part of the units a task has."""
    return (0, 1, task, tasks) if by_units else (task, tasks, 0, 1)


@body
def start_of(group, groups, count):
    """Where a group of `count` sequences begins; the first groups have one more if need be."""
    return group * (count // groups) + min(group, count % groups)


@body
def state_before(states, first, sequence, t, steps, length, reverse):
    """The state before step t of a sequence.

    `states`, (N T, H), are the states after each step, and `first`, (N, H), the initial ones.
    """
    if reverse:
        return first[sequence] if t == length - 1 else states[sequence * steps + t + 1]
    return first[sequence] if t == 0 else states[sequence * steps + t - 1]


@body
def list_steps(schedule):
    """Fill in `rows` with n T + t for all steps: by group, then by step, then by sequence."""
    order, live, rows = schedule.order, schedule.live, schedule.rows
    groups, steps = live.shape
    at = 0
    for group in range(groups):
        start = start_of(group, groups, order.size)
        for s in range(steps):
            t = steps - 1 - s if schedule.reverse else s
            for r in range(live[group, s]):
                rows[at] = order[start + r] * steps + t
                at += 1


@body
def _pack(task, tasks, kind, weight, recurrent, bias, scratch):
    """Pack W, with b as its last row, and U for each part of the units."""
    weight_panels, recurrent_panels = scratch.weight_panels, scratch.recurrent_panels
    features, columns = weight.shape
    parts, _, size, width = recurrent_panels.shape
    for part in range(parts):
        lo, hi = share(part, parts, size)
        panels = weight_panels[part]
        begin, end = share(task, tasks, features)
        at = 0
        for k in range(columns // max(size, 1)):
            first = ((k + 2) % 3 if kind == GRU else k) * size  # n comes first
            pack_columns(weight, first + lo, first + hi, panels, at, begin, end)
            if task == 0:
                for j in range(hi - lo):
                    panels[(at + j) // width, features, (at + j) % width] = bias[first + lo + j]
            at += hi - lo
        clear_beyond(at, panels, begin, features + 1 if task == tasks - 1 else end)
        panels = recurrent_panels[part]
        begin, end = share(task, tasks, size)
        at = 0
        for k in range(columns // max(size, 1)):
            pack_columns(recurrent, k * size + lo, k * size + hi, panels, at, begin, end)
            at += hi - lo
        clear_beyond(at, panels, begin, end)


@body
def _inputs(task, tasks, begin, end, schedule, x, bias, scratch):
    """sums = x W + b for the steps begin <= s < end of the sequences and units of a task."""
    starts, rows = schedule.starts, schedule.rows
    group, _, part, parts = group_of(task, tasks, schedule.by_units)
    first = starts[group, begin]
    count = starts[group, end - 1] + schedule.live[group, end - 1] - first
    x_rows, sums = scratch.x_rows[task, :count], scratch.sums[task, :count]
    features = x.shape[1]
    for i in range(count):
        x_rows[i, :features] = x[rows[first + i]]
        x_rows[i, features] = 1
    multiply(x_rows, scratch.weight_panels[part], sums[:, :], False)
    if schedule.kind == GRU:
        size = bias.size // 4
        lo, hi = share(part, parts, size)
        for i in range(count):
            sums[i, 3 * (hi - lo) : 4 * (hi - lo)] = bias[3 * size + lo : 3 * size + hi]


@body
def _step(task, tasks, begin, s, schedule, h0, c0, results, scratch):
    """Step s for the sequences and units of a task; the first step in `sums` is `begin`."""
    kind, order, lengths, reverse = (
        schedule.kind, schedule.order, schedule.lengths, schedule.reverse,
    )  # fmt: skip
    out, gates, cells = results
    group, groups, part, parts = group_of(task, tasks, schedule.by_units)
    start = start_of(group, groups, order.size)
    stop = start_of(group + 1, groups, order.size)
    size, steps = out.shape[1], schedule.live.shape[1]
    lo, hi = share(part, parts, size)
    t = steps - 1 - s if reverse else s
    count, first = schedule.live[group, s], schedule.starts[group, s]
    first -= schedule.starts[group, begin]
    before, after = scratch.states[s % 2, start:stop], scratch.states[(s + 1) % 2, start:stop]
    sums, panels = scratch.sums[task, first : first + count], scratch.recurrent_panels[part]
    multiply(before[:count], panels, sums[:, hi - lo if kind == GRU else 0 :], True)
    for r in range(count):
        n = order[start + r]
        row = n * steps + t
        if kind == LSTM:
            cell = state_before(cells, c0, n, t, steps, lengths[n], reverse)
            lstm_cell(sums[r], cell, gates[row], cells[row], out[row], after[r], lo, hi)
        elif kind == GRU:
            gru_cell(sums[r], before[r], gates[row], out[row], after[r], lo, hi)
        else:
            rnn_cell(kind == RNN_RELU, sums[r], out[row], after[r], lo, hi)
    for r in range(count, stop - start):
        _clear_row(order[start + r] * steps + t, lo, hi, results)


@body
def _clear_row(row, lo, hi, results):
    """Clear the results of a step after the last one of a sequence, for the units lo <= j < hi."""
    out, gates, cells = results
    size = out.shape[1]
    out[row, lo:hi] = 0
    for k in range(gates.shape[1] // size):
        gates[row, k * size + lo : k * size + hi] = 0
    if cells.size:
        cells[row, lo:hi] = 0


@body
def _sequences(task, tasks, at_once, schedule, inputs, bias, results, scratch):
    """All steps of the sequences of a task."""
    steps = schedule.live.shape[1]
    for begin in range(0, steps, at_once):
        end = min(begin + at_once, steps)
        _inputs(task, tasks, begin, end, schedule, inputs.x, bias, scratch)
        for s in range(begin, end):
            _step(task, tasks, begin, s, schedule, inputs.h0, inputs.c0, results, scratch)


@jit
def forward(pool, tasks, at_once, schedule, inputs, bias, results, scratch):
    """Fill in the results; the tuples are those of arguments.py.

    `at_once` is the number of steps for which `x_rows` and `sums` have room.
    """
    list_steps(schedule)
    run(pool, _pack, (schedule.kind, inputs.weight, inputs.recurrent, bias, scratch), tasks)
    if not schedule.by_units:
        run(pool, _sequences, (at_once, schedule, inputs, bias, results, scratch), tasks)
        return
    steps = schedule.live.shape[1]
    for begin in range(0, steps, at_once):
        end = min(begin + at_once, steps)
        run(pool, _inputs, (begin, end, schedule, inputs.x, bias, scratch), tasks)
        for s in range(begin, end):
            run(pool, _step, (begin, s, schedule, inputs.h0, inputs.c0, results, scratch), tasks)
