"""How PyTorch's ops of neural networks are called here."""

import functools

import numpy as np
from opinfo import call

import tinygrad_like as tg
from tinygrad_like import losses


def pads(sizes, ndim):
    """PyTorch's pads, from the last axis to the first, as NumPy's: ((before, after), ...)."""
    pairs = [(sizes[i], sizes[i + 1]) for i in range(0, len(sizes), 2)]
    return [(0, 0)] * (ndim - len(pairs)) + pairs[::-1]


MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x, sizes, mode="constant", value=0.0):
    options = {"value": value or 0} if mode == "constant" else {}
    return tg.pad(x, pads(sizes, len(x.shape)), MODES[mode], **options)


def interpolate(
    x,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
):
    if recompute_scale_factor:  # from the lengths that the factor gives
        size, scale_factor = tuple(int(n * scale_factor) for n in x.shape[2:]), None
    return tg.interpolate(
        x, size, scale_factor=scale_factor, mode=mode, align_corners=bool(align_corners)
    )


def dropout(x, p=0.5, training=True):
    """Where some are dropped, others are than in PyTorch."""
    y = tg.dropout(x, p, training=training)
    return ... if training and 0 < p < 1 else y


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, **options):
    """If causal, PyTorch's first query stands at the first key; ours, the last at the last."""
    lengths = query.shape[-2], key.shape[-2]
    if is_causal and lengths[0] != lengths[1]:
        attn_mask, is_causal = tg.Tensor(np.tri(*lengths, dtype=bool)), False
    y = tg.scaled_dot_product_attention(
        query, key, value, mask=attn_mask, causal=is_causal, dropout=dropout_p, **options
    )
    return ... if 0 < dropout_p < 1 else y


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    return tg.layer_norm(x, weight, bias, eps=eps)


def rms_norm(x, shape, weight=None, eps=None):
    return tg.rms_norm(x, weight, eps=2.220446049250313e-16 if eps is None else eps)


def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if not training:
        shape = (1, -1, *(1,) * (len(x.shape) - 2))
        y = (x - mean.reshape(shape)) / (var.reshape(shape) + eps).sqrt()
        y = y if weight is None else y * weight.reshape(shape)
        return y if bias is None else y + bias.reshape(shape)
    return tg.batch_norm(x, weight, bias, eps=eps)[0]


def instance_norm(
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    return tg.group_norm(x, weight, bias, groups=x.shape[1], eps=eps)


def last(function, inputs=2):
    """PyTorch's classes are on axis 1, ours on the last one."""

    def called(x, target, *args, **kwargs):
        x = tg.moveaxis(x, 1, -1) if len(x.shape) > 1 else x
        if len(target.shape) > 1 and target.dtype.kind == "f":
            target = tg.moveaxis(target, 1, -1)
        if target.dtype.kind == "i":
            kwargs.setdefault("ignore_index", -100)
        return function(x, target, *args, **kwargs)

    return called


def kl_div(x, target, reduction="mean", log_target=False):
    return losses.kl_divergence(x, target, log_target=log_target, reduction=reduction)


def triplet(anchor, positive, negative, *, distance_function=None, **options):
    return losses.triplet_margin(anchor, positive, negative, **options)


def unpooled(function, ndim, x, indices, *, output_size=None, **options):
    """PyTorch's size is that of all axes, or of the last ones."""
    size = None if output_size is None else tuple(output_size)[-ndim:]
    return function(x, indices, output_size=size, **options)


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    return tg.unfold(x, kernel_size, stride, padding, dilation)


POOLS = {
    **{
        f"nn.functional.avg_pool{n}d": call(
            getattr(tg, f"avg_pool{n}d"),
            "size stride padding ceil_mode count_include_pad divisor_override",
        )
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.max_pool{n}d": call(
            getattr(tg, f"max_pool{n}d"),
            "size stride padding dilation ceil_mode return_indices",
        )
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.max_unpool{n}d{kind}": call(
            functools.partial(unpooled, getattr(tg, f"max_unpool{n}d"), n),
            "size stride padding output_size",
            2,
            output_size="output_size",
        )
        for n in (1, 2, 3)
        for kind in ("", ".grad")
    },
    **{
        f"nn.functional.adaptive_avg_pool{n}d": getattr(tg, f"adaptive_avg_pool{n}d")
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.adaptive_max_pool{n}d": call(
            getattr(tg, f"adaptive_max_pool{n}d"), "size return_indices"
        )
        for n in (1, 2, 3)
    },
}

