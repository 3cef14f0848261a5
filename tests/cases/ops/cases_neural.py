"""Rows for convolution, pooling, norms and random numbers: one line a row, see case.py."""

import numpy as np
from case import Apart, Bools, Case, F, Ints, N, P, torch
from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry

import tinygrad_like as tg
from tinygrad_like.ops.neural import conv, pool
from tinygrad_like.ops.neural.norm import normalize_channels


def conv_row(function, x, weight, *, bias=False, **attributes):
    """A convolution, with torch's function of the same name as the oracle."""
    axis = 1 if "transpose" in function.__name__ else 0
    channels = weight[axis] * (attributes.get("groups", 1) if axis else 1)
    inputs = [N(*x), N(*weight), *([N(channels)] if bias else [])]
    return Case(function, *inputs, **attributes)


CONV = [
    conv_row(tg.conv2d, (2, 1, 3, 3), (1, 1, 2, 2)),
    conv_row(tg.conv2d, (1, 2, 3, 3), (2, 2, 2, 2), bias=True),
    conv_row(tg.conv2d, (2, 1, 3, 4), (1, 1, 3, 3), padding=1),
    conv_row(tg.conv2d, (1, 1, 5, 4), (2, 1, 2, 3), bias=True, stride=2),
    conv_row(tg.conv2d, (1, 1, 5, 4), (2, 1, 3, 2), stride=(2, 1), padding=(1, 0)),
    conv_row(tg.conv2d, (1, 1, 5, 5), (1, 1, 2, 2), dilation=2),
    conv_row(tg.conv2d, (1, 1, 4, 6), (1, 1, 2, 3), dilation=(1, 2), padding=(0, 1), stride=(3, 2)),
    conv_row(tg.conv2d, (1, 4, 2, 3), (2, 2, 2, 2), groups=2, bias=True),
    conv_row(tg.conv2d, (1, 3, 2, 3), (6, 1, 2, 2), groups=3),
    conv_row(tg.conv2d, (2, 2, 2, 2), (3, 2, 1, 1)),
    conv_row(tg.conv2d, (1, 1, 3, 3), (1, 1, 3, 3), padding="same"),
    conv_row(tg.conv2d, (1, 1, 3, 3), (1, 1, 3, 1), padding="valid"),
    conv_row(tg.conv2d, (1, 1, 4, 3), (1, 1, 2, 2), stride=3),  # the last row is never seen
    conv_row(tg.conv2d, (1, 1, 2, 2), (1, 1, 1, 1), padding=2, stride=2),  # windows of padding
    conv_row(tg.conv1d, (2, 1, 5), (2, 1, 2)),
    conv_row(tg.conv1d, (2, 1, 5), (1, 1, 3), bias=True, padding=1, stride=2),
    conv_row(tg.conv1d, (1, 1, 7), (2, 1, 3), dilation=2, padding=2),
    conv_row(tg.conv1d, (1, 4, 3), (2, 2, 2), groups=2),
    conv_row(tg.conv1d, (1, 1, 5), (1, 1, 3), padding="same"),
    conv_row(tg.conv_transpose2d, (2, 1, 2, 2), (1, 2, 2, 2)),
    conv_row(tg.conv_transpose2d, (3, 2, 1, 2), (2, 1, 2, 2), bias=True, stride=2),
    conv_row(tg.conv_transpose2d, (2, 1, 3, 2), (1, 2, 3, 2), padding=1, stride=(2, 3)),
    conv_row(tg.conv_transpose2d, (2, 1, 2, 2), (1, 1, 3, 3), stride=2, output_padding=1),
    conv_row(tg.conv_transpose2d, (2, 1, 2, 3), (1, 1, 2, 2), dilation=2, bias=True),
    conv_row(tg.conv_transpose2d, (3, 1, 2, 2), (1, 1, 2, 2), padding=1),  # one pixel is left
    conv_row(tg.conv_transpose2d, (1, 4, 2, 2), (4, 1, 2, 2), groups=2, bias=True),
]


