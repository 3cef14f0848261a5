"""The dtypes that kernels take: their names in C, and what is left to the reference."""

import functools
import logging

import numpy as np

from ...reference.precision import INEXACT

# C types, and NumPy's names for them.
DTYPES = {
    "bool": "bool",
    "unsigned char": "uint8",
    "int": "int32",
    "unsigned": "uint32",
    "long long": "int64",
    "unsigned long long": "uint64",
    "float": "float32",
    "double": "float64",
    "__half": "float16",
    "__nv_bfloat16": "bfloat16",
}
# The C type of the arrays' elements, `scalar_t`, by dtype.
SCALARS = {
    "float32": "float",
    "float64": "double",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
}
FLOATS = tuple(SCALARS)
ITEMSIZES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
# The dtype of arithmetic, `acc_t` in C, by the dtype of the arrays.
WIDE = {name: np.dtype("float64" if name == "float64" else "float32") for name in FLOATS}


@functools.cache
def log_once(message, *what):
    """Warn that something slower is computed instead, once for each message."""
    logging.getLogger(__name__).warning(message, *what)


# Names by dtype: NumPy builds a name each time that it is asked for one.
_names = {np.dtype(name): name for name in DTYPES.values() if name != "bfloat16"}


def dtype_name(dtype):
    """The name, as "float32", of a dtype, a NumPy type or a name."""
    name = _names.get(dtype)
    if name is None:
        name = _names[dtype] = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    return name


def as_int64(index):
    """Labels, indices or lengths as kernels read them: `long long`."""
    return index if index.dtype == np.int64 else index.astype(np.int64)


def common_dtype(*arrays):
    """The name of the one dtype of all arrays (None is passed over); None if they differ.

    None also for a dtype that no kernel takes, which is left to the reference.
    """
    names = {dtype_name(a.dtype) for a in arrays if a is not None}
    name = names.pop() if len(names) == 1 else None
    return name if name in FLOATS else None


def kernel_dtype(op, *arrays):
    """`common_dtype`; if it is None, warn as `log_refused` does."""
    name = common_dtype(*arrays)
    if name is None:
        log_refused(op, [a for a in arrays if a is not None])
    return name


def log_refused(op, arrays):
    """Warn once that no kernel takes the dtypes of these arrays, unless all are integers."""
    dtypes = [a.dtype for a in arrays]
    if any(dtype.kind in INEXACT for dtype in dtypes):
        names = ", ".join(map(dtype_name, dtypes))
        log_once("[%s] no kernel for %s: computed by the array library instead", op, names)
