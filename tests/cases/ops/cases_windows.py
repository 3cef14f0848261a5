"""Rows for conv_nd, pool_nd, resize, bag and experts in ops/, and options of pool and attention."""

import numpy as np
from case import Apart, Case, F, Ints, N, Values, torch
from cases_neural import conv_row

import tinygrad_like as tg
from tinygrad_like.ops.neural import conv_nd, experts, resize

VOLUME = (1, 2, 3, 3, 2)

CONV = [
    conv_row(tg.conv3d, (1, 2, 3, 2, 3), (2, 1, 2, 2, 2), bias=True, groups=2, padding=(1, 0, 1)),
    conv_row(tg.conv3d, (2, 1, 4, 2, 2), (1, 1, 2, 1, 2), stride=2, dilation=(2, 1, 1)),
    conv_row(tg.conv3d, (2, 2, 3, 2), (1, 2, 3, 1, 1), padding="same"),
    conv_row(tg.conv_transpose1d, (1, 2, 3), (2, 1, 2), groups=2, stride=2, output_padding=1),
    conv_row(tg.conv_transpose3d, (1, 2, 2, 1, 2), (2, 1, 2, 2, 1), bias=True, stride=2, groups=2),
    conv_row(tg.conv_transpose3d, (2, 1, 3, 2, 2), (1, 1, 3, 1, 2), padding=(1, 0, 1)),
    # One example, without a batch.
    conv_row(tg.conv2d, (2, 3, 2), (1, 2, 2, 2), padding=1),
    conv_row(tg.conv1d, (2, 4), (1, 2, 2)),
    conv_row(tg.conv_transpose2d, (2, 2, 2), (2, 1, 2, 2), stride=2),
    conv_row(tg.conv_transpose1d, (1, 3), (1, 1, 2)),
]

DEPTH = conv_nd.Depth(n=3, outputs=2, size=2, stride=2, dilation=1, padding=1)


def torch_slices(x):
    padded = F.pad(x, (0, 0, 0, 0, 1, 0))
    return padded.unfold(2, 2, 2).permute(0, 2, 1, 5, 3, 4)


def torch_add_slices(g):
    x = torch.zeros(len(g), 1, 3, 1, 2, dtype=g.dtype, requires_grad=True)
    (total,) = torch.autograd.grad(torch_slices(x), x, g, create_graph=True)
    return total


CONV += [
    Case(conv_nd._read_slices, N(2, 1, 3, 1, 2), torch=torch_slices, depth=DEPTH),
    Case(conv_nd._add_slices, N(2, 2, 1, 2, 1, 2), torch=torch_add_slices, depth=DEPTH),
]


def pooled(function, x, size, **options):
    """A pooling, with the function of the same name in torch.nn.functional as the oracle."""
    oracle = getattr(F, function.__name__) if F else None
    draw = Apart if "max" in function.__name__ else N
    return Case(function, draw(*x), torch=lambda x: oracle(x, size, **options), size=size,
                **options)  # fmt: skip


POOL = [
    pooled(tg.max_pool2d, (1, 1, 4, 4), 2, stride=1, dilation=2, padding=1),
    pooled(tg.max_pool2d, (2, 3, 4), 2, return_indices=True),
    pooled(tg.max_pool1d, (1, 2, 5), 2, padding=1, dilation=2, return_indices=True),
    pooled(tg.max_pool1d, (2, 4), 2),
    pooled(tg.max_pool3d, VOLUME, (2, 3, 1), padding=(1, 1, 0), stride=1),
    pooled(tg.max_pool3d, (1, 3, 2, 2), 2, ceil_mode=True, return_indices=True),
    pooled(tg.avg_pool2d, (1, 4, 3), 2, padding=1, divisor_override=3),
    pooled(tg.avg_pool1d, (2, 1, 5), 2, padding=1, count_include_pad=False),
    pooled(tg.avg_pool1d, (1, 4), 3, ceil_mode=True),
    pooled(tg.avg_pool3d, VOLUME, 2, padding=1, count_include_pad=False),
    pooled(tg.avg_pool3d, (1, 2, 3, 2), (2, 1, 2), divisor_override=3, ceil_mode=True),
    Case(lambda x: tg.lp_pool1d(x, 4, 2), N(1, 1, 4), torch=lambda x: F.lp_pool1d(x, 4, 2),
         name="lp_pool1d"),
    Case(lambda x: tg.lp_pool2d(x, 2, (2, 1), stride=1), N(1, 3, 2),
         torch=lambda x: F.lp_pool2d(x, 2, (2, 1), 1), name="lp_pool2d"),
    Case(lambda x: tg.lp_pool3d(x, 2, (1, 2, 1), stride=1), N(1, 1, 3, 2),
         torch=lambda x: F.lp_pool3d(x, 2, (1, 2, 1), 1), name="lp_pool3d"),
]  # fmt: skip