def padded_row(function, x, weight, padding, around, *, bias=False, **attributes):
    """A convolution that pads unevenly: torch's, of images padded by F.pad as `around` says."""
    oracle = getattr(F, function.__name__) if F else None

    def torch_conv(x, *more):
        return oracle(F.pad(x, around), *more, **attributes)

    row = conv_row(function, x, weight, bias=bias, padding=padding, **attributes)
    row.torch = torch_conv
    return row


def transposed_row(x, weight, padding, cut, *, bias=False, **attributes):
    """conv_transpose2d, as torch's without padding, of which (top, bottom, left, right) are cut."""
    top, bottom, left, right = cut
    extra = attributes.pop("extra", 0)

    def torch_transposed(x, *more):
        y = F.conv_transpose2d(x, *more, output_padding=extra, **attributes)
        return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]

    row = conv_row(tg.conv_transpose2d, x, weight, bias=bias, padding=padding, **attributes)
    row.torch = torch_transposed
    return row


UNEVEN = [
    # "same": the greater half at the end, and with a stride ceil(n / stride) outputs.
    padded_row(tg.conv2d, (2, 1, 3, 4), (1, 1, 2, 4), "same", (1, 2, 0, 1)),
    padded_row(tg.conv2d, (1, 1, 4, 5), (2, 1, 4, 2), "same", (1, 2, 1, 2), dilation=(1, 3)),
    padded_row(tg.conv2d, (1, 2, 5, 4), (1, 2, 3, 3), "same", (0, 1, 1, 1), stride=2),
    padded_row(tg.conv2d, (1, 1, 4, 7), (1, 1, 2, 4), "same", (1, 2, 0, 0), stride=(2, 3)),
    padded_row(tg.conv2d, (1, 1, 5, 3), (1, 1, 1, 2), "same", (0, 0, 0, 0), stride=3),
    padded_row(tg.conv2d, (1, 4, 3, 4), (2, 2, 2, 3), "same", (1, 1, 0, 1), groups=2),
    padded_row(tg.conv1d, (2, 1, 4), (2, 1, 4), "same", (1, 2), bias=True),
    padded_row(tg.conv1d, (2, 1, 4), (1, 1, 3), "same", (1, 2), dilation=2, stride=2),
    # Numbers for each end.
    padded_row(tg.conv2d, (1, 1, 3, 3), (1, 1, 3, 3), ((0, 1), (0, 1)), (0, 1, 0, 1)),
    padded_row(tg.conv2d, (2, 1, 2, 3), (1, 1, 2, 3), ((2, 1), (0, 3)), (0, 3, 2, 1), bias=True),
    padded_row(tg.conv2d, (1, 1, 3, 3), (1, 1, 2, 2), (1, (0, 2)), (0, 2, 1, 1), stride=(1, 2)),
    padded_row(tg.conv1d, (2, 1, 4), (1, 1, 3), ((2, 0),), (2, 0)),  # causal
    padded_row(tg.conv1d, (1, 2, 3), (2, 1, 2), ((1, 3),), (1, 3), groups=2, stride=2),
    # Transposed convolutions.
    transposed_row((2, 1, 3, 2), (1, 2, 3, 3), ((1, 0), (0, 1)), (1, 0, 0, 1), stride=2),
    transposed_row((2, 1, 2, 3), (1, 1, 2, 3), ((0, 2), (2, 1)), (0, 2, 2, 1), bias=True),
    transposed_row((2, 1, 2, 2), (1, 1, 3, 2), "same", (0, 1, 0, 0), stride=2),
    transposed_row((2, 1, 2, 3), (1, 1, 1, 4), "same", (0, 0, 1, 2), bias=True),
    transposed_row((2, 1, 2, 2), (1, 1, 2, 1), "same", (0, 0, 0, 0), stride=(3, 2), extra=1),
]

OPTIONS = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}


