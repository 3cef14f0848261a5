"""What we have for each of PyTorch's layers and losses: how to make it, and how to call it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_like as tg
from tinygrad_like import losses, nn
from tinygrad_like.torch_settings import COUNTERPARTS


class Peer(NamedTuple):
    """Our counterpart of a layer of PyTorch's."""

    make: Callable  # from their layer to ours, of which weights are copied
    call: Callable = lambda ours, theirs, *args, **kwargs: ours(*args, **kwargs)
    # The name of a parameter in the state that `load_torch` reads, from theirs.
    name: Callable = lambda path: path
    call_theirs: Callable = lambda theirs, *args, **kwargs: theirs(*args, **kwargs)


def plain(value):
    """A setting of a window along one axis as an integer."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def layer(kind, *sizes, **flags):
    """A layer with the settings that `load_torch` compares; `sizes` are names of theirs.

    `flags` are options of ours whose values are functions of their layer.
    """

    def make(theirs):
        settings = {
            ours: plain(getattr(theirs, name)) for ours, name in COUNTERPARTS[kind].settings.items()
        }
        given = {name: value(theirs) for name, value in flags.items()}
        return kind(*(plain(getattr(theirs, name)) for name in sizes), **settings | given)

    return Peer(make)


def has(name):
    return lambda theirs: getattr(theirs, name) is not None


def has_bias(theirs):
    """Of a norm, whose bias is missing also where it has no weight."""
    return theirs.bias is not None or theirs.weight is None


def tracks(theirs):
    return theirs.track_running_stats


OF_NORM = {"affine": has("weight"), "bias": has_bias}


def loss(f, *options):
    """A function of ours, which takes the options of these names from their layer."""

    def called(_, theirs, *args):
        given = {name: as_array(getattr(theirs, name)) for name in options}
        return f(*args, **given, reduction=theirs.reduction)

    return Peer(lambda theirs: None, called)


def as_array(value):
    """A tensor of theirs that is a constant, as an array."""
    return value.detach().numpy() if hasattr(value, "detach") else value


def function(f):
    """A function of (their layer, inputs) that has no weights."""
    return Peer(lambda theirs: None, lambda _, theirs, *args: f(theirs, *args))


# Losses: the classes lie along axis 1 there, along the last axis here.


def classes_last(x):
    return np.moveaxis(x, 1, -1) if x.ndim > 1 else x


def cross_entropy(logits, labels, *, ignore_index, **options):
    if labels.dtype.kind == "f":
        return losses.cross_entropy(classes_last(logits), classes_last(labels), **options)
    options["ignore_index"] = ignore_index
    return losses.cross_entropy(classes_last(logits), labels, **options)


def nll(log_probs, labels, **options):
    return losses.nll(classes_last(log_probs), labels, **options)


def ctc_of_theirs(theirs, log_probs, *args):
    return theirs(log_probs.log_softmax(-1), *args)


def ctc(log_probs, targets, input_lengths, target_lengths, **options):
    """Targets one after the other, which PyTorch takes as well, are rows here.

    PyTorch's gradient counts on a log_softmax that it goes back through, ours does not: so both
    get one, which changes no value, as the samples are log-probabilities.
    """
    log_probs = tg.log_softmax(log_probs)
    lengths = np.asarray(target_lengths)
    if targets.ndim == 1:
        ends = np.cumsum(lengths)
        rows = np.zeros((len(lengths), lengths.max()), targets.dtype)
        for row, end, n in zip(rows, ends, lengths, strict=True):
            row[:n] = targets[end - n : end]
        targets = rows
    return losses.ctc(log_probs, targets, np.asarray(input_lengths), lengths, **options)


# Padding: pairs for the last axis first there, for every axis here.


def padded(mode):
    def call(theirs, x):
        value = getattr(theirs, "value", 0)
        pairs = list(zip(theirs.padding[::2], theirs.padding[1::2], strict=True))[::-1]
        width = ((0, 0),) * (x.ndim - len(pairs)) + tuple(pairs)
        return tg.pad(x, width, mode, **({"value": value} if mode == "constant" else {}))

    return function(call)


# Recurrent layers: states of one sequence have no axis N in both.


def recurrent(kind, **flags):
    names = {"bidirectional": "bidirectional", "bias": "bias", "num_layers": "num_layers"}
    if kind is nn.LSTM:
        names["proj_size"] = "proj_size"
    if kind is nn.RNN:
        names["nonlinearity"] = "nonlinearity"

    def make(theirs):
        options = {name: getattr(theirs, of) for name, of in names.items()}
        return kind(theirs.input_size, theirs.hidden_size, **options)

    return Peer(make)


def cell(kind):
    """One step of a layer."""

    def make(theirs):
        options = {"nonlinearity": theirs.nonlinearity} if kind is nn.RNN else {}
        return kind(theirs.input_size, theirs.hidden_size, bias=theirs.bias, **options)

    def call(ours, theirs, x, state):
        one = tuple(s[None] for s in state) if kind is nn.LSTM else state[None]
        _, end = ours(x[None], one)
        return tuple(s[0] for s in end) if kind is nn.LSTM else end[0]

    return Peer(make, call, lambda path: f"{path}_l0")


# Attention: True hides a key there, shows it here; a batch is first here.


def seen(mask, heads=1):
    if mask is None:
        return None
    return ~mask.reshape(-1, heads, *mask.shape[1:]) if mask.ndim == 3 else ~mask


def batch_first(theirs, *xs):
    return [x if theirs or getattr(x, "ndim", 0) < 3 else np.swapaxes(x, 0, 1) for x in xs]


def attend(ours, theirs, query, key, value, *, key_padding_mask, attn_mask):
    query, key, value = batch_first(theirs.batch_first, query, key, value)
    mask = seen(attn_mask, theirs.num_heads)
    y, weights = ours(
        query, key, value, mask=mask, key_padding_mask=key_padding_mask, return_weights=True
    )
    return *batch_first(theirs.batch_first, y), weights.mean(-3)


def attention(theirs):
    return nn.MultiHeadAttention(
        theirs.embed_dim, theirs.num_heads, bias=theirs.in_proj_bias is not None,
        add_bias_kv=theirs.bias_k is not None, add_zero_attn=theirs.add_zero_attn,
    )  # fmt: skip


def of_transformer(layer):
    """The sizes and options of one of their layers."""
    sizes = layer.self_attn.embed_dim, layer.self_attn.num_heads, layer.linear1.out_features
    options = {
        "dropout": layer.dropout.p,
        "norm_first": layer.norm_first,
        "activation": layer.activation.__name__,
        "bias": layer.linear1.bias is not None,
    }
    return sizes, options


def transformer_layer(kind):
    def make(theirs):
        sizes, options = of_transformer(theirs)
        return kind(*sizes, **options)

    return make


def stack_of(kind, theirs):
    """Ours has a norm at the end of pre-norm layers; PyTorch's where one is given."""
    sizes, options = of_transformer(theirs.layers[0])
    ours = kind(*sizes, theirs.num_layers, **options)
    bias = options["bias"]
    ours.norm = None if theirs.norm is None else nn.LayerNorm(sizes[0], bias=bias)
    return ours


