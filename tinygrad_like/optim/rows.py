"""Steps of the rows that a sparse gradient names, at the cost of these rows alone.

The rows of the parameter and of its state are copied, the optimizer's own kernel steps the copies,
and they are written back. A row that the gradient does not name keeps its value and its state, so
an optimizer takes such gradients only if a row without a gradient would stay where it is.
"""

from functools import partial

from tinygrad_like.optim import states


def planned(optimizer, slot, rows, options, settings):
    """The changes, for `commit`, that make the step of one parameter by SparseRows.

    Raises ValueError if the optimizer, or one of its settings, moves rows that were not read.
    """
    owner, p = type(optimizer).__name__, slot.param
    _check(owner, optimizer.off_with_rows, p, options)
    rows = rows.with_values(states.converted(owner, rows._values, p)).coalesce()
    at, grad = rows._indices, rows._values
    whole = [slot.array, *(b if b is None else b.reshape(p.shape) for b in slot.beside)]
    parts = [None if a is None else a[at] for a in whole]
    flat = (None if part is None else part.reshape(-1) for part in parts)
    for change in slot.be.k.planner(optimizer.kernel, *flat)(grad.reshape(-1), settings):
        change()
    pairs = zip(whole, parts, strict=True)
    return [partial(a.__setitem__, at, part) for a, part in pairs if a is not None]


def _check(owner, off, p, options):
    if off is None:
        refuse_rows(owner, p)
    for name in off:
        if options[name]:
            raise ValueError(
                f"[{owner}] {name} is {options[name]}, expected 0 for a parameter {p.shape} with a "
                "gradient of rows, of an Embedding with sparse=True: it moves rows that were not "
                "read; give the table a group of its own, or make it with sparse=False"
            )


def refuse_rows(owner, p):
    """Raise ValueError for a parameter whose gradient is SparseRows, naming who takes such."""
    raise ValueError(
        f"[{owner}] a parameter {p.shape} has a gradient of rows, of an Embedding with "
        f"sparse=True, but a step of {owner} moves all rows; SGD, Adagrad and SparseAdam take "
        "such gradients, and every optimizer those of sparse=False"
    )
