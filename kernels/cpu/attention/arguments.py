"""What the compiled passes of attention take: arrays and sizes that belong together, as tuples.

In the shapes N is the number of batches, H that of the heads of queries, K that of the heads of
keys and values (each serves H / K heads of queries), T that of the queries and S that of the keys.
An array of shape (N, heads, T, d) may also lie as (N, T, heads, d): see `Apart`.

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


class Apart(NamedTuple):
    """Of each array: whether it is (N, T, heads, d) in memory, not (N, heads, T, d).

    A gradient lies as what it belongs to.
    """

    q: bool
    k: bool
    v: bool
    out: bool
    g: bool  # of the backward pass


class Inputs(NamedTuple):
    """What attention computes from."""

    q: np.ndarray  # (N, H, T, d)
    k: np.ndarray  # (N, K, S, d)
    v: np.ndarray  # (N, K, S, dv)


class Results(NamedTuple):
    """What the forward pass computes, and the backward pass reads."""

    out: np.ndarray  # (N, H, T, dv)
    # (2, N, H, T): of each query its highest score, and the logarithm of the sum of the
    # exponentials of its scores below that one
    sums: np.ndarray


class Weighting(NamedTuple):
    """How scores become weights, besides the softmax: masks, a scale and dropout.

    An axis of a mask has length 1 where it holds for all. A mask that there is not has no elements.
    """

    seen: np.ndarray  # (N, H, T, S) of bool: False where a query does not look at a key
    added: np.ndarray  # (N, H, T, S): added to the scores
    causal: bool  # query i looks at the keys up to i + S - T only
    scale: float  # the scores are q k^T times this
    seed: int  # of the words that dropout draws
    offset: int  # blocks of words before those of the first query
    least: int  # the least word whose weight is kept; 0: there is no dropout
    factor: float  # of the weights that are kept


class Gradients(NamedTuple):
    """The gradients with respect to what the names say: `g` is given, the others are computed.

    A gradient that is not needed is an array of its shape that is not written to.
    """

    g: np.ndarray  # (N, H, T, dv): with respect to out
    q: np.ndarray  # (N, H, T, d)
    k: np.ndarray  # (N, K, S, d)
    v: np.ndarray  # (N, K, S, dv)
    # (parts, *the shape of `added`): the gradient with respect to `added` in partial sums, one for
    # each task, or one that all tasks share if each of them has its own part of the mask
    masks: np.ndarray


class Needs(NamedTuple):
    """Which gradients are needed."""

    q: bool
    k: bool
    v: bool
    mask: bool


class Place(NamedTuple):
    """Where a block of queries lies."""

    batch: int
    h: int  # the head of the queries
    key_head: int  # the head of the keys that they meet
    row: int  # the first query
    rows: int  # how many queries there are


class Scratch(NamedTuple):
    """Memory in which a task of the backward pass works on a block of queries.

    `rows` is the number of queries of the block at most, `keys` that of a block of keys.
    """

    query: np.ndarray  # (d rows,): scale q^T
    grad: np.ndarray  # (dv rows,): g^T
    along: np.ndarray  # (rows,): of each query, the sum of g times out
    weights: np.ndarray  # (keys rows,)
    slopes: np.ndarray  # (keys rows,): the gradients with respect to the weights, then the scores
    kept: np.ndarray  # (keys rows,): the factors of dropout; without elements if there is none
    whole: np.ndarray  # (rows d,) of float64: the sum of dq over many blocks of keys