def encode(ours, theirs, x, *, src_mask=None, mask=None, src_key_padding_mask=None):
    first = theirs.layers[0] if hasattr(theirs, "layers") else theirs
    (x,) = batch_first(first.self_attn.batch_first, x)
    y = ours(
        x,
        mask=seen(src_mask if mask is None else mask),
        key_padding_mask=src_key_padding_mask,
    )
    return batch_first(first.self_attn.batch_first, y)


def decode(
    ours, theirs, x, memory, *, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None,
    memory_key_padding_mask=None,
):  # fmt: skip
    x, memory = batch_first(theirs.self_attn.batch_first, x, memory)
    y = ours(
        x, memory, mask=seen(tgt_mask), key_padding_mask=tgt_key_padding_mask, causal=False,
        memory_mask=seen(memory_mask), memory_key_padding_mask=memory_key_padding_mask,
    )  # fmt: skip
    return batch_first(theirs.self_attn.batch_first, y)


class Transformer(nn.Module):
    """An encoder whose outputs a decoder looks at."""

    def __init__(self, theirs):
        self.encoder = stack_of(nn.TransformerEncoder, theirs.encoder)
        self.decoder = stack_of(nn.TransformerDecoder, theirs.decoder)

    def forward(self, x, y, *, mask, key_padding_mask, own_mask, own_key_padding_mask):
        memory = self.encoder(x, mask=mask, key_padding_mask=key_padding_mask)
        return self.decoder(
            y, memory, mask=own_mask, key_padding_mask=own_key_padding_mask, causal=False
        )


def translate(
    ours, theirs, x, y, *, src_mask, tgt_mask, src_key_padding_mask, tgt_key_padding_mask
):
    x, y = batch_first(theirs.batch_first, x, y)
    out = ours(
        x, y, mask=seen(src_mask), key_padding_mask=src_key_padding_mask,
        own_mask=seen(tgt_mask), own_key_padding_mask=tgt_key_padding_mask,
    )  # fmt: skip
    return batch_first(theirs.batch_first, out)


WINDOWS = {
    **{f"Conv{n}d": layer(getattr(nn, f"Conv{n}D"), "in_channels", "out_channels", "kernel_size",
                          bias=has("bias")) for n in (1, 2, 3)},
    **{f"ConvTranspose{n}d": layer(getattr(nn, f"ConvTranspose{n}D"), "in_channels",
                                   "out_channels", "kernel_size", bias=has("bias"))
       for n in (1, 2, 3)},
    **{f"{kind}Pool{n}d": layer(getattr(nn, f"{kind}Pool{n}D"))
       for kind in ("Avg", "Max", "AdaptiveAvg", "AdaptiveMax") for n in (1, 2, 3)},
    **{f"LPPool{n}d": layer(getattr(nn, f"LpPool{n}D")) for n in (1, 2, 3)},
}  # fmt: skip

