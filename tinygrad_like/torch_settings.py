"""What PyTorch's weights do not say: settings of its layers that change what they compute."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_like import nn
from tinygrad_like.nn.base.holder import held
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.indexing.window import ends_of_axis

TRANSFORMER_LAYERS = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
CHOICES = ("gelu", "gelu_tanh", "relu", "silu")  # of a transformer layer
PER_AXIS = ("size", "stride", "dilation", "output_padding", "output_size")  # a number, or several
AXES = {"1D": 1, "2D": 2, "3D": 3}  # by the end of a layer's name


@dataclass(frozen=True)
class Counterpart:
    """What PyTorch has for a layer of ours, and which settings have to agree.

    Rates of dropout are not compared, as they change no output in evaluation; nor `batch_first`,
    as it is about how an input lies, not about a result. Ours have the batch first.
    """

    classes: tuple[str, ...]  # names of PyTorch's classes that compute the same
    # The names of settings of ours, and PyTorch's names of them.
    settings: dict[str, str] = field(default_factory=dict)
    # Settings that PyTorch's alone has, and what ours amounts to; and the other way round.
    fixed: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)


def _window(name: str, *others: str, **fixed: Any) -> Counterpart:
    settings = {n: n for n in ("stride", "padding", *others)}
    return Counterpart((name,), settings, fixed)


def _pool(name: str, *others: str, **renamed: str) -> Counterpart:
    settings = {"size": "kernel_size", **{n: n for n in ("stride", "ceil_mode", *others)}}
    return Counterpart((name,), settings | renamed)


COUNTERPARTS: dict[type, Counterpart] = {
    nn.Dense: Counterpart(("Linear",)),
    **{
        layer: _window(name, "dilation", "groups", "padding_mode")
        for layer, name in ((nn.Conv1D, "Conv1d"), (nn.Conv2D, "Conv2d"), (nn.Conv3D, "Conv3d"))
    },
    **{
        layer: _window(
            f"ConvTranspose{n}d", "dilation", "groups", "output_padding", padding_mode="zeros"
        )
        for n, layer in enumerate(
            (nn.ConvTranspose1D, nn.ConvTranspose2D, nn.ConvTranspose3D), start=1
        )
    },
    **{
        layer: _pool(f"MaxPool{n}d", "padding", "dilation", "return_indices")
        for n, layer in enumerate((nn.MaxPool1D, nn.MaxPool2D, nn.MaxPool3D), start=1)
    },
    nn.AvgPool1D: _pool("AvgPool1d", "padding", "count_include_pad"),
    nn.AvgPool2D: _pool("AvgPool2d", "padding", "count_include_pad", "divisor_override"),
    nn.AvgPool3D: _pool("AvgPool3d", "padding", "count_include_pad", "divisor_override"),
    nn.LpPool1D: _pool("LPPool1d", ord="norm_type"),
    nn.LpPool2D: _pool("LPPool2d", ord="norm_type"),
    nn.LpPool3D: _pool("LPPool3d", ord="norm_type"),
    **{
        getattr(nn, f"Adaptive{kind}Pool{n}D"): Counterpart(
            (f"Adaptive{kind}Pool{n}d",),
            {"size": "output_size"} | ({"return_indices": "return_indices"} if places else {}),
        )
        for kind, places in (("Avg", False), ("Max", True))
        for n in (1, 2, 3)
    },
    nn.Upsample: Counterpart(
        ("Upsample",),
        {name: name for name in ("size", "scale_factor", "mode", "align_corners")},
        {"recompute_scale_factor": None},
    ),
    nn.PixelShuffle: Counterpart(("PixelShuffle",), {"factor": "upscale_factor"}),
    nn.PixelUnshuffle: Counterpart(("PixelUnshuffle",), {"factor": "downscale_factor"}),
    nn.Identity: Counterpart(("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d")),
    nn.Unflatten: Counterpart(("Unflatten",), {"axis": "dim", "shape": "unflattened_size"}),
    nn.InstanceNorm: Counterpart(
        ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
        {name: name for name in ("eps", "track_running_stats", "momentum")},
    ),
    nn.LocalResponseNorm: Counterpart(
        ("LocalResponseNorm",), {name: name for name in ("size", "alpha", "beta", "k")}
    ),
    nn.Dropout2D: Counterpart(("Dropout1d", "Dropout2d", "Dropout3d", "Dropout", "Identity")),
    nn.AlphaDropout: Counterpart(("AlphaDropout", "Identity")),
    nn.Bilinear: Counterpart(("Bilinear",)),
    nn.CosineSimilarity: Counterpart(("CosineSimilarity",), {"axis": "dim", "eps": "eps"}),
    nn.PairwiseDistance: Counterpart(
        ("PairwiseDistance",), {"p": "norm", "eps": "eps", "keepdims": "keepdim"}
    ),
    nn.EmbeddingBag: Counterpart(
        ("EmbeddingBag",),
        {"mode": "mode", "padding_idx": "padding_idx"},
        {"max_norm": None, "include_last_offset": False},
    ),
    nn.GlobalAvgPool2D: Counterpart(("AdaptiveAvgPool2d",), fixed={"output_size": 1}),
    nn.Flatten: Counterpart(("Flatten",), {"start_axis": "start_dim", "end_axis": "end_dim"}),
    nn.BatchNorm: Counterpart(
        ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"),
        {"eps": "eps", "momentum": "momentum"},
    ),
    nn.LayerNorm: Counterpart(("LayerNorm",), {"eps": "eps"}),
    nn.RMSNorm: Counterpart(("RMSNorm",), {"eps": "eps"}),
    nn.GroupNorm: Counterpart(("GroupNorm",), {"groups": "num_groups", "eps": "eps"}),
    nn.Dropout: Counterpart(
        ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "Identity")
    ),
    nn.Embedding: Counterpart(("Embedding",), {"padding_idx": "padding_idx"}, {"max_norm": None}),
    nn.LearnedPositions: Counterpart(("Embedding",), fixed={"max_norm": None}),
    nn.RNN: Counterpart(("RNN",), {"nonlinearity": "nonlinearity"}),
    nn.GRU: Counterpart(("GRU",)),
    nn.LSTM: Counterpart(("LSTM",)),
    nn.MultiHeadAttention: Counterpart(
        ("MultiheadAttention",),
        {"num_heads": "num_heads", "add_zero_attn": "add_zero_attn"},
        own={"rotary": False, "alibi": False, "window": None},
    ),
    nn.TransformerEncoderLayer: Counterpart(("TransformerEncoderLayer",)),
    nn.TransformerDecoderLayer: Counterpart(("TransformerDecoderLayer",)),
    nn.ReLU: Counterpart(("ReLU",)),
    nn.LeakyReLU: Counterpart(("LeakyReLU",), {"slope": "negative_slope"}),
    nn.ELU: Counterpart(("ELU",), {"alpha": "alpha"}),
    nn.GELU: Counterpart(("GELU",), {"approximate": "approximate"}),
    nn.SiLU: Counterpart(("SiLU",)),
    nn.Tanh: Counterpart(("Tanh",)),
    nn.Sigmoid: Counterpart(("Sigmoid",)),
    nn.Softmax: Counterpart(("Softmax",), {"axis": "dim"}),
    **{
        getattr(nn, name): Counterpart((name,), settings)
        for name, settings in {
            "CELU": {"alpha": "alpha"},
            "Hardshrink": {"lambd": "lambd"},
            "Softshrink": {"lambd": "lambd"},
            "Hardtanh": {"min": "min_val", "max": "max_val"},
            "Threshold": {"threshold": "threshold", "value": "value"},
            "LogSoftmax": {"axis": "dim"},
            "GLU": {"axis": "dim"},
        }.items()
    },
    **{
        layer: Counterpart((layer.__name__,))
        for layer in (
            *(nn.Mish, nn.SELU, nn.ReLU6, nn.Hardsigmoid, nn.Hardswish),
            *(nn.LogSigmoid, nn.Softsign, nn.Tanhshrink, nn.PReLU),
        )
    },
    nn.Softplus: Counterpart(("Softplus",), {"beta": "beta", "threshold": "threshold"}),
}  # fmt: skip


def parts(layer: Any) -> dict[str, Module]:
    """The layers in a transformer layer, by PyTorch's names of them."""
    named = {
        "self_attn": layer.attention,
        "multihead_attn": getattr(layer, "cross_attention", None),
        "linear1": layer.feed_forward.up,
        "linear2": layer.feed_forward.down,
        **{name: getattr(layer, name, None) for name in ("norm1", "norm2", "norm3")},
    }
    return {name: part for name, part in named.items() if part is not None}