def unpooled(function, x, size, places, **options):
    """The inverse of a pooling, with torch's of the same name as the oracle."""
    oracle = getattr(F, function.__name__) if F else None
    return Case(function, N(*x), Values(np.array(places).reshape(x)), size=size, **options,
                torch=lambda x, places: oracle(x, places, size, **options))  # fmt: skip


POOL += [
    unpooled(tg.max_unpool1d, (2, 2), 2, [0, 3, 1, 2]),
    unpooled(tg.max_unpool2d, (1, 2, 1, 2), 2, [5, 3, 0, 7], output_size=(2, 5)),
    unpooled(tg.max_unpool2d, (2, 2, 1), (1, 3), [0, 2, 1, 0], stride=2, padding=(0, 1)),
    unpooled(tg.max_unpool3d, (1, 1, 1, 2, 1), (2, 1, 2), [7, 0]),
]


def adaptive_row(function, x, size):
    oracle = getattr(F, function.__name__) if F else None
    return Case(function, Apart(*x), torch=lambda x: oracle(x, size), size=size)


POOL += [
    adaptive_row(tg.adaptive_avg_pool1d, (2, 1, 5), 3),
    adaptive_row(tg.adaptive_avg_pool2d, (1, 5, 3), (2, None)),
    adaptive_row(tg.adaptive_avg_pool3d, (1, 1, 3, 2, 2), (2, 1, 3)),
    adaptive_row(tg.adaptive_max_pool1d, (2, 5), 3),
    adaptive_row(tg.adaptive_max_pool2d, (1, 1, 4, 3), (3, 2)),
    Case(tg.adaptive_max_pool2d, Apart(2, 5, 2), torch=lambda x: F.adaptive_max_pool2d(
        x, (2, 3), return_indices=True), size=(2, 3), return_indices=True),
    Case(tg.adaptive_max_pool3d, Apart(1, 3, 2, 4), torch=lambda x: F.adaptive_max_pool3d(
        x, (2, 1, 3), return_indices=True), size=(2, 1, 3), return_indices=True),
    Case(tg.adaptive_avg_pool2d, Ints(9, 1, 3, 2), size=(2, 1), grad=False,
         torch=lambda x: F.adaptive_avg_pool2d(x.double(), (2, 1)).float()),
]  # fmt: skip


def resized(x, **options):
    oracle = (lambda x: F.interpolate(x, **options)) if F else None
    return Case(tg.interpolate, N(*x), torch=oracle, **options)


