"""Calls of the array API's creation functions, of its dtypes, and of the array object."""

import itertools

import numpy as np
from standard_calls import (
    BATCH,
    DTYPES,
    FLOATING,
    REAL,
    SHORT,
    A,
    called,
    default,
    each,
    of_dtypes,
    to,
)

KINDS = ["bool", "signed integer", "unsigned integer", "integral", "real floating"]
KINDS += ["complex floating", "numeric", ("integral", "bool")]


def creation():
    """Of new arrays."""
    shapes = [(), 3, (2, 0), (2, 3)]
    rows = {
        name: [
            *(default(name, shape) for shape in shapes),
            *of_dtypes(lambda xp, d, n=name: getattr(xp, n)((2, 3), dtype=d)),
        ]
        for name in ("zeros", "ones")
    }
    rows["empty"] = of_dtypes(lambda xp, d: like(xp.empty((2, 3), dtype=d)))
    rows["empty_like"] = each(lambda xp, x: like(xp.empty_like(x)), SHORT)
    for name in ("zeros_like", "ones_like"):
        rows[name] = [*(to(name, x) for x in SHORT), to(name, A)]
        rows[name] += of_dtypes(lambda xp, d, n=name: getattr(xp, n)(xp.asarray(A), dtype=d))
    rows["full"] = [default("full", (2, 3), v) for v in (7, True, 2.5, 1j, float("nan"))]
    rows["full"] += of_dtypes(lambda xp, d: xp.full(3, 1, dtype=d))
    rows["full_like"] = [to("full_like", SHORT[0], fill_value=True)]
    rows["full_like"] += [to("full_like", x, fill_value=3) for x in SHORT[1:]]
    ends = [(5,), (2, 7), (2, 9, 3), (9, 2, -3), (3, 1), (0.5,), (0.0, 2.0, 0.25), (-3, 3)]
    rows["arange"] = [default("arange", *each_end) for each_end in ends]
    rows["arange"] += of_dtypes(lambda xp, d: xp.arange(1, 9, 2, dtype=d), REAL)
    rows["linspace"] = [default("linspace", -1, 4.5, 7, endpoint=e) for e in (True, False)]
    rows["linspace"] += [default("linspace", 0, 1, n) for n in (0, 1, 2)]
    rows["linspace"] += [default("linspace", 1j, 3, 4)]
    rows["linspace"] += of_dtypes(lambda xp, d: xp.linspace(0, 1, 5, dtype=d), FLOATING)
    sizes = [(3,), (2, 4), (4, 2), (0,)]
    rows["eye"] = [default("eye", *n, k=k) for n in sizes for k in (-1, 0, 2)]
    rows["eye"] += of_dtypes(lambda xp, d: xp.eye(2, dtype=d))
    given = [3, 2.5, True, 1j, [1, 2], [[1.5, 2], [3, 4]], [True, False], [], [[1j, 2]]]
    rows["asarray"] = [default("asarray", v) for v in given]
    rows["asarray"] += of_dtypes(lambda xp, d: xp.asarray([0, 1, 1], dtype=d))
    rows["asarray"] += [to("asarray", x, copy=copy) for x in SHORT for copy in (True, False, None)]
    rows["from_dlpack"] = [to("from_dlpack", x) for x in SHORT]
    rows["from_dlpack"] += [default("from_dlpack", x) for x in SHORT[:10]]
    for name in ("tril", "triu"):
        rows[name] = [to(name, x, k=k) for k in (-2, 0, 1, 5) for x in (*SHORT, BATCH)]
    lines = np.arange(3), np.arange(4)
    rows["meshgrid"] = [to("meshgrid", *lines, indexing=i) for i in ("xy", "ij")]
    rows["meshgrid"] += [to("meshgrid", lines[0]), to("meshgrid", *lines, lines[0])]
    return rows


def like(x):
    return x.shape, x.dtype