def by_their_paths(
    module: Module, path: str = "", above: tuple[Module, ...] = ()
) -> Iterator[tuple[str, Module]]:
    """(PyTorch's path, layer) of a module and of all below it."""
    yield path, module
    within = parts(module) if isinstance(module, TRANSFORMER_LAYERS) else dict(held(module))
    for name, x in within.items():
        if isinstance(x, Module) and x is not module and x not in above:
            yield from by_their_paths(x, f"{path}.{name}".lstrip("."), (*above, module))


def differences(module: Module, theirs: Any, said: dict[str, Any]) -> dict[str, str]:
    """{path: what differs} between the settings of our layers and of a PyTorch module's.

    Args:
        theirs: the PyTorch module, or None if only its weights are at hand.
        said: `activation` and `norm_first` of its transformer layers, None where not said.
    """
    found: dict[str, str] = {}
    modules = {} if theirs is None else dict(theirs.named_modules(remove_duplicate=False))
    for path, layer in by_their_paths(module):
        other = modules.get(path)
        if theirs is not None and other is None:
            continue  # under another name there: a missing weight is reported elsewhere
        if other is not None:
            found.update(unlike(path, layer, other))
        if isinstance(layer, TRANSFORMER_LAYERS):
            ours = {"activation": activation(layer), "norm_first": layer.norm_first}
            for name, own in ours.items():
                value = said[name] if said[name] is not None else of_theirs(other, name)
                if value != own:
                    found[f"{path}.{name}".lstrip(".")] = f"{own!r}, PyTorch's is {value!r}"
    return found


