"""The dtypes that kernels take: their names in C, and what is left to the reference."""

import functools
import logging

import numpy as np

from ...reference.precision import INEXACT

# C types, and NumPy's names of them.
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


@functools.cache
def log_once(message, *what):
    """Warn of a slower way that a kernel goes, the first time that it goes it."""
    logging.getLogger(__name__).warning(message, *what)


# The names of dtypes: NumPy puts one together each time that it is asked.
_names = {np.dtype(name): name for name in DTYPES.values() if name != "bfloat16"}


def dtype_name(dtype):
    """`float32` of a dtype, a NumPy type or a name."""
    name = _names.get(dtype)
    if name is None:
        name = _names[dtype] = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    return name


def as_int64(index):
    """Labels, indices or lengths as kernels read them: `long long`."""
    return index if index.dtype == np.int64 else index.astype(np.int64)


def common_dtype(*arrays, dtypes=FLOATS):
    """The name of the one dtype of all arrays (None is passed over); None if they differ.

    None also for a dtype that is not among `dtypes`: what kernels do not take is the reference's.
    """
    names = {dtype_name(a.dtype) for a in arrays if a is not None}
    name = names.pop() if len(names) == 1 else None
    return name if name in dtypes else None


def kernel_dtype(op, *arrays):
    """`common_dtype`; where the reference has to do for real numbers, that is said once."""
    name = common_dtype(*arrays)
    if name is None:
        dtypes = [a.dtype for a in arrays if a is not None]
        if any(dtype.kind in INEXACT for dtype in dtypes):
            names = ", ".join(map(dtype_name, dtypes))
            log_once("[%s] no kernel for %s: the array library's own way instead", op, names)
    return name
