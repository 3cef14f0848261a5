"""Rows of kernels that run along rows: softmax, cross-entropy and the norms, with gradients."""

from functools import partial

import numpy as np

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, moved, normal
from bench.limits import Work

EPS = 1e-5
ALL = (True, True, True)
LARGE = (16384, 1024)
IMAGES = [(64, 64, 64, 64), (64, 32, 28, 28)]


def rows():
    yield from _softmax(LARGE)
    for shape in (LARGE, (768, 65)):
        yield from _cross_entropy(shape)
    for shape in (LARGE, (2048, 384), (768, 128)):
        yield from _layer_norm(shape)
    yield from _rms_norm(LARGE)
    for shape in IMAGES:
        yield from _batch_norm(shape)
    yield from _group_norm(IMAGES[0])


def _softmax(shape):
    for name in ("softmax", "log_softmax"):

        def backward(k, g, x, name=name):
            return partial(getattr(k, f"{name}_backward"), g, getattr(k, name)(x))

        def torch_backward(torch, g, x, name=name):
            y = getattr(torch, name)(x, -1)
            dx = getattr(torch.ops.aten, f"_{name}_backward_data")
            return partial(dx, g, y, -1, torch.float32)

        yield Row(
            f"{name} {by_x(shape)}",
            normal(shape),
            lambda k, x, name=name: partial(getattr(k, name), x),
            lambda torch, x, name=name: partial(getattr(torch, name), x, -1),
            moved(shape, 1, 1),
        )
        yield Row(
            f"{name}_backward {by_x(shape)}",
            normal(shape, shape),
            backward,
            torch_backward,
            moved(shape, 2, 1),
        )


def _cross_entropy(shape):
    n, classes = shape

    def arrays(rng):
        return [
            rng.standard_normal(shape, np.float32),
            rng.integers(0, classes, n),
            rng.standard_normal(n, np.float32),
        ]

    def backward(k, logits, labels, g):
        sums = k.cross_entropy(logits, labels)[1]
        return partial(k.cross_entropy_backward, g, logits, labels, sums)

    def torch_forward(torch, logits, labels, g):
        cross_entropy = torch.nn.functional.cross_entropy
        return lambda: (cross_entropy(logits, labels, reduction="none"),)

    def torch_backward(torch, logits, labels, g):
        aten = torch.ops.aten
        log_p = torch.log_softmax(logits, -1)
        total = aten.nll_loss_forward(log_p, labels, None, 0, -100)[1]

        def step():
            dlog_p = aten.nll_loss_backward(g, log_p, labels, None, 0, -100, total)
            return aten._log_softmax_backward_data(dlog_p, log_p, -1, torch.float32)

        return step

    size = FLOAT * n * classes
    yield Row(
        f"cross_entropy {by_x(shape)}",
        arrays,
        lambda k, logits, labels, g: partial(k.cross_entropy, logits, labels),
        torch_forward,
        Work(read=size),
    )
    yield Row(
        f"cross_entropy_backward {by_x(shape)}",
        arrays,
        backward,
        torch_backward,
        Work(read=size, written=size),
    )


def _layer_norm(shape):
    d = shape[1]

    def backward(k, x, weight, bias, g):
        _, mean, rstd = k.layer_norm(x, weight, bias, EPS)
        return partial(k.layer_norm_backward, g, x, weight, mean, rstd, ALL)

    def torch_backward(torch, x, weight, bias, g):
        aten = torch.ops.aten
        _, mean, rstd = aten.native_layer_norm(x, (d,), weight, bias, EPS)
        return lambda: aten.native_layer_norm_backward(
            g, x, (d,), mean, rstd, weight, bias, list(ALL)
        )

    arrays = normal(shape, d, d, shape)
    yield Row(
        f"layer_norm {by_x(shape)}",
        arrays,
        lambda k, x, weight, bias, g: partial(k.layer_norm, x, weight, bias, EPS),
        lambda torch, x, weight, bias, g: (
            lambda: torch.ops.aten.native_layer_norm(x, (d,), weight, bias, EPS)
        ),
        moved(shape, 1, 1),
    )
    yield Row(
        f"layer_norm_backward {by_x(shape)}", arrays, backward, torch_backward, moved(shape, 2, 1)
    )


