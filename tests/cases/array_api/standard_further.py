"""Calls of the array API's functions of shapes, order, search and sets, and of its reductions."""

from functools import partial

import numpy as np
from standard_calls import (
    BATCH,
    COMPLEX,
    DTYPES,
    FLOATING,
    REAL,
    SHORT,
    A,
    B,
    C,
    called,
    each,
    of_dtypes,
    to,
)
from standard_elements import values

X = np.arange(24).reshape(2, 3, 4)
TIES = np.array([[3, 1, 2, 1, 3], [0, 0, 5, -1, 5]])
PAIRS = [(p, q) for p in SHORT for q in SHORT]


def shapes():
    """Of shapes, joins and indices."""
    index, many = np.array([2, 0, 2]), [(6, 4), (-1,), (4, -1, 2)]
    joined = [called(lambda xp, a, b: xp.concat((a, b)), *pair) for pair in PAIRS]
    stacked = [called(lambda xp, a, b: xp.stack((a, b)), *pair) for pair in PAIRS]
    for i in (0, 1, -1):
        joined.append(called(lambda xp, a, b, i=i: xp.concat([a, b], axis=i), A, B))
        stacked.append(called(lambda xp, a, b, i=i: xp.stack([a, b], axis=i), A, B))
    joined.append(called(lambda xp, a, b: xp.concat([a, b], axis=None), A, X[0]))
    moves = [(0, 2), (-1, 0), ((0, 1), (1, 2))]
    rolls = [(2, None), (-1, 0), (5, -1), ((1, 2), (0, 2))]
    copies = [(0, np.array([2, 0])), (1, np.array([1, 0, 3]))]
    whole = [to("reshape", X, shape=(24,), copy=copy) for copy in (True, False, None)]
    return {
        "broadcast_arrays": [to("broadcast_arrays", A, B[:1])],
        "broadcast_shapes": [lambda xp: xp.broadcast_shapes((2, 1), (3,), (1, 1, 1), ())],
        "broadcast_to": [to("broadcast_to", A, shape=(4, 2, 3))],
        "concat": joined,
        "stack": stacked,
        "unstack": [to("unstack", X, axis=i) for i in (0, 1, -1)],
        "expand_dims": [to("expand_dims", A, axis=i) for i in (0, 1, -1, 2)],
        "flip": [to("flip", X, axis=i) for i in (None, 0, -1, (0, 2))],
        "moveaxis": [called(lambda xp, a, i=i: xp.moveaxis(a, *i), X) for i in moves],
        "permute_dims": [to("permute_dims", X, axes=(2, 0, 1))],
        "reshape": [to("reshape", X, shape=shape) for shape in many] + whole,
        "roll": [to("roll", X, shift=shift, axis=i) for shift, i in rolls],
        "squeeze": [to("squeeze", X[:1, :, None], axis=i) for i in (0, 2, (0, 2))],
        "repeat": [
            *(to("repeat", A, counts, axis=i) for i, counts in copies),
            *(called(lambda xp, a, i=i: xp.repeat(a, 2, axis=i), A) for i in (None, 0, -1)),
        ],
        "tile": [called(lambda xp, a, n=n: xp.tile(a, n), A) for n in [(2,), (2, 1), (2, 3, 1)]],
        "take": [
            *(to("take", X, j, axis=i) for i, j in [(1, index), (-1, index), (2, index - 1)]),
            to("take", np.arange(5.0), index),
        ],
        "take_along_axis": [
            to("take_along_axis", C, np.argsort(C, axis=i), axis=i) for i in (0, -1)
        ],
    }


def finite(dtype):
    """A row of finite numbers; of zeros, which are equal, one sign alone."""
    x = values(dtype)
    if x.dtype.kind == "f":
        x = x[np.isfinite(x) & ~((x == 0) & np.signbit(x))]
    return x