def unsaid(module: Module, said: dict[str, Any]) -> list[str]:
    """The arguments that weights alone do not say, if the module has transformer layers."""
    if not any(isinstance(layer, TRANSFORMER_LAYERS) for _, layer in by_their_paths(module)):
        return []
    return [name for name, value in said.items() if value is None]


def activation(layer: Any) -> str:
    """`"gelu"`, `"gelu_tanh"`, `"relu"` or `"silu"`: what a transformer layer was made with."""
    own = layer.feed_forward.activation
    tanh = "_tanh" if getattr(own, "approximate", False) else ""
    return type(own).__name__.lower() + tanh


def of_theirs(layer: Any, name: str) -> Any:
    """A setting of a PyTorch transformer layer; its activation is a function or a module."""
    value = getattr(layer, name, None)
    if name != "activation" or value is None:
        return value
    tanh = "_tanh" if getattr(value, "approximate", "none") == "tanh" else ""
    known = getattr(value, "__name__", type(value).__name__).lower() + tanh
    return known if known in CHOICES else value


def unlike(path: str, layer: Module, other: Any) -> Iterator[tuple[str, str]]:
    """(path, what differs) of one layer; nothing if it, or PyTorch's, is of a class of the user's.

    A class that derives from a known one is taken for it.
    """
    kind = next((kind for kind in type(layer).__mro__ if kind in COUNTERPARTS), None)
    theirs = [c.__name__ for c in type(other).__mro__ if c.__module__.startswith("torch.nn.")]
    theirs.remove("Module")
    if kind is None or not theirs:
        return
    known = COUNTERPARTS[kind]
    if not set(known.classes) & set(theirs):
        yield path or "(model)", f"a {kind.__name__}, PyTorch's is a {type(other).__name__}"
        return
    tracks = getattr(layer, "track_running_stats", True)  # else no momentum changes an output
    pairs = [
        (ours, getattr(layer, ours), getattr(other, name))
        for ours, name in known.settings.items()
        if tracks or ours != "momentum"
    ]
    pairs += [(name, amounts, getattr(other, name)) for name, amounts in known.fixed.items()]
    pairs += [(name, getattr(layer, name), amounts) for name, amounts in known.own.items()]
    axes = AXES.get(kind.__name__[-2:], 2)
    for name, ours, value in pairs:
        if _normal(name, ours, axes) != _normal(name, in_our_words(kind, value, other), axes):
            yield f"{path}.{name}".lstrip("."), f"{ours!r}, PyTorch's is {value!r}"


def in_our_words(kind: type, value: Any, other: Any) -> Any:
    """A setting `value` of PyTorch's layer `other` as a layer of ours, a `kind`, has it."""
    if kind is nn.GELU:
        return value == "tanh"
    if kind is nn.RMSNorm and value is None:  # PyTorch takes the dtype's
        dtype = getattr(other.weight, "dtype", "float32")
        return float(np.finfo(str(dtype).removeprefix("torch.")).eps)
    if kind in (nn.LpPool1D, nn.LpPool2D, nn.LpPool3D) and value is None:
        return other.kernel_size  # of the stride
    if kind is nn.Embedding and value is not None:
        return value % other.num_embeddings
    return value


def _normal(name: str, value: Any, axes: int) -> Any:
    """A setting in the form in which equal ones are equal: a tuple, paddings as their ends."""
    if name == "align_corners":  # which PyTorch has as None where it does not apply
        return bool(value)
    if name == "threshold" and value is None:  # exact here, and there up to rounding
        return 20
    if name not in (*PER_AXIS, "padding") or value == "same":
        return value
    value = 0 if value == "valid" else value
    several = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    return tuple(map(ends_of_axis, several)) if name == "padding" else several