def dtypes():
    """Of dtypes, constants and what a namespace tells about itself."""
    pairs = list(itertools.product(DTYPES, DTYPES))
    numbers = list(itertools.product(DTYPES, (True, 1, 2.5, 1j)))
    every = (*DTYPES, "e", "pi", "inf", "nan", "newaxis", "__array_api_version__")
    rows = {name: [lambda xp, n=name: getattr(xp, n)] for name in every}
    rows["result_type"] = [
        lambda xp, a=a, b=b: xp.result_type(getattr(xp, a), xp.ones(2, dtype=getattr(xp, b)))
        for a, b in pairs
    ]
    rows["result_type"] += [
        lambda xp, d=d, n=n: xp.result_type(getattr(xp, d), n) for d, n in numbers
    ]
    rows["can_cast"] = [
        lambda xp, a=a, b=b: xp.can_cast(getattr(xp, a), getattr(xp, b)) for a, b in pairs
    ]
    rows["isdtype"] = of_dtypes(lambda xp, d: [xp.isdtype(d, kind) for kind in KINDS])
    limits = ("bits", "eps", "max", "min", "smallest_normal", "dtype")
    rows["finfo"] = of_dtypes(lambda xp, d: [getattr(xp.finfo(d), n) for n in limits], FLOATING)
    limits = ("bits", "max", "min", "dtype")
    rows["iinfo"] = of_dtypes(lambda xp, d: [getattr(xp.iinfo(d), n) for n in limits], DTYPES[1:9])
    rows["astype"] = [
        called(lambda xp, x, d=d: xp.astype(x, getattr(xp, d)), x) for x in SHORT for d in DTYPES
    ]
    rows["astype"] += [called(lambda xp, x: xp.astype(x, x.dtype, copy=False) is x, A)]
    rows["__array_namespace_info__"] = [
        *(lambda xp, k=k: xp.__array_namespace_info__().dtypes(kind=k) for k in (None, *KINDS)),
        lambda xp: xp.__array_namespace_info__().capabilities(),
    ]
    return rows


def array():
    """Of the array object: attributes, methods, indices. Operators are in standard_elements.py."""
    x = np.arange(24.0).reshape(2, 3, 4)
    arrays = [*SHORT, np.array(1), x[:0]]
    rows = {
        f"array.{name}": each(lambda xp, a, n=name: getattr(a, n), arrays)
        for name in ("dtype", "ndim", "shape", "size")
    }
    rows["array.__getitem__"], rows["array.__setitem__"] = read(x), written(x)
    rows["array.device"] = [
        called(lambda xp, a: a.device == xp.__array_namespace_info__().default_device(), x)
    ]
    rows["array.T"] = [called(lambda xp, a: a.T, A)]
    rows["array.mT"] = [called(lambda xp, a: a.mT, m) for m in (A, x)]
    one = [np.array(v) for v in (True, 3, -2.0, 0.0, 1.0 + 0j)]
    for name, kind in (("bool", bool), ("int", int), ("float", float), ("complex", complex)):
        rows[f"array.__{name}__"] = each(lambda xp, a, k=kind: k(a), one)
    rows["array.__index__"] = each(lambda xp, a: [0, 1, 2, 3, 4][a], one)
    rows["array.__array_namespace__"] = [called(lambda xp, a: a.__array_namespace__() is xp, x)]
    rows["array.__dlpack__"] = each(lambda xp, a: xp.asarray(np.from_dlpack(a)), SHORT)
    rows["array.__dlpack_device__"] = [
        called(lambda xp, a: tuple(map(int, a.__dlpack_device__())), x)
    ]
    rows["array.to_device"] = [called(lambda xp, a: a.to_device(a.device), x)]
    return rows


def read(x):
    """Calls of `a[index]`."""
    every = slice(None)
    places = [
        *(0, -1, (1, 2, 3), (..., 0), (every, None, 1), ..., (every, slice(None, None, 2))),
        *((every, slice(2, 0, -1), slice(1, -1)), (0, slice(3, 1)), (every, None, every, 0)),
    ]
    index = np.array([[1, 0], [1, 1]])
    return [
        *(called(lambda xp, a, i=i: a[i], x) for i in places),
        called(lambda xp, a: a[a > 7], x),
        called(lambda xp, a: a[xp.asarray(True)], x),
        called(lambda xp, a: a[()], np.array(2.0)),
        called(lambda xp, a: a[..., None], np.array(2.0)),
        called(lambda xp, a, i: a[i, i], x, index),
        called(lambda xp, a, i: a[i, 1, 2], x, index),
        called(lambda xp, a, i: a[i, i, i], x, index),
    ]


def written(x):
    """Calls of `a[index] = value`."""
    every = slice(None)
    places = [((..., 1), 2), ((1, 2, 3), -1), (0, 5.0), ((every, slice(None, None, -2)), 3.5)]

    def f(xp, a, place, value):
        a = xp.asarray(a, copy=True)
        a[place(a) if callable(place) else place] = value(a) if callable(value) else value
        return a

    places += [(lambda a: a > 7, 0.0), ((every, 0), lambda a: a[:, 1])]
    return [called(lambda xp, a, p=p, v=v: f(xp, a, p, v), x) for p, v in places]


def rows():
    """{name: calls}."""
    return {**creation(), **dtypes(), **array()}
