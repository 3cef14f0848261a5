"""Where an op is found by the name that NumPy has for it, and what to do where there is none."""

from tinygrad_like.ops.arrays import create, shape
from tinygrad_like.ops.elements import (
    activation,
    arithmetic,
    compare,
    complex,
    elementwise,
    special,
    transcendental,
)
from tinygrad_like.ops.indexing import arrange, index, padding, repetition
from tinygrad_like.ops.matrices import diagonal, linalg
from tinygrad_like.ops.neural import conv, norm, patches, softmax
from tinygrad_like.ops.reductions import reduce, scan, scatter
from tinygrad_like.ops.samples import order, random, ranks, statistics

FAMILIES = (
    *(create, compare, elementwise, special, shape, activation, complex, reduce, arithmetic),
    *(
        transcendental,
        linalg,
        index,
        scan,
        order,
        ranks,
        diagonal,
        statistics,
        scatter,
        arrange,
    ),
    *(repetition, padding, patches, random, softmax, norm, conv),
)

CURE = (
    "use ops of tinygrad_like (tg.stack and tg.concatenate join Tensors), take the values with "
    ".numpy() or detach(), or work inside `with no_grad():`"
)


def find(name):
    """The op of this name, from whichever family has it."""
    return next(getattr(family, name) for family in FAMILIES if hasattr(family, name))
