"""The argument and result of a rule of FLOPs, and the rules that many ops share."""

from math import prod
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A call of an op, without its arrays."""

    shapes: Any  # of the inputs; () of a number
    out: Any  # the shape of the (first) output
    attributes: Any


class Cost(NamedTuple):
    """The FLOPs of a call.

    Args:
        forward: of the call itself.
        each: of the gradient with respect to each input, a sequence, or one number for all;
            None if it has no count.
        shared: of what the gradients have in common.
    """

    forward: int
    each: Any = 0
    shared: int = 0


def nothing(call):
    """The rule of ops that only move elements."""
    return Cost(0)


def by_output(forward, each=1):
    """The rule of an op that takes `forward` FLOPs for each element of its output."""

    def rule(call):
        n = prod(call.out)
        return Cost(forward * n, each * n)

    return rule


def by_input(forward, each=1):
    """The rule of an op that takes `forward` FLOPs for each element of its first input."""

    def rule(call):
        n = prod(call.shapes[0])
        return Cost(forward * n, each * n)

    return rule