NORMS = {
    **{
        f"BatchNorm{n}d": layer(nn.BatchNorm, "num_features", **OF_NORM, track_running_stats=tracks)
        for n in (1, 2, 3)
    },
    **{
        f"InstanceNorm{n}d": layer(
            nn.InstanceNorm, "num_features", **OF_NORM, momentum=lambda theirs: theirs.momentum
        )
        for n in (1, 2, 3)
    },
    "GroupNorm": layer(nn.GroupNorm, channels=lambda theirs: theirs.num_channels, **OF_NORM),
    "LayerNorm": layer(nn.LayerNorm, "normalized_shape", **OF_NORM),
    "RMSNorm": layer(nn.RMSNorm, "normalized_shape", affine=has("weight")),
    "LocalResponseNorm": layer(nn.LocalResponseNorm),
}

ACTIVATIONS = {
    name: layer(getattr(nn, name))
    for name in (
        "CELU ELU GELU GLU Hardshrink Hardswish Hardtanh ReLU LeakyReLU ReLU6 SELU Sigmoid "
        "LogSigmoid SiLU Softmax LogSoftmax Softplus Softshrink Softsign Tanh Tanhshrink "
        "Threshold Mish"
    ).split()
} | {
    "PReLU": layer(nn.PReLU, "num_parameters"),
    "Softmax2d": function(lambda theirs, x: nn.Softmax(axis=-3)(x)),
    "Softmin": function(lambda theirs, x: tg.softmax(-x, axis=theirs.dim)),
}

LOSSES = {
    "L1Loss": loss(losses.l1),
    "SmoothL1Loss": loss(losses.smooth_l1, "beta"),
    "MSELoss": loss(losses.mse),
    "HuberLoss": loss(losses.huber, "delta"),
    "GaussianNLLLoss": loss(losses.gaussian_nll, "full", "eps"),
    "PoissonNLLLoss": loss(losses.poisson_nll, "log_input", "full", "eps"),
    "KLDivLoss": loss(losses.kl_divergence, "log_target"),
    "BCELoss": loss(losses.binary_cross_entropy, "weight"),
    "BCEWithLogitsLoss": loss(losses.binary_cross_entropy_with_logits, "weight", "pos_weight"),
    "NLLLoss": loss(nll, "weight", "ignore_index"),
    "CrossEntropyLoss": loss(cross_entropy, "weight", "ignore_index", "label_smoothing"),
    "CTCLoss": loss(ctc, "blank", "zero_infinity")._replace(call_theirs=ctc_of_theirs),
    "CosineEmbeddingLoss": loss(losses.cosine_embedding, "margin"),
    "HingeEmbeddingLoss": loss(losses.hinge_embedding, "margin"),
    "MarginRankingLoss": loss(losses.margin_ranking, "margin"),
    "MultiLabelMarginLoss": loss(losses.multilabel_margin),
    "MultiMarginLoss": loss(losses.multi_margin, "p", "margin", "weight"),
    "SoftMarginLoss": loss(losses.soft_margin),
    "MultiLabelSoftMarginLoss": loss(losses.multilabel_soft_margin, "weight"),
}

SEQUENCES = {
    "RNN": recurrent(nn.RNN),
    "GRU": recurrent(nn.GRU),
    "LSTM": recurrent(nn.LSTM),
    "RNNCell": cell(nn.RNN),
    "GRUCell": cell(nn.GRU),
    "LSTMCell": cell(nn.LSTM),
    "MultiheadAttention": Peer(attention, attend),
    "TransformerEncoderLayer": Peer(transformer_layer(nn.TransformerEncoderLayer), encode),
    "TransformerDecoderLayer": Peer(transformer_layer(nn.TransformerDecoderLayer), decode),
    "TransformerEncoder": Peer(lambda theirs: stack_of(nn.TransformerEncoder, theirs), encode),
    "Transformer": Peer(Transformer, translate),
}

PADDING = {
    f"{name}Pad{n}d": padded(mode)
    for name, mode in (
        ("Reflection", "reflect"), ("Replication", "replicate"), ("Circular", "circular"),
        ("Constant", "constant"), ("Zero", "constant"),
    )
    for n in (1, 2, 3)
}  # fmt: skip

PEERS: dict[str, Any] = {
    **WINDOWS,
    **NORMS,
    **ACTIVATIONS,
    **LOSSES,
    **SEQUENCES,
    **PADDING,
    "Linear": layer(nn.Dense, "in_features", "out_features", bias=has("bias"))._replace(
        call=lambda ours, theirs, input: ours(input)
    ),
    "Bilinear": layer(
        nn.Bilinear, "in1_features", "in2_features", "out_features", bias=has("bias")
    ),
    "Embedding": layer(nn.Embedding, "num_embeddings", "embedding_dim"),
}
