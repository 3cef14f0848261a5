"""Rows of kernels that move elements: pooling, and rows of a table by their index."""

from functools import partial

import numpy as np
from tinygrad_like.kernels.geometry import pool_geometry

from bench.kernel_rows.row import FLOAT, Row, by_x, normal
from bench.limits import Work

WINDOW = (2, 2), (2, 2), (0, 0)
INDEX = 8  # bytes of int64


def rows():
    for shape in ((64, 64, 64, 64), (64, 32, 28, 28), (64, 64, 14, 14)):
        yield from _max_pool2d(shape)
    yield from _avg_pool2d((64, 64, 64, 64))
    yield from _gather_and_scatter(32768, 256, 65536)
    yield from _gather_and_scatter(65, 128, 2048)


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
