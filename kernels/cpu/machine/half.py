"""float16 by way of float32: it is storage, and the arithmetic is a float32 kernel's."""

import numpy as np


def all_half(*arrays):
    """Whether arrays, None and masks of booleans passed over, are all float16: at least one is."""
    some = False
    for a in arrays:
        if a is not None and a.dtype != np.bool_:
            if a.dtype != np.float16:
                return False
            some = True
    return some


def by_single(kernel, *args, kept=()):
    """`kernel` with float16 arguments as float32; the results rounded once, but those `kept`."""
    results = kernel(*(_single(a) for a in args))
    if not isinstance(results, tuple):
        return results.astype(np.float16)
    return tuple(
        y if y is None or i in kept else y.astype(np.float16) for i, y in enumerate(results)
    )


def _single(a):
    return a.astype(np.float32) if type(a) is np.ndarray and a.dtype == np.float16 else a
