"""Rows of kernels that move elements: pooling, and rows of a table by their index."""

from functools import partial

import numpy as np
from tinygrad_like.kernels.geometry import pool_geometry

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, normal
from bench.limits import Work

WINDOW = (2, 2), (2, 2), (0, 0)
INDEX = 8  # bytes of int64


def rows():
    for shape in ((64, 64, 64, 64), (64, 32, 28, 28), (64, 64, 14, 14)):
        yield from _max_pool2d(shape)
    yield from _avg_pool2d((64, 64, 64, 64))
    yield from _max_pool3d((4, 32, 16, 32, 32))
    for size in (7, 30):
        yield from _adaptive_max_pool2d((16, 64, 60, 60), size)
    yield from _bag_maxima(50_000, 64, 4096, 20)
    yield from _gather_and_scatter(32768, 256, 65536)
    yield from _gather_and_scatter(65, 128, 2048)
    yield _sum_rows(1_000_000, 64, 4096)


def _pooled(shape):
    n, c, h, w = shape
    return n, c, h // 2, w // 2


def _max_pool2d(shape):
    geometry = pool_geometry(shape, *WINDOW)

    def backward(k, x, g):
        index = k.max_pool2d(x, geometry)[1]
        return partial(k.max_pool2d_backward, g, index, geometry)

    def torch_forward(torch, x, g):
        return lambda: torch.ops.aten.max_pool2d_with_indices(x, *WINDOW)

    def torch_backward(torch, x, g):
        aten = torch.ops.aten
        index = aten.max_pool2d_with_indices(x, *WINDOW)[1]
        backward = aten.max_pool2d_with_indices_backward
        return lambda: backward(g, x, *WINDOW, (1, 1), False, index)

    whole, part = np.prod(shape).item(), np.prod(_pooled(shape)).item()
    arrays = normal(shape, _pooled(shape))
    yield Row(
        f"max_pool2d {by_x(shape)}",
        arrays,
        lambda k, x, g: partial(k.max_pool2d, x, geometry),
        torch_forward,
        Work(read=FLOAT * whole, written=FLOAT * part),  # an index may have any width
    )
    yield Row(
        f"max_pool2d_backward {by_x(shape)}",
        arrays,
        backward,
        torch_backward,
        Work(read=FLOAT * part, written=FLOAT * whole),
    )


def _avg_pool2d(shape):
    geometry = pool_geometry(shape, *WINDOW)

    def torch_backward(torch, x, g):
        backward = torch.ops.aten.avg_pool2d_backward
        return lambda: backward(g, x, *WINDOW, False, True, None)

    whole, part = np.prod(shape).item(), np.prod(_pooled(shape)).item()
    arrays = normal(shape, _pooled(shape))
    yield Row(
        f"avg_pool2d {by_x(shape)}",
        arrays,
        lambda k, x, g: partial(k.avg_pool2d, x, geometry),
        lambda torch, x, g: lambda: torch.ops.aten.avg_pool2d(x, *WINDOW),
        Work(read=FLOAT * whole, written=FLOAT * part),
    )
    yield Row(
        f"avg_pool2d_backward {by_x(shape)}",
        arrays,
        lambda k, x, g: partial(k.avg_pool2d_backward, g, geometry),
        torch_backward,
        Work(read=FLOAT * part, written=FLOAT * whole),
    )


