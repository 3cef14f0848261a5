"""Rows of layers that are made of several kernels: resizing, volumes, bags, mixtures of experts.

Ours are the ops themselves. NumPy's, which has none of them, are the shortest texts that compute
the same: dense matrices for resizing, windows by stride tricks for volumes.
"""

from functools import partial

import numpy as np
from tinygrad_like.kernels.geometry import conv_geometry

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, normal
from bench.limits import Work

IMAGES = (32, 64, 64, 64)
PATCHES = 8, 32, 64, 64
VOLUMES = [((4, 16, 16, 32, 32), 32), ((2, 64, 8, 16, 16), 64)]
BAGS = (50_000, 64), (4096, 20)  # the table, and bags of ids
EXPERTS = (2048, 256, 512, 8)  # rows, width, hidden width, experts: two for each row
INDEX = 8  # bytes of int64


def rows():
    for mode, factor in (("bilinear", 2), ("bicubic", 2), ("nearest", 2), ("bilinear", 0.5)):
        yield from _resize(mode, factor)
    for shape, channels in VOLUMES:
        yield _conv3d(shape, channels)
    yield from _patches()
    yield from _bags()
    yield _experts()


def _matrix(n, mode, factor):
    """The matrix that resizes an axis of length n."""
    outputs = np.arange(int(n * factor))
    at = outputs // factor if mode == "nearest" else (outputs + 0.5) / factor - 0.5
    if mode == "bilinear":
        at = np.maximum(at, 0)
    matrix = np.zeros((outputs.size, n))
    for step in (-1, 0, 1, 2):
        places = np.floor(at) + step
        weights = WEIGHTS[mode](np.abs(at - places))
        np.add.at(matrix, (outputs, np.clip(places, 0, n - 1).astype(int)), weights)
    return matrix.astype(np.float32)


WEIGHTS = {  # of an element, by its distance
    "nearest": lambda d: d < 0.5,
    "bilinear": lambda d: np.maximum(1 - d, 0),
    "bicubic": lambda d: np.where(
        d <= 1,
        (1.25 * d - 2.25) * d * d + 1,
        np.where(d < 2, ((-0.75 * d + 3.75) * d - 6) * d + 3, 0),
    ),
}


def _resize(mode, factor):
    n, c, h, w = IMAGES
    small, large = FLOAT * n * c * h * w, int(FLOAT * n * c * h * w * factor * factor)
    shape = n, c, int(h * factor), int(w * factor)

    def forward(k, x, g):
        if hasattr(k, "interpolate"):
            return partial(k.interpolate, x, scale_factor=factor, mode=mode)
        rows, columns = _matrix(h, mode, factor), _matrix(w, mode, factor)
        return lambda: rows @ (x @ columns.T)

    def backward(k, x, g):
        if hasattr(k, "interpolate"):
            return partial(k.vjp(partial(k.interpolate, scale_factor=factor, mode=mode), x)[1], g)
        rows, columns = _matrix(h, mode, factor), _matrix(w, mode, factor)
        return lambda: rows.T @ g @ columns

    def resize(torch, x):
        return torch.nn.functional.interpolate(x, scale_factor=factor, mode=mode)

    name = f"{mode} {by_x(IMAGES)} by {factor}"
    yield Row(
        f"resample {name}",
        normal(IMAGES, shape),
        forward,
        lambda torch, x, g: partial(resize, torch, x),
        Work(read=small, written=large),
    )
    yield Row(
        f"resample_backward {name}",
        normal(IMAGES, shape),
        backward,
        lambda torch, x, g: by_autograd(torch, partial(resize, torch), [x], g, 1),
        Work(read=large, written=small),
    )