def _rms_norm(shape):
    d = shape[1]

    def backward(k, x, weight, g):
        rstd = k.rms_norm(x, weight, EPS)[1]
        return partial(k.rms_norm_backward, g, x, weight, rstd, ALL[:2])

    def torch_backward(torch, x, weight, g):
        def norm(x, weight):
            return torch.nn.functional.rms_norm(x, (d,), weight, EPS)

        return by_autograd(torch, norm, [x, weight], g, 2)

    arrays = normal(shape, d, shape)
    yield Row(
        f"rms_norm {by_x(shape)}",
        arrays,
        lambda k, x, weight, g: partial(k.rms_norm, x, weight, EPS),
        lambda torch, x, weight, g: lambda: torch.ops.aten._fused_rms_norm(x, (d,), weight, EPS),
        moved(shape, 1, 1),
    )
    yield Row(
        f"rms_norm_backward {by_x(shape)}", arrays, backward, torch_backward, moved(shape, 2, 1)
    )


def _batch_norm(shape):
    n, c, h, w = shape

    def backward(k, x, weight, bias, g):
        _, mean, var = k.batch_norm(x, weight, bias, EPS)
        return partial(k.batch_norm_backward, g, x, weight, mean, var, EPS, ALL)

    def torch_forward(torch, x, weight, bias, g):
        norm = torch.ops.aten.native_batch_norm
        return lambda: norm(x, weight, bias, None, None, True, 0.1, EPS)[:2]

    def torch_backward(torch, x, weight, bias, g):
        aten = torch.ops.aten
        _, mean, rstd = aten.native_batch_norm(x, weight, bias, None, None, True, 0.1, EPS)
        return lambda: aten.native_batch_norm_backward(
            g, x, weight, None, None, mean, rstd, True, EPS, list(ALL)
        )

    flat = (n, c, h * w)
    arrays = normal(flat, c, c, flat)
    yield Row(
        f"batch_norm {by_x(shape)}",
        arrays,
        lambda k, x, weight, bias, g: partial(k.batch_norm, x, weight, bias, EPS),
        torch_forward,
        moved(shape, 1, 1),
    )
    yield Row(
        f"batch_norm_backward {by_x(shape)}", arrays, backward, torch_backward, moved(shape, 2, 1)
    )


def _group_norm(shape, groups=8):
    n, c, h, w = shape

    def backward(k, x, weight, bias, g):
        _, mean, rstd = k.group_norm(x, weight, bias, groups, EPS)
        return partial(k.group_norm_backward, g, x, weight, groups, mean, rstd, ALL)

    def torch_forward(torch, x, weight, bias, g):
        norm = torch.ops.aten.native_group_norm
        return lambda: norm(x, weight, bias, n, c, h * w, groups, EPS)

    def torch_backward(torch, x, weight, bias, g):
        aten = torch.ops.aten
        _, mean, rstd = aten.native_group_norm(x, weight, bias, n, c, h * w, groups, EPS)
        return lambda: aten.native_group_norm_backward(
            g, x, mean, rstd, weight, n, c, h * w, groups, list(ALL)
        )

    flat = (n, c, h * w)
    arrays = normal(flat, c, c, flat)
    yield Row(
        f"group_norm {by_x(shape)}",
        arrays,
        lambda k, x, weight, bias, g: partial(k.group_norm, x, weight, bias, groups, EPS),
        torch_forward,
        moved(shape, 1, 1),
    )
    yield Row(
        f"group_norm_backward {by_x(shape)}", arrays, backward, torch_backward, moved(shape, 2, 1)
    )
