"""Where values and parameters may lie: conditions with a name, for checks and their messages."""

from collections.abc import Callable
from typing import NamedTuple

from tinygrad_like import backend
from tinygrad_like.engine import Tensor, all_examples


class Support(NamedTuple):
    """A set of values.

    Args:
        name: as it stands in messages, "expected numbers of at least 0".
        holds: a function of (the array module, an array) that returns for each event whether it
            lies in the set.
        event_ndim: how many of the last axes make one event.
    """

    name: str
    holds: Callable
    event_ndim: int = 0


REAL = Support("finite numbers", lambda xp, x: xp.isfinite(x))
POSITIVE = Support("positive numbers", lambda xp, x: (x > 0) & xp.isfinite(x))
NOT_NEGATIVE = Support("numbers of at least 0", lambda xp, x: (x >= 0) & xp.isfinite(x))
UNIT = Support("numbers from 0 to 1", lambda xp, x: (x >= 0) & (x <= 1))
LOGIT = Support("numbers, inf or -inf", lambda xp, x: x == x)
COUNT = Support("integers of at least 0", lambda xp, x: (x >= 0) & (x == xp.floor(x)))
YES_NO = Support("0 or 1", lambda xp, x: (x == 0) | (x == 1))
VECTOR = Support("finite numbers", lambda xp, x: xp.isfinite(x).all(axis=-1), 1)
POSITIVE_VECTOR = Support(
    "positive numbers", lambda xp, x: ((x > 0) & xp.isfinite(x)).all(axis=-1), 1
)
LOGITS = Support(
    "numbers, or -inf for some",
    lambda xp, x: (x < float("inf")).all(axis=-1) & (x > -float("inf")).any(axis=-1),
    1,
)
WEIGHTS = Support(
    "numbers of at least 0, some of them positive",
    lambda xp, x: ((x >= 0) & xp.isfinite(x)).all(axis=-1) & (x > 0).any(axis=-1),
    1,
)


def _tolerance(x):
    return 1e-6 if x.dtype.itemsize == 8 else 2e-3 if x.dtype.itemsize == 2 else 1e-5


SIMPLEX = Support(
    "numbers of at least 0 that add up to 1",
    lambda xp, x: (x >= 0).all(axis=-1) & (abs(x.sum(axis=-1) - 1) <= _tolerance(x)),
    1,
)
ONE_HOT = Support(
    "one 1 among zeros",
    lambda xp, x: ((x == 0) | (x == 1)).all(axis=-1) & (x.sum(axis=-1) == 1),
    1,
)


def _is_symmetric(xp, x):
    turned = x.swapaxes(-1, -2)
    return (abs(x - turned) <= _tolerance(x) * (1 + abs(x))).all(axis=(-1, -2))


SYMMETRIC = Support("symmetric matrices", _is_symmetric, 2)


def _is_lower(xp, x):
    above = xp.triu(xp.ones(x.shape[-2:]), 1)
    diagonal = x * xp.eye(x.shape[-1]) + above + above.T
    return (x * above == 0).all(axis=(-1, -2)) & (diagonal > 0).all(axis=(-1, -2))


LOWER = Support("lower triangular matrices with a positive diagonal", _is_lower, 2)


def interval(low, high):
    """The numbers from one bound to the other: numbers, or Tensors that broadcast."""
    return Support(
        "numbers within the bounds", lambda xp, x: (x >= _array(low)) & (x <= _array(high))
    )


def integers_to(most):
    """The integers from 0 to a bound: a number, or a Tensor that broadcasts."""
    return Support(
        "integers from 0 to the largest",
        lambda xp, x: (x >= 0) & (x == xp.floor(x)) & (x <= _array(most)),
    )


def counts_of(total):
    """Vectors of counts that add up to a total."""
    return Support(
        f"integers of at least 0 that add up to {total}",
        lambda xp, x: ((x >= 0) & (x == xp.floor(x))).all(axis=-1) & (x.sum(axis=-1) == total),
        1,
    )


def _array(bound):
    return all_examples(bound._array) if isinstance(bound, Tensor) else bound


def check(owner, what, support, x):
    """Raise ValueError unless all events of a Tensor lie in the support."""
    array = all_examples(x._array)
    if not array.size:
        return
    inside = support.holds(backend.of(array).xp, array)
    if not inside.all():
        outside = array[~inside] if array.ndim else array
        raise ValueError(f"[{owner}] {what} is {_first(outside, support)}, expected {support.name}")


def _first(outside, support):
    """The first event that lies outside, short."""
    first = backend.of(outside).to_host(outside[0] if outside.ndim else outside)
    return first.tolist() if first.size < 10 else f"an array of shape {first.shape}"
