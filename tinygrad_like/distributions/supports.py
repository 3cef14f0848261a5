"""Where values and parameters may lie: conditions with a name, for checks and their messages."""

from collections.abc import Callable
from typing import NamedTuple

from tinygrad_like.engine import all_examples, backend_of, broadcast_to, no_grad
from tinygrad_like.ops.arrays.create import eye, ones
from tinygrad_like.ops.elements.compare import isfinite, isnan
from tinygrad_like.ops.elements.elementwise import floor
from tinygrad_like.ops.indexing.index import triu


class Support(NamedTuple):
    """A set of values.

    Args:
        name: as it stands in messages, "expected numbers of at least 0".
        holds: a function of a Tensor that returns for each event whether it lies in the set.
        event_ndim: how many of the last axes make one event.
    """

    name: str
    holds: Callable
    event_ndim: int = 0


REAL = Support("finite numbers", lambda x: isfinite(x))
POSITIVE = Support("positive numbers", lambda x: (x > 0) & isfinite(x))
NOT_NEGATIVE = Support("numbers of at least 0", lambda x: (x >= 0) & isfinite(x))
UNIT = Support("numbers from 0 to 1", lambda x: (x >= 0) & (x <= 1))
LINE = Support("numbers", lambda x: x == x)
COUNT = Support("integers of at least 0", lambda x: (x >= 0) & (x == floor(x)))
YES_NO = Support("0 or 1", lambda x: (x == 0) | (x == 1))
VECTOR = Support("finite numbers", lambda x: isfinite(x).all(axis=-1), 1)
POSITIVE_VECTOR = Support("positive numbers", lambda x: ((x > 0) & isfinite(x)).all(axis=-1), 1)
LOGITS = Support(
    "numbers, or -inf for some",
    lambda x: (x < float("inf")).all(axis=-1) & (x > -float("inf")).any(axis=-1),
    1,
)
WEIGHTS = Support(
    "numbers of at least 0, some of them positive",
    lambda x: ((x >= 0) & isfinite(x)).all(axis=-1) & (x > 0).any(axis=-1),
    1,
)


def _tolerance(x):
    return 1e-6 if x.dtype.itemsize == 8 else 2e-3 if x.dtype.itemsize == 2 else 1e-5


SIMPLEX = Support(
    "numbers of at least 0 that add up to 1",
    lambda x: (x >= 0).all(axis=-1) & (abs(x.sum(axis=-1) - 1) <= _tolerance(x)),
    1,
)
ONE_HOT = Support(
    "one 1 among zeros",
    lambda x: ((x == 0) | (x == 1)).all(axis=-1) & (x.sum(axis=-1) == 1),
    1,
)


def _is_symmetric(x):
    turned = x.swapaxes(-1, -2)
    return (abs(x - turned) <= _tolerance(x) * (1 + abs(x))).all(axis=(-1, -2))


SYMMETRIC = Support("symmetric matrices", _is_symmetric, 2)


def _is_lower(x):
    n, like = x.shape[-1], {"dtype": x.dtype, "device": x.device}
    above = triu(ones((n, n), **like), 1)
    diagonal = x * eye(n, **like) + above + above.T
    return (x * above == 0).all(axis=(-1, -2)) & (diagonal > 0).all(axis=(-1, -2))


LOWER = Support("lower triangular matrices with a positive diagonal", _is_lower, 2)


def named(**given: Support) -> dict[str, Support]:
    """The parameters of a class, by name."""
    return given


def interval(low, high):
    """The numbers from one bound to the other: numbers, or Tensors that broadcast."""
    return Support("numbers within the bounds", lambda x: (x >= low) & (x <= high))


def integers_to(most):
    """The integers from 0 to a bound: a number, or a Tensor that broadcasts."""
    return Support(
        "integers from 0 to the largest",
        lambda x: (x >= 0) & (x == floor(x)) & (x <= most),
    )


def counts_of(total):
    """Vectors of counts that add up to a total."""
    return Support(
        f"integers of at least 0 that add up to {total}",
        lambda x: ((x >= 0) & (x == floor(x))).all(axis=-1) & (x.sum(axis=-1) == total),
        1,
    )


def or_nan(support):
    """The same support with all events that contain NaN."""

    def holds(x):
        nan = isnan(x)
        events = tuple(range(-support.event_ndim, 0))
        return support.holds(x) | (nan.any(axis=events) if events else nan)

    return support._replace(holds=holds)


def check(owner, what, support, x):
    """Raise ValueError unless all events of a Tensor lie in the support."""
    with no_grad():
        inside = support.holds(x.detach())
    if not all_examples(inside._array).all():
        event = x.shape[x.ndim - support.event_ndim :]
        values = _on_host(broadcast_to(x.detach(), inside.shape + event))
        mask = _on_host(inside)
        outside = values[~mask] if values.shape[: mask.ndim] == mask.shape else values
        first = outside[0] if outside.ndim else outside
        shown = first.tolist() if first.size < 10 else f"an array of shape {first.shape}"
        raise ValueError(f"[{owner}] {what} is {shown}, expected {support.name}")


def _on_host(x):
    array = all_examples(x._array)
    return backend_of(x).to_host(array) if array is x._array else array