def input_grad(dy, weight):
    """dx of images (n, 2, 4, 4), for the n of dy."""
    geometry = conv_geometry((len(dy), 2, 4, 4), (2, 1, 2, 2), **OPTIONS)
    return conv.conv2d_input_grad(dy, weight, geometry=geometry)


def weight_grad(dy, x):
    geometry = conv_geometry(x.shape, (2, 1, 2, 2), **OPTIONS)
    return conv.conv2d_weight_grad(dy, x, geometry=geometry)


CONV_GRADIENTS = [
    Case(
        input_grad,
        N(1, 2, 3, 2),
        N(2, 1, 2, 2),
        torch=lambda dy, w: F.grad.conv2d_input((len(dy), 2, 4, 4), w, dy, **OPTIONS),
        name="conv2d_input_grad",
    ),
    Case(
        weight_grad,
        N(1, 2, 3, 2),
        N(1, 2, 4, 4),
        torch=lambda dy, x: F.grad.conv2d_weight(x, (2, 1, 2, 2), dy, **OPTIONS),
        name="conv2d_weight_grad",
    ),
]

POOL = [
    *(
        Case(f, Apart(*x), size=size, **kw)
        for f in (tg.max_pool2d, tg.avg_pool2d)
        for x, size, kw in (
            ((1, 1, 4, 4), 2, {}),
            ((2, 2, 2, 3), (2, 3), {}),
            ((1, 1, 5, 4), 2, {"stride": 1}),
            ((1, 1, 4, 5), (3, 2), {"stride": (1, 3), "padding": (1, 0)}),
            ((1, 2, 3, 3), 2, {"padding": 1}),
            ((2, 1, 3, 3), 1, {}),
            ((1, 1, 5, 4), 2, {"stride": 3}),
        )
    ),
]


def uneven_pool_row(function, x, size, padding, around, **attributes):
    """Pooling that pads unevenly: torch's, of images padded by F.pad as `around` says."""
    oracle = getattr(F, function.__name__) if F else None
    value = 0.0 if function is tg.avg_pool2d else -np.inf

    def torch_pool(x):
        return oracle(F.pad(x, around, value=value), size, **attributes)

    return Case(function, Apart(*x), torch=torch_pool, size=size, padding=padding, **attributes)


def counted_row(x, size, padding, around, **attributes):
    """Averages of what is not padding, as a quotient of torch's averages."""

    def torch_pool(x):
        share = F.avg_pool2d(F.pad(torch.ones_like(x), around), size, **attributes)
        return F.avg_pool2d(F.pad(x, around), size, **attributes) / share

    return Case(tg.avg_pool2d, N(*x), torch=torch_pool, size=size, padding=padding,
                count_include_pad=False, **attributes)  # fmt: skip


POOL += [
    *(
        Case(f, Apart(*x), size=size, ceil_mode=True, **kw)
        for f in (tg.max_pool2d, tg.avg_pool2d)
        for x, size, kw in (
            ((1, 1, 5, 4), 2, {}),
            ((1, 1, 5, 3), (2, 3), {"stride": 2}),
            ((2, 1, 3, 4), 2, {"padding": 1, "stride": 3}),  # a window that would be all padding
            ((1, 1, 2, 6), 3, {"padding": (1, 0), "stride": (2, 2)}),
            ((1, 1, 1, 4), 2, {}),  # windows larger than the image
            ((1, 1, 4, 4), 2, {}),
        )
    ),
    *(
        Case(tg.avg_pool2d, N(*x), size=size, padding=p, count_include_pad=False, **kw)
        for x, size, p, kw in (
            ((1, 1, 3, 4), 2, 1, {}),
            ((2, 1, 3, 3), 3, (1, 0), {"stride": 1}),
            ((1, 1, 4, 4), 3, 1, {"stride": 2, "ceil_mode": True}),
            ((1, 1, 4, 2), 2, 0, {}),
        )
    ),
    *(
        uneven_pool_row(f, x, size, padding, around, **kw)
        for f in (tg.max_pool2d, tg.avg_pool2d)
        for x, size, padding, around, kw in (
            ((1, 1, 3, 4), (2, 3), ((1, 0), (0, 2)), (0, 2, 1, 0), {}),
            ((2, 1, 3, 3), 2, ((0, 1), (0, 1)), (0, 1, 0, 1), {"stride": 1}),
            ((1, 1, 5, 3), (2, 3), "same", (1, 1, 0, 1), {"stride": 2}),
            ((1, 1, 4, 4), 2, "valid", (0, 0, 0, 0), {}),
        )
    ),
    counted_row((1, 1, 3, 4), (2, 3), ((1, 0), (0, 2)), (0, 2, 1, 0)),
    counted_row((1, 1, 5, 3), (2, 3), "same", (1, 1, 0, 1), stride=2),
]