def _max_pool3d(shape):
    """Cubes of 2 x 2 x 2."""
    n, c, *sides = shape
    part = n, c, *(side // 2 for side in sides)

    def cubes(x):
        """A view in which each cube has axes of its own."""
        return x.reshape(n, c, *(k for side in part[2:] for k in (side, 2)))

    def pooled(x):
        return cubes(x).max((3, 5, 7))

    def forward(k, x, g):
        return partial(k.max_pool3d, x, 2) if hasattr(k, "max_pool3d") else partial(pooled, x)

    def backward(k, x, g):
        if hasattr(k, "max_pool3d"):
            return partial(k.vjp(lambda x: k.max_pool3d(x, 2), x)[1], g)
        y, g = (
            a.reshape(n, c, *(k for side in part[2:] for k in (side, 1))) for a in (pooled(x), g)
        )
        return lambda: np.where(cubes(x) == y, g, 0).reshape(shape)

    def of_torch(torch, x):
        return torch.nn.functional.max_pool3d(x, 2)

    size = FLOAT * np.prod(shape).item()
    yield Row(
        f"max_pool3d {by_x(shape)}",
        normal(shape, part),
        forward,
        lambda torch, x, g: partial(of_torch, torch, x),
        Work(read=size, written=size // 8),
    )
    yield Row(
        f"max_pool3d_backward {by_x(shape)}",
        normal(shape, part),
        backward,
        lambda torch, x, g: by_autograd(torch, partial(of_torch, torch), [x], g, 1),
        Work(read=size // 8, written=size),
    )


def _adaptive_max_pool2d(shape, size):
    """Windows that overlap, as their number does not divide the image."""
    part = *shape[:2], size, size

    def backward(k, x, g):
        _, index = k.adaptive_max_pool2d(x, (size, size))
        geometry = pool_geometry(shape, (1, 1), (1, 1), (0, 0))
        sizes = geometry._replace(ho=size, wo=size)
        return partial(k.max_pool2d_backward, g, index, sizes)

    def of_torch(torch, x):
        return torch.nn.functional.adaptive_max_pool2d(x, size, return_indices=True)

    whole, small = (FLOAT * np.prod(s).item() for s in (shape, part))
    yield Row(
        f"adaptive_max_pool2d {by_x(shape)} to {size}x{size}",
        normal(shape, part),
        lambda k, x, g: partial(k.adaptive_max_pool2d, x, (size, size)),
        lambda torch, x, g: partial(of_torch, torch, x),
        Work(read=whole, written=small),
    )
    yield Row(
        f"adaptive_max_pool2d_backward {by_x(shape)} to {size}x{size}",
        normal(shape, part),
        backward,
        lambda torch, x, g: by_autograd(torch, lambda x: of_torch(torch, x)[0], [x], g, 1),
        Work(read=small, written=whole),
    )


def _bag_maxima(size, width, bags, length):
    """The maxima of bags of rows of a table, and their gradient."""
    starts, counted = np.arange(bags + 1) * length, np.ones(bags * length, bool)

    def arrays(rng):
        return *normal((size, width), (bags, width))(rng), rng.integers(0, size, (bags, length))

    def backward(k, table, g, ids):
        flat = ids.reshape(-1)
        y, ties = k.bag_maxima(table, flat, counted, starts)
        of_ids = np.repeat(np.arange(bags), length)
        return partial(k.bag_maxima_backward, g, table, flat, counted, of_ids, y, ties)

    def of_torch(torch, ids, table):
        return torch.nn.functional.embedding_bag(ids, table, mode="max")

    name = f"{bags}x{length} of {size}x{width}"
    whole, part = FLOAT * size * width, FLOAT * bags * width
    yield Row(
        f"bag_maxima {name}",
        arrays,
        lambda k, table, g, ids: partial(k.bag_maxima, table, ids.reshape(-1), counted, starts),
        lambda torch, table, g, ids: partial(of_torch, torch, ids, table),
        Work(read=whole, written=part),
    )
    yield Row(
        f"bag_maxima_backward {name}",
        arrays,
        backward,
        lambda torch, table, g, ids: by_autograd(
            torch, partial(of_torch, torch, ids), [table], g, 1
        ),
        Work(read=whole, written=whole),
    )


def _gather_and_scatter(size, width, n):
    """An embedding's forward, and its gradient: zeros, then rows added, many of them twice."""

    def arrays(rng):
        shapes = (size, width), (n, width)
        return [*normal(*shapes)(rng), rng.integers(0, size, n)]

    def scatter(k, table, g, index):
        def step():
            dtable = np.zeros_like(table)
            k.scatter_add_(dtable, index, g)
            return dtable

        return step

    def torch_scatter(torch, table, g, index):
        return partial(torch.ops.aten.embedding_dense_backward, g, index, size, -1, False)

    shape = f"{n} of {by_x((size, width))}"
    table, moved = FLOAT * size * width, FLOAT * n * width
    yield Row(
        f"gather_rows {shape}",
        arrays,
        lambda k, table, g, index: partial(k.gather_rows, table, index),
        lambda torch, table, g, index: partial(torch.embedding, table, index),
        Work(read=INDEX * n + min(table, moved), written=moved),
    )
    yield Row(
        f"scatter_add {shape}",
        arrays,
        scatter,
        torch_scatter,
        Work(read=INDEX * n + moved, written=table),
    )


def _sum_rows(size, width, n):
    """The gradient of an embedding as rows: each one that was read once, with its sum."""

    def arrays(rng):
        return [*normal((n, width))(rng), rng.integers(0, size // 500, n)]

    def ours(k, g, index):
        return lambda: k.sum_rows(index, g)[1]

    def of_torch(torch, g, index):
        places, shape = index[None], (size, width)
        return lambda: (
            torch.sparse_coo_tensor(places, g, shape, check_invariants=False).coalesce().values()
        )

    moved = FLOAT * n * width
    return Row(
        f"sum_rows {n} of {by_x((size, width))}",
        arrays,
        ours,
        of_torch,
        Work(read=INDEX * n + moved, written=moved),
    )