RESIZE = [
    resized((2, 1, 3), size=5),
    resized((1, 1, 4, 3), scale_factor=(0.5, 1.5), mode="nearest-exact"),
    resized((1, 1, 5), scale_factor=0.7, mode="linear"),
    resized((1, 1, 3, 2), size=(2, 4), mode="bilinear", align_corners=True),
    resized((1, 1, 3, 2), scale_factor=1.5, mode="bicubic"),
    resized((1, 1, 2, 3, 2), size=(3, 2, 2), mode="trilinear"),
    resized((1, 1, 4, 3), size=(3, 2), mode="area"),
    Case(tg.interpolate, Ints(9, 1, 1, 2, 3), grad=False, size=(3, 2),
         torch=lambda x: F.interpolate(x.double(), (3, 2)).long()),
    Case(tg.pixel_shuffle, N(1, 4, 2, 1), torch=lambda x: F.pixel_shuffle(x, 2), factor=2),
    # torch's of an empty batch has another shape.
    Case(tg.pixel_unshuffle, N(1, 1, 2, 4), factor=2, torch=lambda x: x.reshape(
        len(x), 1, 1, 2, 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(len(x), 4, 1, 2)),
]  # fmt: skip

MEANS = resize.Resampling("area", 3, 2, 0.0, transposed=True)
RESIZE += [
    Case(resize._resample, N(2, 2, 2), spec=MEANS, axis=-2,
         torch=lambda x: torch.tensor([[0.5, 0], [0.5, 0.5], [0, 0.5]], dtype=x.dtype) @ x),
]  # fmt: skip


def torch_window(window, causal):
    """torch's attention with a mask of the keys that are nearer than `window`."""

    def attend(q, k, v):
        t, s = q.shape[-2], k.shape[-2]
        away = torch.arange(t)[:, None] + s - t - torch.arange(s)
        mask = (away.abs() < window) & ((away >= 0) | (not causal))
        return F.scaled_dot_product_attention(q, k, v, mask)

    return attend


def torch_alibi(q, k):
    away = (torch.arange(2)[:, None] + 1 - torch.arange(3)).abs()
    slopes = torch.tensor([1 / 16, 1 / 256, 1 / 4], dtype=q.dtype)
    return (-slopes[:, None, None] * away)[None]


ATTENTION = [
    Case(tg.scaled_dot_product_attention, N(1, 2, 3, 2), N(1, 2, 4, 2), N(1, 2, 4, 1), window=2,
         torch=torch_window(2, False)),
    Case(tg.scaled_dot_product_attention, N(2, 3, 2), N(2, 4, 2), N(2, 4, 1), window=2,
         torch=torch_window(2, True), causal=True, empty=False),
    Case(tg.attention_weights, N(1, 1, 2, 2), N(1, 1, 3, 2), window=1, causal=True,
         torch=lambda q, k: torch_window(1, True)(q, k, torch.eye(3, dtype=q.dtype)[None, None])),
    Case(tg.alibi, N(1, 3, 2, 2), N(1, 1, 3, 2), torch=torch_alibi, grad=False),
]  # fmt: skip


IDS, OFFSETS = np.array([4, 0, 4, 2, 1]), np.array([0, 2, 2])


def bag_row(*more, ids=IDS, mode="mean", **options):
    """embedding_bag of a table of 5 rows, as PyTorch's."""

    def call(weight, *more):
        given = dict(zip(["per_sample_weights"], more, strict=False))
        return tg.embedding_bag(weight, ids, mode=mode, **options, **given)

    def torch_call(weight, *more):
        given = dict(zip(["per_sample_weights"], more, strict=False))
        if "offsets" in options:
            given["offsets"] = torch.tensor(options["offsets"])
        return F.embedding_bag(
            torch.tensor(ids),
            weight,
            mode=mode,
            **given,
            **{k: v for k, v in options.items() if k != "offsets"},
        )

    name = "maxima of embedding_bag" if mode == "max" else f"embedding_bag {mode}"
    return Case(call, Apart(5, 2), *more, torch=torch_call, name=name, empty=False)


BAGS = [
    bag_row(offsets=OFFSETS),
    bag_row(ids=IDS.repeat(2).reshape(5, 2)[:2], padding_idx=0),
    bag_row(N(5), offsets=OFFSETS, mode="sum"),
    bag_row(offsets=OFFSETS, mode="max", padding_idx=-1),
    Case(tg.embedding_bag, N(5, 2), Ints(5, 2, 3), torch=lambda w, ids: F.embedding_bag(ids, w),
         empty=False),
]  # fmt: skip

CHOICES = np.array([0, 0, 2])


EXPERTS = [
    Case(lambda x, w: tg.expert_matmul(x, w, CHOICES), N(3, 2), N(3, 2, 2), name="expert_matmul",
         torch=lambda x, w: torch.einsum("rn,rnm->rm", x, w[CHOICES]), empty=False),
    Case(tg.expert_matmul, N(4, 2), N(3, 2, 1), Ints(3, 4), empty=False,
         torch=lambda x, w, e: torch.einsum("rn,rnm->rm", x, w[e])),
    Case(experts._expert_outer, N(3, 2), N(3, 1), Ints(1, 3), count=3, empty=False,
         torch=lambda x, g, _: torch.einsum("rn,rm->nm", x, g) * torch.eye(3, 1)[:, :, None]),
]  # fmt: skip

CASES = CONV + POOL + RESIZE + ATTENTION + BAGS + EXPERTS