# Integers and booleans.
POOL += [
    Case(tg.max_pool2d, Ints(9, 1, 1, 3, 4, low=-9), size=2, padding=1, grad=False),
    Case(tg.max_pool2d, Ints(9, 1, 1, 3, 4, low=-9), size=2, ceil_mode=True, grad=False),
    Case(tg.avg_pool2d, Ints(9, 1, 2, 4, 4, low=-9), size=2, grad=False,
         torch=lambda x: F.avg_pool2d(x.float(), 2)),
    Case(tg.max_pool2d, Bools(1, 2, 3, 4), size=2, padding=1, grad=False,
         torch=lambda x: F.max_pool2d(x.int(), 2, padding=1).bool()),
    Case(tg.avg_pool2d, Bools(1, 2, 4, 4), size=2, grad=False,
         torch=lambda x: F.avg_pool2d(x.float(), 2)),
]  # fmt: skip

# Where the maxima of two planes of 2 x 4 stood, in windows of 2 x 2; the second are equal.
PLANES = pool_geometry((1, 2, 2, 4), (2, 2), (2, 2), (0, 0))
PLACES = np.array([[[[5, 2]], [[0, 0]]]])


def torch_gather(x):
    return x.flatten(2).gather(2, torch.tensor(PLACES).flatten(2)).reshape(PLACES.shape)


def torch_scatter(g):
    zeros = torch.zeros(*g.shape[:2], 8, dtype=g.dtype)
    return zeros.scatter_add(2, torch.tensor(PLACES).flatten(2), g.flatten(2)).reshape(1, 2, 2, 4)


POOL_GRADIENTS = [
    Case(
        pool._max_pool2d_gather,
        N(1, 2, 2, 4),
        torch=torch_gather,
        empty=False,
        index=PLACES,
        geometry=PLANES,
    ),
    Case(
        pool._max_pool2d_backward,
        N(1, 2, 1, 2),
        torch=torch_scatter,
        empty=False,
        index=PLACES,
        geometry=PLANES,
    ),
    Case(
        pool._avg_pool2d_backward,
        N(2, 1, 2, 2),
        torch=lambda g: F.conv_transpose2d(g, torch.ones(1, 1, 2, 2, dtype=g.dtype) / 4),
        empty=False,
        geometry=pool_geometry((2, 1, 3, 3), (2, 2), (1, 1), (0, 0)),
    ),
]

