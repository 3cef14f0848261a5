"""Rows of reading at positions of a grid, and of distances between positions."""

from functools import partial

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, normal
from bench.limits import Work

IMAGES = [((8, 3, 64, 64), "bilinear"), ((8, 64, 64, 64), "bilinear"), ((8, 16, 64, 64), "bicubic")]
VECTORS = [(1, 1024, 64, 2.0), (1, 512, 512, 2.0), (8, 512, 3, 2.0), (1, 1024, 64, 1.0)]
CORNERS = {"bilinear": 4, "bicubic": 16}


def rows():
    for shape, mode in IMAGES:
        yield from _sampled(shape, mode)
    for batch, n, d, p in VECTORS:
        yield from _distances((batch, n, d), p)


def _sampled(shape, mode):
    """As many positions as there are pixels, anywhere in an image and a little beyond it."""
    n, c, h, w = shape
    options = mode, "zeros", False
    both = True, True

    def arrays(rng):
        grid = rng.uniform(-1.1, 1.1, (n, h, w, 2)).astype("float32")
        return [*normal(shape, shape)(rng), grid]

    def torch_sample(torch, x, grid):
        return torch.nn.functional.grid_sample(x, grid, mode, align_corners=False)

    size, places = FLOAT * n * c * h * w, FLOAT * n * h * w * 2
    flops = 2 * CORNERS[mode] * n * c * h * w
    yield Row(
        f"grid_sample {by_x(shape)} {mode}",
        arrays,
        lambda k, x, g, grid: partial(k.grid_sample, x, grid, *options),
        lambda torch, x, g, grid: partial(torch_sample, torch, x, grid),
        Work(read=size + places, written=size, flops=flops),
    )
    yield Row(
        f"grid_sample_backward {by_x(shape)} {mode}",
        arrays,
        lambda k, x, g, grid: partial(k.grid_sample_backward, g, x, grid, *options, both),
        lambda torch, x, g, grid: by_autograd(torch, partial(torch_sample, torch), [x, grid], g, 2),
        Work(read=2 * size + places, written=size + places, flops=2 * flops),
        tolerance=1e-4,  # PyTorch finds positions in float32
    )


def _distances(shape, p):
    batch, n, d = shape
    size, out = FLOAT * batch * n * d, FLOAT * batch * n * n
    name = f"{by_x(shape)} p={p:g}"
    arrays = normal(shape, shape, (batch, n, n))
    yield Row(
        f"distances {name}",
        arrays,
        lambda k, a, b, g: partial(k.distances, a, b, p),
        lambda torch, a, b, g: partial(torch.cdist, a, b, p),
        Work(read=2 * size, written=out, flops=2 * batch * n * n * d),
    )
    yield Row(
        f"distances_backward {name}",
        arrays,
        lambda k, a, b, g: partial(k.distances_backward, g, a, b, k.distances(a, b, p), p),
        lambda torch, a, b, g: by_autograd(torch, partial(torch.cdist, p=p), [a, b], g, 2),
        Work(read=2 * size + 2 * out, written=2 * size, flops=4 * batch * n * n * d),
        tolerance=1e-4,
    )