def order():
    """Of order and search."""
    data = [TIES, *map(finite, REAL)]
    rows = {}
    for name, options in (
        ("sort", [{}, {"descending": True}, {"axis": 0}, {"stable": False}]),
        ("argsort", [{}, {"descending": True}, {"axis": 0}]),
    ):
        rows[name] = [to(name, x, **o) for x in (*data, TIES[:, :0]) for o in options]
    options = [{}, {"axis": -1}, {"axis": 0, "keepdims": True}, {"keepdims": True}]
    for name in ("argmax", "argmin"):
        rows[name] = [to(name, x, **o) for x in data for o in options]
    rows["nonzero"] = [to("nonzero", x) for x in (*SHORT, TIES)]
    rows["count_nonzero"] = [
        to("count_nonzero", x, axis=i, keepdims=k)
        for x in (*SHORT, TIES)
        for i in (None, 0, (0, 1))
        for k in (True, False)
    ]
    line, sought = np.array([-1.0, 0.0, 0.0, 2.5]), np.array([[0.0, 3], [-2, 2.5]])
    rows["searchsorted"] = [to("searchsorted", line, sought, side=s) for s in ("left", "right")]
    rows["searchsorted"].append(
        called(
            lambda xp, a, b, o: xp.searchsorted(a, b, sorter=o),
            *(line[::-1].copy(), line, np.array([3, 2, 1, 0])),
        )
    )
    condition = np.array([[True], [False]])
    rows["where"] = [to("where", condition, p, q) for p, q in PAIRS]
    rows["where"] += each(lambda xp, a: xp.where(a > 2, a, 0), SHORT)
    return rows


def sets():
    """Of what is distinct, in whatever order it comes."""
    twice = [values(d)[[1, 0, 1, 2, 0, 3]] if d != "bool" else values(d) for d in DTYPES]
    twice.append(np.array([np.nan, 1, np.nan, 1]))
    ordered = [x for x in twice if x.dtype.kind != "c"]
    rows = {name: each(restored(name), twice) for name in ("unique_all", "unique_inverse")}
    rows["unique_counts"] = each(by_value, ordered)
    rows["unique_counts"] += each(lambda xp, a: xp.sort(xp.unique_counts(a).counts), twice)
    rows["unique_values"] = each(lambda xp, a: xp.sort(xp.unique_values(a)), ordered)
    rows["unique_values"] += each(lambda xp, a: xp.sum(xp.unique_values(a)), twice[11:13])
    # Without `invert`, which array-api-strict 2.6 does not heed.
    rows["isin"] = [to("isin", TIES, np.array([1, 5, 9])), to("isin", A, A[0])]
    return rows


def by_value(xp, a):
    """The distinct values, rising, and their counts in this order."""
    result = xp.unique_counts(a)
    places = xp.argsort(result.values)
    return xp.take(result.values, places), xp.take(result.counts, places)


def restored(name):
    """The array that values and inverse indices put together again, and shapes."""

    def f(xp, a):
        result = getattr(xp, name)(a)
        inverse = result.inverse_indices
        whole = xp.reshape(xp.take(result.values, xp.reshape(inverse, (-1,))), a.shape)
        return whole, inverse.shape, result.values.shape, inverse.dtype

    return f


def reductions():
    """Of sums, extremes, statistics."""
    rows = {}
    few = [values(d)[[2, 3, 4, 6, 7, 9] if d in FLOATING[:2] else slice(6)] for d in DTYPES]
    data = [*SHORT, *few, BATCH, *(np.zeros((2, 0, 3), d) for d in DTYPES)]
    options = [{}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, 1)}, {"axis": ()}]
    for name in ("sum", "prod", "any", "all", "max", "min", "mean", "std", "var"):
        some = data if name in ("sum", "prod", "any", "all") else [x for x in data if x.size]
        rows[name] = [to(name, x, **o) for x in some for o in options]
    for name in ("std", "var"):
        rows[name] += [to(name, A, axis=1, correction=1), to(name, A, correction=0.5)]
    for name in ("cumulative_sum", "cumulative_prod"):
        rows[name] = [
            to(name, x, axis=i, include_initial=initial)
            for x in (*SHORT, np.zeros((2, 0, 3)))
            for i in (0, 1, -1)
            for initial in (True, False)
        ]
        rows[name].append(to(name, np.arange(1.0, 5)))
    for name in ("sum", "prod", "cumulative_sum", "cumulative_prod"):
        for x in SHORT:
            wanted = COMPLEX if x.dtype.kind == "c" else DTYPES[1:]
            rows[name] += of_dtypes(partial(in_dtype, name, x), wanted)
    rows["diff"] = [
        to("diff", x, n=n, axis=i) for x in (*SHORT, TIES) for n in (0, 1, 2) for i in (0, -1)
    ]
    rows["diff"].append(called(lambda xp, a, b: xp.diff(a, prepend=b, append=b), A, B))
    return rows


def in_dtype(name, x, xp, dtype):
    return getattr(xp, name)(xp.asarray(x), axis=0, dtype=dtype)


def rows():
    """{name: calls}."""
    return {**shapes(), **order(), **sets(), **reductions()}
