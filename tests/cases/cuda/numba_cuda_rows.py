"""Runs the kernels of kernels/numba_cuda against the reference; prints what is wrong.

    NUMBA_ENABLE_CUDASIM=1 python tests/cases/cuda/numba_cuda_rows.py      in numba's simulator
    python tests/cases/cuda/numba_cuda_rows.py                             on a GPU

A script, since the simulator has to be chosen before numba is imported.
"""

import sys

import numpy as np
from tinygrad_like.kernels import numba_cuda, reference
from tinygrad_like.kernels.geometry import conv_geometry

CONVOLUTIONS = [
    ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 4, 6, 5), (2, 2, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((0, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
]
MASKED = np.full((2, 9), -np.inf)
MASKED[0, ::2] = 1.0


def rows(rng):
    """(kernel, arguments) of every row, arrays in float64."""
    normal = rng.standard_normal
    for m, k, n in ((5, 6, 7), (1, 1, 1), (9, 13, 4), (3, 0, 4), (0, 3, 2)):
        yield "matmul", (normal((m, k)), normal((k, n)))
        yield "linear", (normal((m, k)), normal((k, n)), normal(n))
    for shape in ((2, 3, 11), (3, 1), (2, 33), (0, 4)):
        yield "softmax", (normal(shape),)
        yield "log_softmax", (normal(shape),)
        yield "softmax_backward", (normal(shape), normal(shape))
        yield "log_softmax_backward", (normal(shape), -np.abs(normal(shape)))
    yield "softmax", (MASKED,)
    yield "log_softmax", (MASKED,)
    for x, weight, *options in CONVOLUTIONS:
        geometry = conv_geometry(x, weight, *options)
        y = geometry.y_shape
        yield "conv2d", (normal(x), normal(weight), geometry)
        yield "conv2d", (normal(x), normal(weight), geometry, normal(weight[0]))
        yield "conv2d_input_grad", (normal(y), normal(weight), geometry)
        yield "conv2d_weight_grad", (normal(y), normal(x), geometry)


def refusals():
    """(what, kernel, arguments, a part of the message) of what is refused."""
    a = np.ones((4, 4), np.float32)
    yield "integers", "matmul", (a.astype(int), a), "[matmul] a has dtype int64, expected"
    yield "a mixture", "softmax_backward", (a, a.astype(float)), "y has dtype float64, the first"
    yield "a view", "softmax", (a[:, ::2],), "[softmax] x of shape (4, 2) is a strided view"
    yield "shapes", "matmul", (a, np.ones((3, 4), np.float32)), "expected (n, k) and (k, m)"


def refusal(name, arguments):
    """The text of the ValueError of a call; nothing if it goes through."""
    try:
        getattr(numba_cuda, name)(*arguments)
    except ValueError as error:
        return str(error)
    return ""


def main():
    wrong = []
    for dtype in (np.float32, np.float64):
        for name, arguments in rows(np.random.default_rng(0)):
            given = [a.astype(dtype) if isinstance(a, np.ndarray) else a for a in arguments]
            wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in given]
            found, exact = getattr(numba_cuda, name)(*given), getattr(reference, name)(*wide)
            bound = 32 * np.finfo(dtype).eps * np.abs(exact[np.isfinite(exact)]).max(initial=1e-30)
            same = found.dtype == dtype and np.allclose(found, exact, rtol=0, atol=bound)
            if not same:
                shapes = [getattr(a, "shape", a) for a in arguments]
                wrong.append(f"{name} of {shapes} in {np.dtype(dtype)}")
    for what, name, arguments, message in refusals():
        said = refusal(name, arguments)
        if message not in said:
            wrong.append(f"{name} says of {what}: {said or 'nothing'}")
    print("\n".join(wrong) or "all rows agree")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
