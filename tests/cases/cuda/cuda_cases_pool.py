"""Cases of pool.cu."""

import numpy as np
from cuda_case import Case
from tinygrad_like.kernels.geometry import pool_geometry


def _images(rng, shape, special):
    x = rng.integers(-3, 4, shape) / 2  # with ties
    if special:
        x[rng.random(shape) < 0.05] = np.nan
        x[rng.random(shape) < 0.3] = -np.inf
    return x


def _max(shape, *window, special=False):
    geometry = pool_geometry(shape, *window)

    def make(rng):
        return [_images(rng, shape, special), rng.standard_normal(shape)]

    def call(k, x, h):
        y, index = k.max_pool2d(x, geometry)
        g = k.max_pool2d_gather(h, index)
        return y, index, g, k.max_pool2d_backward(g, index, geometry)

    return Case(f"max_pool2d-{shape}-{window}-{special}", "pool.cu", call, make)


def _avg(shape, *window):
    geometry = pool_geometry(shape, *window)

    def call(k, x):
        y = k.avg_pool2d(x, geometry)
        return y, k.avg_pool2d_backward(y, geometry)

    label = f"avg_pool2d-{shape}-{window}"
    return Case(label, "pool.cu", call, lambda rng: [rng.standard_normal(shape)])


POOLS = [
    ((2, 3, 6, 8), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 6, 7), (3, 2), (2, 1), (1, 1)),
    ((1, 2, 9, 8), (3, 3), (1, 1), (1, 1)),
    ((1, 1, 17, 11), (3, 5), (2, 3), (0, 2)),
    ((2, 1, 5, 7), (2, 2), (2, 2), ((0, 1), (0, 1))),
    ((1, 2, 6, 7), (3, 4), (2, 3), ((2, 0), (1, 3))),
    ((0, 3, 6, 6), (2, 2), (2, 2), (0, 0)),
]
CASES = [
    *(_max(*pool) for pool in POOLS),
    _max(*POOLS[1], special=True),
    *(_avg(*pool) for pool in POOLS),
]
