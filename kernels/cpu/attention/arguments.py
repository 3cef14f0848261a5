"""The arguments of the compiled passes of attention: named tuples of arrays and sizes.

In the shapes N is the size of the batch, H the number of heads of queries, K that of heads of keys
and values (each serves H / K heads of queries), T that of the queries and S that of the keys. In
memory an array of shape (N, heads, T, d) may also be (N, T, heads, d): see `HeadsLast`.

Python passes the fields as plain tuples, which numba takes in half the time, and compiled code
gives them their names.
"""

from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """The sizes that all arrays share."""

    n: int  # N
    heads: int  # H
    t: int  # T
    key_heads: int  # K
    s: int  # S


class HeadsLast(NamedTuple):
    """For each array: whether it is (N, T, heads, d) in memory, instead of (N, heads, T, d).

    The gradient with respect to an array has the same layout.
    """

    q: bool
    k: bool
    v: bool
    out: bool
    g: bool  # only in the backward pass


class Inputs(NamedTuple):
    """What attention computes from."""

    q: np.ndarray  # (N, H, T, d)
    k: np.ndarray  # (N, K, S, d)
    v: np.ndarray  # (N, K, S, dv)


class Results(NamedTuple):
    """What the forward pass computes, and the backward pass reads."""

    out: np.ndarray  # (N, H, T, dv)
    # (2, N, H, T): for each query its highest score, and log(the sum of exp(score - highest score))
    sums: np.ndarray


class Weighting(NamedTuple):
    """How scores become weights, besides the softmax: masks, a scale and dropout.

    An axis of length 1 of a mask is broadcast. A mask that is not given has no elements.
    """

    seen: np.ndarray  # (N, H, T, S) of bool: False where a query does not look at a key
    added: np.ndarray  # (N, H, T, S): added to the scores
    causal: bool  # query i looks at the keys up to i + S - T only
    scale: float  # the scores are q k^T times this
    seed: int  # of the random words that dropout draws
    offset: int  # blocks of words before those of the first query
    least: int  # a weight is kept if its word is at least this; 0: there is no dropout
    factor: float  # what multiplies the weights that are kept


class Gradients(NamedTuple):
    """The gradients with respect to what the names say: `g` is given, the others are computed.

    In place of a gradient that is not needed there is an array of its shape, which is not written.
    """

    g: np.ndarray  # (N, H, T, dv): with respect to out
    q: np.ndarray  # (N, H, T, d)
    k: np.ndarray  # (N, K, S, d)
    v: np.ndarray  # (N, K, S, dv)
    # (parts, *the shape of `added`): the gradient with respect to `added` in partial sums, one for
    # each task, or a single one where each head has its own part of the mask
    masks: np.ndarray


class Needs(NamedTuple):
    """Which gradients are needed."""

    q: bool
    k: bool
    v: bool
    mask: bool


class Place(NamedTuple):
    """The position of a block of queries."""

    batch: int
    h: int  # the head of the queries
    key_head: int  # the head of the keys that these look at
    row: int  # the first query
    rows: int  # how many queries the block has


class Scratch(NamedTuple):
    """Scratch memory of a task of the backward pass, for one block of queries.

    `rows` is the largest number of queries of a block, `keys` that of keys.
    """

    query: np.ndarray  # (d rows,): scale q^T
    grad: np.ndarray  # (dv rows,): g^T
    along: np.ndarray  # (rows,): for each query, the sum of g times out
    weights: np.ndarray  # (keys rows,)
    slopes: np.ndarray  # (keys rows,): the gradients with respect to the weights, then the scores
    kept: np.ndarray  # (keys rows,): the factors of dropout; no elements if there is none
    whole: np.ndarray  # (rows d,) of float64: the sum of dq over many blocks of keys
