"""The arguments of the compiled passes over a recurrent layer: named tuples of arrays.

In the shapes N is the number of sequences, T that of their steps, F that of the input's features
and H that of the units. Step t of sequence n is row n T + t of arrays whose first axis is N T. C is
the number of columns of the weights: H for an RNN, 3 H for a GRU and 4 H for an LSTM. G is that of
the sums whose gradients the backward pass computes at each step: H for an RNN, 4 H for a GRU and an
LSTM.
"""

from typing import NamedTuple

import numpy as np


class Schedule(NamedTuple):
    """Which steps of which sequences run when, and on which task: see `_Plan` in kernels.py.

    A group is the sequences that one task runs. R is the number of all steps, the sum of the
    lengths.
    """

    kind: int  # RNN_TANH, RNN_RELU, GRU or LSTM, of cells.py
    by_units: bool  # one group: each task has all sequences and a part of the units
    reverse: bool  # whether a sequence runs from its last step to its first
    order: np.ndarray  # (N,): the sequences, group by group
    lengths: np.ndarray  # (N,): how many steps each sequence has
    live: np.ndarray  # (groups, T): how many sequences of a group take part in each step
    starts: np.ndarray  # (groups, T): where the rows of a group's step begin in `rows`
    rows: np.ndarray  # (R,): the rows n T + t, in the order in which they run


class Inputs(NamedTuple):
    """What both passes compute from: the input, the weights W and U, and the initial states."""

    x: np.ndarray  # (N T, F)
    weight: np.ndarray  # (F, C)
    recurrent: np.ndarray  # (H, C)
    h0: np.ndarray  # (N, H)
    c0: np.ndarray  # (N, H); only an LSTM reads it


class Results(NamedTuple):
    """What the forward pass computes at each step, and the backward pass reads."""

    out: np.ndarray  # (N T, H): the states h
    gates: np.ndarray  # (N T, 4 H) of a GRU or an LSTM; an RNN has none
    cells: np.ndarray  # (N T, H): the states c of an LSTM; the others have none


class ForwardScratch(NamedTuple):
    """Scratch memory of the forward pass.

    A part is the units that a task computes: all of them, unless the tasks share them. Panels are
    those of products/tile.py.
    """

    weight_panels: np.ndarray  # (parts, panels, F + 1, width): W, and b as its last row
    recurrent_panels: np.ndarray  # (parts, panels, H, width): U
    x_rows: np.ndarray  # (tasks, rows, F + 1): rows of x for some steps, and a column of ones
    states: np.ndarray  # (2, N, H): h before a step and after it, in turns; both are h0 at first
    sums: np.ndarray  # (tasks, rows, columns of a part): x W + h U + b of the rows of x_rows


class Gradients(NamedTuple):
    """The gradients with respect to what the names say: `dout` is given, the others are computed.

    Where dx, dweight, drecurrent or dbias is not needed, it has no elements.
    """

    dout: np.ndarray  # (N T, H)
    # (parts, N, at least H / parts): with respect to the h that a step passes on; in `order`
    dh: np.ndarray
    dc: np.ndarray  # (N, H): with respect to the c that a step passes on; in `order`
    da: np.ndarray  # (R, at least G): with respect to x W + h U + b; in the order of `rows`
    dx: np.ndarray  # (N T, F)
    dweight: np.ndarray  # (F, C)
    drecurrent: np.ndarray  # (H, C)
    dbias: np.ndarray  # (1, G)
    # (F + H + 1, G) of float64: the sums of dweight, drecurrent and dbias, one below the other.
    # Those are added to them after every LONGEST rows; no elements if there are fewer rows.
    whole: np.ndarray


class BackwardScratch(NamedTuple):
    """Scratch memory of the backward pass. Where axis 0 is `tasks`, each task has its own element.

    Blocks are left factors for `multiply_transposed` in products/panels.py. At most SUMMED_AT_ONCE
    rows of x, h and da (one for each step of a sequence) are summed at once.
    """

    weight_panels: np.ndarray  # (panels, C, width): W^T, its rows in the order of the columns of da
    recurrent_panels: np.ndarray  # (parts, panels, C, width): U^T, the columns of each part
    ones: np.ndarray  # (1, SUMMED_AT_ONCE, MOST_ROWS): the left factor that adds up the rows of da
    x_blocks: np.ndarray  # (tasks, blocks, SUMMED_AT_ONCE, MOST_ROWS): some rows of x
    h_blocks: np.ndarray  # (tasks, blocks, SUMMED_AT_ONCE, MOST_ROWS): h before these steps
    panels: np.ndarray  # (tasks, panels, SUMMED_AT_ONCE, width): some columns of da
    spare: np.ndarray  # (tasks, at least F and H, width): a product wider than what it is added to
    dx_sums: np.ndarray  # (tasks, ROWS_AT_ONCE, panels times width): some rows of dx
