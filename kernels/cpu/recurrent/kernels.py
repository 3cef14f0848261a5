"""Recurrent layers for the CPU: rnn, gru, lstm, forward and backward (see the reference)."""

import math

import numpy as np

from ..machine import memory, threads
from ..machine.kernel import kernel
from ..machine.threads import pool, share
from ..products.panels import MOST_ROWS, panel_width, panels_for, row_blocks_for
from .arguments import BackwardScratch, ForwardScratch, Gradients, Inputs, Results, Schedule
from .backward import (
    LONGEST,
    PANELS_AT_ONCE,
    ROWS_AT_ONCE,
    SUMMED_AT_ONCE,
    backward,
)
from .cells import GRU, LSTM, RNN_RELU, RNN_TANH
from .forward import forward

RNN = {"tanh": RNN_TANH, "relu": RNN_RELU}

# The multiply-adds for which a thread pays
WORTH_A_THREAD = 1 << 16  # in all
WORTH_A_STEP = 1 << 15  # in each step, after which the threads wait for each other
ROWS_OF_A_THREAD = 8  # with fewer sequences for each thread, all threads run a step together


@kernel("x weight recurrent bias h0?", others="lengths")
def rnn(x, weight, recurrent, bias, h0, lengths, reverse, nonlinearity):
    """(out, h) of h' = tanh(x W + h U + b), or relu: (N, T, H) and the last state (N, H)."""
    kind = RNN[nonlinearity]
    out, h, *_ = _forward(kind, x, weight, recurrent, bias, h0, None, lengths, reverse)
    return out, h


@kernel("dout dh x weight recurrent h0? out", others="lengths")
def rnn_backward(dout, dh, x, weight, recurrent, h0, out, lengths, reverse, nonlinearity, needs):
    """(dx, dweight, drecurrent, dbias, dh0), from the outputs."""
    kind, none = RNN[nonlinearity], out[:0]
    return _backward(
        kind, dout, dh, None, x, weight, recurrent, h0, None, out, none, none,
        lengths, reverse, (*needs[:5], False),
    )[:5]  # fmt: skip


@kernel("x weight recurrent bias h0?", others="lengths")
def gru(x, weight, recurrent, bias, h0, lengths, reverse):
    """(out, h, gates) of h' = (1 - z) n + z h: see the reference."""
    out, h, _, gates, _ = _forward(GRU, x, weight, recurrent, bias, h0, None, lengths, reverse)
    return out, h, gates


@kernel("dout dh x weight recurrent h0? out gates", others="lengths")
def gru_backward(dout, dh, x, weight, recurrent, h0, out, gates, lengths, reverse, needs):
    """(dx, dweight, drecurrent, dbias, dh0), from the outputs and `gates`."""
    return _backward(
        GRU, dout, dh, None, x, weight, recurrent, h0, None, out, gates, out[:0],
        lengths, reverse, (*needs[:5], False),
    )[:5]  # fmt: skip


@kernel("x weight recurrent bias h0? c0?", others="lengths")
def lstm(x, weight, recurrent, bias, h0, c0, lengths, reverse):
    """(out, h, c, gates, cells) of c' = f c + i g and h' = o tanh(c'): see the reference."""
    return _forward(LSTM, x, weight, recurrent, bias, h0, c0, lengths, reverse)


@kernel("dout dh dc x weight recurrent h0? c0? out gates cells", others="lengths")
def lstm_backward(
    dout, dh, dc, x, weight, recurrent, h0, c0, out, gates, cells, lengths, reverse, needs
):
    """(dx, dweight, drecurrent, dbias, dh0, dc0), from the outputs, `gates` and `cells`."""
    return _backward(
        LSTM, dout, dh, dc, x, weight, recurrent, h0, c0, out, gates, cells,
        lengths, reverse, needs,
    )  # fmt: skip


