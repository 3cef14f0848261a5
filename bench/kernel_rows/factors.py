"""Rows of linear algebra: LAPACK's factorisations, and what is made of them."""

from functools import partial

import numpy as np

from bench.kernel_rows.row import Row, by_x
from bench.limits import Work


def rows():
    for shape in ((256, 256), (64, 16, 16)):
        yield _expm(shape)
        yield _linalg("eigh", _symmetric, shape, 4, lambda found: found[0])
    yield _linalg("svd", _scaled, (256, 64), 4, lambda found: found[1], full_matrices=False)
    yield _linalg("qr", _scaled, (256, 64), 1, lambda found: abs(found[1]))
    yield _linalg("pinv", _scaled, (256, 64), 4, lambda found: found)


def _scaled(shape):
    """Matrices of a norm of about 1."""

    def arrays(rng):
        return [rng.standard_normal(shape, np.float32) / np.float32(shape[-1] ** 0.5)]

    return arrays


def _symmetric(shape):
    def arrays(rng):
        (x,) = _scaled(shape)(rng)
        return [x + x.swapaxes(-1, -2)]

    return arrays


def _work(shape, products):
    """At least so many products of square matrices, or of (m, n) with (n, n)."""
    return Work(flops=2 * products * int(np.prod(shape)) * shape[-1])


def _expm(shape):
    def kernel(k, x):
        if hasattr(k.linalg, "expm"):
            return partial(k.linalg.expm, x)
        from scipy.linalg import expm

        return partial(expm, x)

    def torch_step(torch, x):
        return partial(torch.linalg.matrix_exp, x)

    name = f"expm {by_x(shape)}"
    return Row(name, _scaled(shape), kernel, torch_step, _work(shape, 4), tolerance=1e-4)


def _linalg(name, arrays, shape, products, compared, **options):
    """A function of linalg; of its result what has no arbitrary signs is compared."""

    def kernel(library, x):
        function = getattr(library.linalg, name, None) or getattr(np.linalg, name)
        return lambda: compared(function(x, **options))

    label = f"{name} {by_x(shape)}"
    return Row(label, arrays(shape), kernel, kernel, _work(shape, products), tolerance=1e-4)