CONVOLUTIONS = {
    **{
        f"nn.functional.conv{n}d": call(
            getattr(tg, f"conv{n}d"), "bias stride padding dilation groups", 2
        )
        for n in (1, 2, 3)
    },
    **{
        f"nn.functional.conv_transpose{n}d": call(
            getattr(tg, f"conv_transpose{n}d"),
            "bias stride padding output_padding groups dilation",
            2,
            output_padding="output_padding",
        )
        for n in (1, 2, 3)
    },
    "nn.functional.unfold": unfold,
}

IMAGES = {
    "constant_pad_nd": lambda x, sizes, value=0.0: pad(x, sizes, "constant", value),
    **{
        f"nn.functional.pad.{kind}": pad
        for kind in "constant reflect replicate replicate_negative circular".split()
    },
    **{
        f"nn.functional.interpolate.{mode}": interpolate
        for mode in "nearest nearest-exact linear bilinear bicubic trilinear area".split()
    },
    "nn.functional.grid_sample": tg.grid_sample,
    "nn.functional.upsample_bilinear": lambda x, **options: tg.interpolate(
        x, mode="bilinear", align_corners=True, **options
    ),
    "nn.functional.upsample_nearest": lambda x, **options: tg.interpolate(x, **options),
}

NORMS = {
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.group_norm": call(tg.group_norm, "groups weight bias eps"),
    "nn.functional.instance_norm": instance_norm,
    "nn.functional.local_response_norm": lambda x, size, **options: tg.nn.LocalResponseNorm(
        size, **options
    )(x),
    "nn.functional.layer_norm": layer_norm,
    "nn.functional.rms_norm": rms_norm,
    "nn.functional.normalize": lambda x, p=2.0, dim=1, eps=1e-12: (
        x / tg.maximum(tg.norm(x, p, dim, keepdims=True), eps)
    ),
}

LOSSES = {
    "nn.functional.binary_cross_entropy": losses.binary_cross_entropy,
    "nn.functional.binary_cross_entropy_with_logits": losses.binary_cross_entropy_with_logits,
    "nn.functional.cosine_embedding_loss": losses.cosine_embedding,
    "nn.functional.cosine_similarity": call(losses.cosine_similarity, "dim eps", 2),
    "nn.functional.cross_entropy": last(losses.cross_entropy),
    "nn.functional.ctc_loss": losses.ctc,
    "nn.functional.gaussian_nll_loss": losses.gaussian_nll,
    "nn.functional.hinge_embedding_loss": losses.hinge_embedding,
    "nn.functional.huber_loss": losses.huber,
    "nn.functional.kl_div": kl_div,
    "nn.functional.l1_loss": losses.l1,
    "nn.functional.margin_ranking_loss": losses.margin_ranking,
    "nn.functional.mse_loss": losses.mse,
    "nn.functional.multi_margin_loss": losses.multi_margin,
    "nn.functional.multilabel_margin_loss": losses.multilabel_margin,
    "nn.functional.multilabel_soft_margin_loss": losses.multilabel_soft_margin,
    "nn.functional.nll_loss": last(losses.nll),
    "nn.functional.pairwise_distance": call(losses.pairwise_distance, "p eps keepdim", 2),
    "nn.functional.poisson_nll_loss": losses.poisson_nll,
    "nn.functional.smooth_l1_loss": losses.smooth_l1,
    "nn.functional.soft_margin_loss": losses.soft_margin,
    "nn.functional.triplet_margin_loss": losses.triplet_margin,
    "nn.functional.triplet_margin_with_distance_loss": triplet,
}

ROWS = {
    **POOLS,
    **CONVOLUTIONS,
    **IMAGES,
    **NORMS,
    **LOSSES,
    "nn.functional.dropout": dropout,
    "nn.functional.embedding_bag": tg.embedding_bag,
    "nn.functional.scaled_dot_product_attention": attention,
}