class _Plan:
    """Which sequences run when, and how many threads share the work.

    `tasks` is the number of tasks that run the steps. Each has a group of sequences or, if
    `by_units`, all sequences and one of as many `parts` of the units. `order` has the sequences
    group by group, the longest of a group first, so that those that take part in a step are the
    first live[group, step] of their group. `rows` has room for one entry for each step of each
    sequence; those of a step of a group begin at starts[group, step]. `work` is the number of tasks
    that share the other work.
    """

    def __init__(self, x, recurrent, lengths, reverse):
        n, steps, features = x.shape
        size, columns = recurrent.shape
        available = threads.num_threads()
        step = n * size * columns
        self.tasks, self.by_units = 1, False
        if available > 1 and step * steps >= 2 * WORTH_A_THREAD:
            self.by_units = n < ROWS_OF_A_THREAD * available and step >= 2 * WORTH_A_STEP
            most = min(size, step // WORTH_A_STEP) if self.by_units else n
            self.tasks = min(available, most)
        self.parts, groups = (self.tasks, 1) if self.by_units else (1, self.tasks)
        self.groups = groups
        if lengths is None:
            self.lengths = np.full(n, steps)
            self.order = np.arange(n)
            sizes = [len(range(group, n, groups)) for group in range(groups)]
            self.live = np.full((groups, steps), np.array(sizes)[:, None])
            all_steps = n * steps
        else:
            self.lengths = np.ascontiguousarray(lengths, np.int64)
            longest_first = np.argsort(-self.lengths, kind="stable")
            members = [longest_first[group::groups] for group in range(groups)]
            self.order = np.concatenate(members)
            times = np.arange(steps)[:: -1 if reverse else 1]
            self.live = np.stack([np.searchsorted(-self.lengths[m], -times) for m in members])
            all_steps = int(self.lengths.sum())
        self.starts = (np.cumsum(self.live) - self.live.ravel()).reshape(self.live.shape)
        self.rows = np.empty(all_steps, np.int64)
        work = self.rows.size * (features + size) * columns
        self.work = max(1, min(available, work // WORTH_A_THREAD))

    def schedule(self, kind, reverse):
        """The plan as compiled code takes it."""
        return Schedule(
            kind, self.by_units, reverse,
            self.order, self.lengths, self.live, self.starts, self.rows,
        )  # fmt: skip


def _forward(kind, x, weight, recurrent, bias, h0, c0, lengths, reverse):
    """(out, h, c, gates, cells); what a kind of cell does not have is None or has no elements."""
    n, steps, features = x.shape
    size, columns = recurrent.shape
    dtype = x.dtype
    plan = _Plan(x, recurrent, lengths, reverse)
    h0, c0 = _start(h0, n, size, dtype), _start(c0, n, size, dtype)
    out = memory.empty((n * steps, size), dtype)
    gates = memory.empty((n * steps, 4 * size if kind in (GRU, LSTM) else 0), dtype)
    cells = memory.empty((n * steps, size) if kind == LSTM else (0, 0), dtype)
    together = -(-n // plan.groups)
    at_once = max(1, ROWS_AT_ONCE // max(together, 1))
    units = -(-size // plan.parts)
    panels = panels_for(units * columns // max(size, 1), dtype)
    width = panel_width(dtype)
    sums = panels * width + (units if kind == GRU else 0)
    rooms = _rooms(
        dtype,
        weight_panels=(plan.parts, panels, features + 1, width),
        recurrent_panels=(plan.parts, panels, size, width),
        x_rows=(plan.tasks, at_once * together, features + 1),
        states=(2, n, size),
        sums=(plan.tasks, at_once * together, sums),
    )
    scratch = ForwardScratch(**rooms)
    scratch.states[:] = h0[plan.order]
    inputs = Inputs(x.reshape(n * steps, features), weight, recurrent, h0, c0)
    results = Results(out, gates, cells)
    schedule = plan.schedule(kind, reverse)
    forward(pool(), plan.tasks, at_once, schedule, inputs, bias, results, scratch)
    out, gates = out.reshape(n, steps, size), gates.reshape(n, steps, gates.shape[1])
    h, c = _last(out, h0, lengths, reverse), None
    if kind == LSTM:
        cells = cells.reshape(n, steps, size)
        c = _last(cells, c0, lengths, reverse)
    return out, h, c, gates, cells


def _backward(
    kind, dout, dh, dc, x, weight, recurrent, h0, c0, out, gates, cells, lengths, reverse, needs
):
    """(dx, dweight, drecurrent, dbias, dh0, dc0), each None if it is not needed."""
    n, steps, features = x.shape
    size, columns = recurrent.shape
    dtype = x.dtype
    plan = _Plan(x, recurrent, lengths, reverse)
    h0, c0 = _start(h0, n, size, dtype), _start(c0, n, size, dtype)
    gate_columns = 4 * size if kind in (GRU, LSTM) else size
    shapes = (n * steps, features), weight.shape, recurrent.shape, (1, gate_columns)
    grads = _room_of_gradients(shapes, needs, plan.rows.size, n * steps, dtype)
    many = plan.rows.size > LONGEST and dtype != np.float64
    whole = np.zeros((features + size + 1 if many else 0, gate_columns), np.float64)
    width = panel_width(dtype)
    weight_panels = panels_for(features, dtype)
    recurrent_panels = panels_for(-(-size // plan.parts), dtype)
    shares = [slice(*share.py_func(part, plan.parts, size)) for part in range(plan.parts)]
    row_blocks = SUMMED_AT_ONCE, MOST_ROWS
    rooms = _rooms(
        dtype,
        weight_panels=(weight_panels, columns, width),
        recurrent_panels=(plan.parts, recurrent_panels, columns, width),
        ones=(1, *row_blocks),
        x_blocks=(plan.work, row_blocks_for(features), *row_blocks),
        h_blocks=(plan.work, row_blocks_for(size), *row_blocks),
        panels=(plan.work, PANELS_AT_ONCE, SUMMED_AT_ONCE, width),
        spare=(plan.work, max(features, size), width),
        dx_sums=(plan.work, ROWS_AT_ONCE, weight_panels * width),
        dh=(plan.parts, n, recurrent_panels * width),
        da=(plan.rows.size, gate_columns + width),
    )
    dh_parts, da = rooms.pop("dh"), rooms.pop("da")
    scratch = BackwardScratch(**rooms)
    scratch.ones.fill(1)
    for part, units in zip(dh_parts, shares, strict=True):
        part[:, : units.stop - units.start] = dh[plan.order, units]
    dc = _start(None, n, size, dtype) if dc is None else dc[plan.order]  # only an LSTM has it
    inputs = Inputs(x.reshape(n * steps, features), weight, recurrent, h0, c0)
    gates = gates.reshape(len(gates) * steps, gate_columns)
    results = Results(out.reshape(n * steps, size), gates, cells.reshape(len(cells) * steps, size))
    gradients = Gradients(dout.reshape(n * steps, size), dh_parts, dc, da, *grads, whole)
    backward(
        pool(), plan.tasks, (needs[0], any(needs[1:4]), needs[4]),
        _column_blocks(kind, size, needs), plan.schedule(kind, reverse),
        inputs, results, gradients, scratch,
    )  # fmt: skip
    dh0, dc0 = (np.empty((n, size), dtype) for _ in range(2))
    for part, units in zip(dh_parts, shares, strict=True):
        dh0[plan.order, units] = part[:, : units.stop - units.start]
    dc0[plan.order] = dc
    grads[0] = grads[0].reshape(n, steps, features) if needs[0] else None
    grads[3] = grads[3].reshape(-1)
    return tuple(d if need else None for d, need in zip((*grads, dh0, dc0), needs, strict=True))


def _room_of_gradients(shapes, needs, rows, all_rows, dtype):
    """Arrays for dx, dweight, drecurrent and dbias, without elements if they are not needed.

    Only `rows` of `all_rows` steps run. What the backward pass does not fill in is zero: the rows
    of dx for the other steps, and everything if no step runs.
    """
    grads = [
        memory.empty(shape if needed else (0,) * len(shape), dtype)
        for shape, needed in zip(shapes, needs, strict=False)
    ]
    if rows < all_rows:
        grads[0].fill(0)
    if rows == 0:
        for gradient in grads:
            gradient.fill(0)
    return grads


def _column_blocks(kind, size, needs):
    """`blocks` as backward.py takes them, a row for each run of columns of `da`.

    Its columns are the run's start in da, its length, and its start in dweight, drecurrent and
    dbias: -1 if it does not belong there, or that gradient is not needed.
    """
    if kind == GRU:
        blocks = [
            (0, size, 2 * size, -1, 2 * size),
            (size, 2 * size, 0, 0, 0),
            (3 * size, size, -1, 2 * size, 3 * size),
        ]
    else:
        blocks = [(0, 4 * size if kind == LSTM else size, 0, 0, 0)]
    blocks = np.array(blocks)
    blocks[:, 2:][:, [not need for need in needs[1:4]]] = -1
    return blocks


def _start(state, n, size, dtype):
    """The initial state, by default zeros."""
    return np.zeros((n, size), dtype) if state is None else state


def _last(states, first, lengths, reverse):
    """The state after each sequence's last step, or its initial state if it has no steps."""
    n, steps, _ = states.shape
    if steps == 0:
        return first.copy()
    if lengths is None:
        return states[:, 0 if reverse else steps - 1].copy()
    lengths = lengths.astype(np.int64)  # unsigned ones would wrap around below 0
    last = np.zeros_like(lengths) if reverse else lengths - 1
    return np.where((lengths > 0)[:, None], states[np.arange(n), last], first)


def _rooms(dtype, **shapes):
    """{name: uninitialised scratch memory of that shape}, which begins at a cache line."""
    line = memory.LINE // dtype.itemsize
    sizes = [math.prod(shape) for shape in shapes.values()]
    flat = memory.empty((sum(sizes) + line * (len(sizes) + 1),), dtype)
    start, rooms = -flat.ctypes.data % memory.LINE // dtype.itemsize, {}
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        rooms[name] = flat[start : start + size].reshape(shape)
        start += -(-size // line) * line
    return rooms
