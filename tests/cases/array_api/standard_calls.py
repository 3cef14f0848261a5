"""How a row of the array API's is written: a call that each namespace gets, on its own arrays."""

from functools import reduce

import numpy as np

DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float32", "float64", "complex64", "complex128"),
)
REAL, FLOATING, COMPLEX = DTYPES[1:11], DTYPES[9:], DTYPES[11:]
SHORT = [np.arange(6).reshape(2, 3).astype(d) for d in DTYPES]  # an array of each dtype

GENERATOR = np.random.default_rng(5)
A, B, C = (GENERATOR.normal(size=shape) for shape in ((2, 3), (2, 3), (3, 3)))
BATCH = GENERATOR.normal(size=(2, 3, 3))
Z = GENERATOR.normal(size=(2, 3, 3)) + 1j * GENERATOR.normal(size=(2, 3, 3))


def called(f, *arrays):
    """The call of `f(xp, *arrays)` on the arrays of a namespace."""
    return lambda xp: f(xp, *map(xp.asarray, arrays))


def to(name, *arrays, **options):
    """The call of a function by its name, such as `linalg.qr`."""
    return called(lambda xp, *xs: found(xp, name)(*xs, **options), *arrays)


def found(xp, name):
    return reduce(getattr, name.split("."), xp)


def each(f, arrays):
    """One call of `f(xp, array)` for each array."""
    return [called(f, x) for x in arrays]


def of_dtypes(f, dtypes=DTYPES):
    """One call of `f(xp, dtype)` for each dtype."""
    return [lambda xp, d=d: f(xp, getattr(xp, d)) for d in dtypes]


def default(name, *args, **options):
    """A call whose result has the default dtype of the namespace."""

    def call(xp):
        return found(xp, name)(*args, **options)

    call.default = True
    return call


def alike(p, q):
    """Whether two arrays of numbers have a common dtype in the standard."""
    integers = [x.dtype.kind in "iu" for x in (p, q)]
    return all(integers) == any(integers) == (np.result_type(p, q).kind in "iu")