def _conv3d(shape, channels):
    n, c, d, h, w = shape
    weight = channels, c, 3, 3, 3
    flops = 2 * n * channels * c * (3 * d - 2) * (3 * h - 2) * (3 * w - 2)  # without the padding

    def kernel(k, x, weight):
        if hasattr(k, "conv3d"):
            return partial(k.conv3d, x, weight, padding=1)
        geometry = conv_geometry((n * d, c * 3, h, w), (channels, c * 3, 3, 3), padding=(1, 1))

        def step():
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 0)))
            slices = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)
            images = slices.transpose(0, 2, 1, 5, 3, 4).reshape(geometry.x_shape)
            y = k.conv2d(images, weight.reshape(geometry.weight_shape), geometry)
            return np.ascontiguousarray(y.reshape(n, d, channels, h, w).swapaxes(1, 2))

        return step

    return Row(
        f"conv3d {by_x(shape)} to {channels}",
        normal(shape, weight),
        kernel,
        lambda torch, x, weight: partial(torch.nn.functional.conv3d, x, weight, padding=1),
        Work(flops=flops, fewest_flops=flops // 4),
    )


def _patches():
    """Windows of 3 x 3 as columns, and such columns added up to images."""
    n, c, h, w = PATCHES
    size = h - 2, w - 2

    def cut(i, j):
        return np.s_[:, :, i : i + size[0], j : j + size[1]]

    def unfold(k, x, columns):
        if hasattr(k, "unfold"):
            return partial(k.unfold, x, 3)
        parts = [cut(i, j) for i in range(3) for j in range(3)]
        return lambda: np.stack([x[part] for part in parts], 2).reshape(columns.shape)

    def fold(k, x, columns):
        if hasattr(k, "fold"):
            return partial(k.fold, columns, (h, w), 3)
        parts = columns.reshape(n, c, 3, 3, *size)

        def step():
            y = np.zeros_like(x)
            for i, j in np.ndindex(3, 3):
                y[cut(i, j)] += parts[:, :, i, j]
            return y

        return step

    part, whole = FLOAT * n * c * h * w, FLOAT * n * c * 9 * size[0] * size[1]
    arrays = normal(PATCHES, (n, c * 9, size[0] * size[1]))
    yield Row(
        f"unfold {by_x(PATCHES)}",
        arrays,
        unfold,
        lambda torch, x, columns: partial(torch.nn.functional.unfold, x, 3),
        Work(read=part, written=whole),
    )
    yield Row(
        f"fold {by_x(PATCHES)}",
        arrays,
        fold,
        lambda torch, x, columns: partial(torch.nn.functional.fold, columns, (h, w), 3),
        Work(read=whole, written=part),
    )


def _bags():
    (size, width), (bags, length) = BAGS

    def arrays(rng):
        table, g = normal((size, width), (bags, width))(rng)
        return [table, g, rng.integers(0, size, (bags, length))]

    def forward(k, table, g, ids):
        if hasattr(k, "embedding_bag"):
            return partial(k.embedding_bag, table, ids)
        return lambda: table[ids].mean(axis=1)

    def backward(k, table, g, ids):
        if hasattr(k, "embedding_bag"):
            return partial(k.vjp(lambda table: k.embedding_bag(table, ids), table)[1], g)

        def step():
            dtable = np.zeros_like(table)
            k.scatter_add_(dtable, ids.reshape(-1), np.repeat(g / length, length, axis=0))
            return dtable

        return step

    def torch_bag(torch, ids, table):
        return torch.nn.functional.embedding_bag(ids, table)

    name = f"{bags}x{length} of {size}x{width}"
    read, part = FLOAT * bags * length * width + INDEX * bags * length, FLOAT * bags * width
    yield Row(
        f"embedding_bag {name}",
        arrays,
        forward,
        lambda torch, table, g, ids: partial(torch_bag, torch, ids, table),
        Work(read=min(read, FLOAT * size * width), written=part),
    )
    yield Row(
        f"embedding_bag_backward {name}",
        arrays,
        backward,
        lambda torch, table, g, ids: by_autograd(
            torch, partial(torch_bag, torch, ids), [table], g, 1
        ),
        Work(read=part, written=FLOAT * size * width),
    )


def _experts():
    count, width, hidden, experts = EXPERTS

    def arrays(rng):
        shapes = (2 * count, width), (experts, width, hidden), (experts, hidden, width)
        x, up, down = normal(*shapes)(rng)
        return [x, up / 16, down / 16, np.sort(rng.integers(0, experts, 2 * count))]

    def kernel(k, x, up, down, chosen):
        if hasattr(k, "expert_matmul"):
            return lambda: k.expert_matmul(
                np.maximum(k.expert_matmul(x, up, chosen), 0), down, chosen
            )
        return partial(_one_by_one, x, up, down, chosen, np.maximum, np.concatenate)

    def torch_kernel(torch, x, up, down, chosen):
        def relu(x, zero):
            return torch.relu(x)

        return partial(_one_by_one, x, up, down, chosen, relu, torch.cat)

    return Row(
        f"expert_matmul {2 * count} by {experts} of {width}x{hidden}x{width}",
        arrays,
        kernel,
        torch_kernel,
        Work(flops=2 * 2 * 2 * count * width * hidden),
    )


def _one_by_one(x, up, down, chosen, relu, join):
    """Each expert on the rows that chose it."""
    parts = [relu(x[chosen == e] @ up[e], 0) @ down[e] for e in range(len(up))]
    return join(parts)