NORM = [
    Case(tg.layer_norm, N(3, 4), torch=lambda x: F.layer_norm(x, (4,))),
    Case(tg.layer_norm, N(2, 2, 3), P(3), torch=lambda x, w: F.layer_norm(x, (3,), w), empty=True),
    Case(tg.layer_norm, N(4, 3), P(3), N(3), torch=lambda x, w, b: F.layer_norm(x, (3,), w, b)),
    Case(tg.layer_norm, N(3, 2, 2), P(2, 2), N(2, 2),
         torch=lambda x, w, b: F.layer_norm(x, (2, 2), w, b)),
    Case(lambda x, b: tg.layer_norm(x, bias=b), N(2, 3), N(3),
         torch=lambda x, b: F.layer_norm(x, (3,), None, b), name="layer_norm bias"),
    Case(tg.layer_norm, N(2, 3), torch=lambda x: F.layer_norm(x, (3,), eps=0.1), eps=0.1),
    Case(tg.layer_norm, N(4), torch=lambda x: F.layer_norm(x, (4,)), empty=False),
    Case(lambda x: tg.layer_norm(x, x), N(4), torch=lambda x: F.layer_norm(x, (4,), x),
         name="layer_norm self", empty=False),
    Case(tg.rms_norm, N(3, 4), torch=lambda x: F.rms_norm(x, (4,), eps=1e-6)),
    Case(tg.rms_norm, N(3, 2, 4), P(4), torch=lambda x, w: F.rms_norm(x, (4,), w, eps=1e-6)),
    Case(tg.rms_norm, N(3, 2, 2), P(2, 2),
         torch=lambda x, w: F.rms_norm(x, (2, 2), w, eps=0.1), eps=0.1),
    *(
        Case(tg.group_norm, N(*x), *more, groups=groups, empty=True,
             torch=lambda x, *more, n=groups: F.group_norm(x, n, *more))
        for x, groups in (((2, 4, 3), 2), ((3, 2, 2, 2), 1), ((1, 3, 4), 3))
        for more in ((), (P(x[1]), N(x[1])))
    ),
    Case(lambda x, b: tg.group_norm(x, bias=b, groups=2), N(3, 2, 3), N(2),
         torch=lambda x, b: F.group_norm(x, 2) + b[:, None], name="group_norm bias"),
]  # fmt: skip


def torch_batch_norm(x, weight=None, bias=None, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    y = F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)
    return y, x.mean(axes), x.var(axes, correction=0)


BATCH_NORM = [
    *(
        Case(tg.batch_norm, N(*x), *more, torch=torch_batch_norm, empty=False, statistics=True)
        for x in ((4, 3), (3, 2, 2), (2, 2, 2, 3))
        for more in ((), (P(x[1]),), (P(x[1]), N(x[1])))
    ),
    Case(tg.batch_norm, N(4, 2), torch=lambda x: torch_batch_norm(x, eps=0.2),
         empty=False, statistics=True, eps=0.2),
    # Not all outputs are used.
    Case(lambda x: tg.batch_norm(x)[0], N(4, 2), torch=lambda x: torch_batch_norm(x)[0],
         name="batch_norm()[0]", empty=False, statistics=True),
    Case(lambda x: tg.batch_norm(x)[::2], N(4, 2), torch=lambda x: torch_batch_norm(x)[::2],
         name="batch_norm()[::2]", empty=False, statistics=True),
    Case(normalize_channels, N(3, 2, 2), N(2), P(2), P(2), N(2),
         torch=lambda x, m, v, w, b: (x - m[:, None]) * (v[:, None] + 1e-5) ** -0.5 * w[:, None]
         + b[:, None]),
    Case(normalize_channels, N(3, 2), N(2), P(2),
         torch=lambda x, m, v: (x - m) / (v + 1e-5).sqrt()),
]  # fmt: skip


def dropout(x, p=0.5, training=True):
    """Dropout with the same mask at every call."""
    tg.seed(3)
    return tg.dropout(x, p, training=training)


def masked(x, p):
    """x times a mask: dropout is linear."""
    return x * dropout(np.ones_like(x), p)


DROPOUT = [
    *(
        Case(dropout, N(4, 3), numpy=lambda x, p=p: masked(x, p), p=p)
        for p in (0.0, 0.3, 0.5, 0.9, 1.0)
    ),
    Case(dropout, N(4, 3), numpy=lambda x, **_: x, name="dropout eval", training=False),
    Case(lambda x: dropout(x.T), N(2, 3), numpy=lambda x: masked(x.T, 0.5), name="dropout x.T"),
]

CASES = CONV + UNEVEN + CONV_GRADIENTS + POOL + POOL_GRADIENTS + NORM + BATCH_NORM + DROPOUT
