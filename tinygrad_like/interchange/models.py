"""A PyTorch model made again of our layers, with its weights, settings and modes."""

from collections.abc import Callable
from typing import Any

from tinygrad_like import nn, torch_settings
from tinygrad_like.interchange.weights import links_of, load_torch
from tinygrad_like.nn.base.module import Module
from tinygrad_like.torch_settings import (
    CHOICES,
    COUNTERPARTS,
    in_our_words,
    of_theirs,
    unlike,
)

# PyTorch's names of what our layers are made with, in the order of ours. Further settings are in
# COUNTERPARTS.
SIZES: dict[type, tuple[str, ...]] = {
    nn.Dense: ("in_features", "out_features"),
    **dict.fromkeys(
        (
            *(nn.Conv1D, nn.Conv2D, nn.Conv3D),
            *(nn.ConvTranspose1D, nn.ConvTranspose2D, nn.ConvTranspose3D),
        ),
        ("in_channels", "out_channels", "kernel_size"),
    ),
    nn.Bilinear: ("in1_features", "in2_features", "out_features"),
    nn.Embedding: ("num_embeddings", "embedding_dim"),
    nn.EmbeddingBag: ("num_embeddings", "embedding_dim"),
    nn.BatchNorm: ("num_features",),
    nn.InstanceNorm: ("num_features",),
    nn.LayerNorm: ("normalized_shape",),
    nn.RMSNorm: ("normalized_shape",),
    nn.PReLU: ("num_parameters",),
    **dict.fromkeys((nn.Dropout, nn.Dropout2D, nn.AlphaDropout), ("p",)),
    **dict.fromkeys((nn.RNN, nn.GRU, nn.LSTM), ("input_size", "hidden_size", "num_layers")),
    nn.MultiHeadAttention: ("embed_dim",),
}


def _has(name: str) -> Callable:
    return lambda theirs: getattr(theirs, name) is not None


def _setting(name: str) -> Callable:
    return lambda theirs: getattr(theirs, name)


def _has_bias(theirs: Any) -> bool:
    """Of a norm, whose bias is missing also where it has no weight."""
    return theirs.bias is not None or theirs.weight is None


AFFINE = {"affine": _has("weight"), "bias": _has_bias}
SEQUENCE = {name: _setting(name) for name in ("bidirectional", "dropout", "bias")}

# Further options of ours, as functions of PyTorch's layer.
OPTIONS: dict[type, dict[str, Callable]] = {
    **{kind: {"bias": _has("bias")} for kind in SIZES if kind.__name__[:4] in ("Dens", "Conv")},
    nn.Bilinear: {"bias": _has("bias")},
    nn.BatchNorm: {**AFFINE, "track_running_stats": _setting("track_running_stats")},
    nn.InstanceNorm: {**AFFINE, "momentum": _setting("momentum")},
    nn.LayerNorm: AFFINE,
    nn.RMSNorm: {"affine": _has("weight")},
    nn.Upsample: {"align_corners": lambda theirs: bool(theirs.align_corners)},
    nn.GroupNorm: {**AFFINE, "channels": _setting("num_channels")},
    nn.RNN: SEQUENCE,
    nn.GRU: SEQUENCE,
    nn.LSTM: {**SEQUENCE, "proj_size": _setting("proj_size")},
    nn.MultiHeadAttention: {
        **{name: _setting(name) for name in ("kdim", "vdim", "dropout")},
        "bias": _has("in_proj_bias"),
        "add_bias_kv": _has("bias_k"),
    },
}

# Of PyTorch's classes that several of our layers have as a counterpart, the one that is meant.
KINDS: dict[str, type] = {
    **{name: kind for kind in reversed(COUNTERPARTS) for name in COUNTERPARTS[kind].classes},
    **{COUNTERPARTS[kind].classes[0]: kind for kind in reversed(COUNTERPARTS)},
    **dict.fromkeys(("Dropout1d", "Dropout2d", "Dropout3d"), nn.Dropout2D),
}
HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
DECODERS = ("TransformerDecoderLayer", "TransformerDecoder", "Transformer")


def from_torch(module: Any) -> Module:
    """A PyTorch model made again of our layers: it computes the same, and trains.

    Args:
        module: a layer that both libraries have, or a `torch.nn.Sequential` of such, at any depth.
            Its weights, running statistics, settings, modes (`train()`, `eval()`) and which
            parameters are frozen are copied, in its dtype.

    A module with a forward of its own is not made again, since no one can tell what it computes:
    write it with our layers and use `load_torch`, or give `from_torch_function` the module itself.

    The layers are called as ours are: sequences have the batch first, attention returns its output
    alone, without the weights (`return_weights=True` asks for them), and `mask` is true where a
    position may be seen, in PyTorch where it may not.

    Raises:
        TypeError: with a line for each layer that cannot be made again, and the reason.

    >>> model = from_torch(torch.nn.Sequential(torch.nn.Linear(4, 2)))  # doctest: +SKIP
    """
    if not hasattr(module, "named_modules") or isinstance(module, (Module, type)):
        raise TypeError(
            f"[from_torch] module is a {type(module).__name__}, expected a torch.nn.Module"
        )
    conversion = _Conversion()
    conversion.check_parameters(module)
    conversion.check_calls(module)
    model = conversion.converted("", module)
    if conversion.reasons:
        lines = "\n".join(f"  {path or '(model)'}: {why}" for path, why in conversion.reasons)
        raise TypeError(
            f"[from_torch] {type(module).__name__} cannot be made of our layers:\n{lines}\n"
            "from_torch_function(module) runs PyTorch's own"
        )
    model.to(conversion.dtype)
    load_torch(model, module)
    _set_modes(model, module)
    return model


class _Conversion:
    """The conversion of one model: what was made, and why something was not."""

    def __init__(self) -> None:
        self.reasons: list[tuple[str, str]] = []
        self.made: dict[int, Module] = {}  # by PyTorch's module: one may occur twice
        self.dtype = "float32"

    def refuse(self, path: str, why: str) -> None:
        self.reasons.append((path, why))

    def check_parameters(self, module: Any) -> None:
        """Note the dtype; refuse several, one that NumPy lacks, and parameters that are tied."""
        named = list(module.named_parameters(remove_duplicate=False))
        every = [p for _, p in named] + [b for b in module.buffers() if b.is_floating_point()]
        dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in every})
        if len(dtypes) > 1:
            self.refuse("", f"has weights of {' and '.join(dtypes)}, expected one dtype")
        elif dtypes == ["bfloat16"]:
            self.refuse("", "has bfloat16, which NumPy does not have; cast it by .float()")
        elif dtypes:
            self.dtype = dtypes[0]
        first: dict[int, tuple[str, Any]] = {}
        homes = dict(module.named_modules(remove_duplicate=False))
        for path, p in named:
            home = homes[path.rpartition(".")[0]]
            at, owner = first.setdefault(id(p), (path, home))
            if owner is not home:
                self.refuse(path, f"is tied to {at}, which two of our layers do not share")

    def check_calls(self, module: Any) -> None:
        """Refuse layers, also those within others, that compute more than their class says."""
        for path, layer in module.named_modules():
            name = type(layer).__name__
            if not _is_of_torch(layer):
                continue
            if any(getattr(layer, kind) for kind in HOOKS):
                self.refuse(path, f"is a {name} with hooks")
            elif "forward" in vars(layer):
                self.refuse(path, f"is a {name} with a forward of its own")

    def converted(self, path: str, theirs: Any) -> Any:
        """Our layer for one of theirs; None, with a reason, if there is none."""
        if id(theirs) not in self.made:
            ours = self._converted(path, theirs)
            if ours is None:
                return None
            self.made[id(theirs)] = ours
        return self.made[id(theirs)]

    def _converted(self, path: str, theirs: Any) -> Any:
        name = type(theirs).__name__
        if not _is_of_torch(theirs):
            return self.refuse(path, f"is a {name}, a class of its own")
        if name == "Sequential":
            children = theirs._modules.items()
            layers = [self.converted(_below(path, child), x) for child, x in children]
            return None if None in layers else nn.Sequential(*layers)
        if _batch_first(theirs) is False:
            return self.refuse(
                path, f"is a {name} with batch_first=False, and ours have the batch first"
            )
        if name == "TransformerEncoder":
            return self._encoder(path, theirs)
        if name in DECODERS:
            return self.refuse(
                path,
                f"is a {name}; ours hide the future unless they are called with causal=False: "
                "make one and use load_torch",
            )
        if name not in KINDS:
            return self.refuse(path, f"is a {name}, which has no counterpart here")
        try:
            if name == "TransformerEncoderLayer":
                ours: Module = _encoder_layer(theirs)
            else:
                ours = _layer(KINDS[name], theirs)
        except (TypeError, ValueError) as error:
            return self.refuse(path, f"is a {name}: {error}")
        problems = list(unlike(path, ours, theirs))
        for where, what in problems:
            self.refuse(where, f"is {what}")
        return None if problems else ours

    def _encoder(self, path: str, theirs: Any) -> Any:
        """A stack of layers, and the norm behind them, if there is one."""
        paths = [_below(path, f"layers.{i}") for i in range(len(theirs.layers))]
        layers = [self.converted(*pair) for pair in zip(paths, theirs.layers, strict=True)]
        norm = None if theirs.norm is None else self.converted(_below(path, "norm"), theirs.norm)
        if None in layers or (norm is None) is not (theirs.norm is None):
            return None
        attention, up = layers[0].attention, layers[0].feed_forward.up
        ours = nn.TransformerEncoder(attention.d_model, attention.num_heads, up.n_out, len(layers))
        ours.layers, ours.norm = nn.ModuleList(layers), norm
        return ours


def _is_of_torch(theirs: Any) -> bool:
    """Whether a layer is of one of PyTorch's classes, not of one that derives from it."""
    return type(theirs).__module__.startswith("torch.nn.modules.")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}".lstrip(".")


def _batch_first(theirs: Any) -> Any:
    """Whether a layer of sequences has the batch first; None for other layers."""
    layers = getattr(theirs, "layers", [theirs])
    within = getattr(layers[0] if len(layers) else theirs, "self_attn", theirs)
    return getattr(within, "batch_first", None)


def _plain(value: Any) -> Any:
    """A setting of a window along one axis as a number."""
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def _layer(kind: type, theirs: Any) -> Module:
    """A layer of ours with the sizes and settings of one of theirs."""
    known = COUNTERPARTS[kind]
    settings = {
        ours: in_our_words(kind, _plain(getattr(theirs, name)), theirs)
        for ours, name in known.settings.items()
    }
    if settings.get("axis", 0) is None:
        raise ValueError("its dim is None, which PyTorch chooses by the shape of the input")
    options = {name: value(theirs) for name, value in OPTIONS.get(kind, {}).items()}
    sizes = (_plain(getattr(theirs, name)) for name in SIZES.get(kind, ()))
    return kind(*sizes, **settings | options)


# What the layer of a transformer's encoder consists of.
SUBLAYERS = {
    **{"self_attn": "MultiheadAttention", "linear1": "Linear", "linear2": "Linear"},
    **{"norm1": "LayerNorm", "norm2": "LayerNorm"},
    **dict.fromkeys(("dropout", "dropout1", "dropout2"), "Dropout"),
}


def _encoder_layer(theirs: Any) -> nn.TransformerEncoderLayer:
    for name, kind in SUBLAYERS.items():
        if type(getattr(theirs, name)).__name__ != kind:
            found = type(getattr(theirs, name)).__name__
            raise ValueError(f"its {name} is a {found}, expected a {kind}")
    linears = theirs.linear1, theirs.linear2, theirs.self_attn.out_proj
    if len({p.bias is None for p in (*linears, theirs.norm1, theirs.norm2)}) > 1:
        raise ValueError("some of its parts have a bias, and some have none")
    activation = of_theirs(theirs, "activation")
    if activation not in CHOICES:
        raise ValueError(f"its activation is {activation!r}, expected one of {CHOICES}")
    rates = {getattr(theirs, name).p for name in ("dropout", "dropout1", "dropout2")}
    if rates != {theirs.self_attn.dropout}:
        raise ValueError("its rates of dropout differ, and ours has one")
    attention = theirs.self_attn
    ours = nn.TransformerEncoderLayer(
        attention.embed_dim,
        attention.num_heads,
        theirs.linear1.out_features,
        dropout=attention.dropout,
        norm_first=theirs.norm_first,
        activation=activation,
        bias=theirs.linear1.bias is not None,
    )
    for name in ("norm1", "norm2"):
        getattr(ours, name).eps = getattr(theirs, name).eps
    return ours


def _set_modes(model: Module, theirs: Any) -> None:
    """Set the modes of all layers, and freeze the parameters that are frozen there."""
    modes = {path: m.training for path, m in theirs.named_modules(remove_duplicate=False)}
    model.train(theirs.training)
    for path, layer in torch_settings.by_their_paths(model):
        if path in modes:
            layer.train(modes[path])
    named = dict(theirs.named_parameters(remove_duplicate=False))
    for link in links_of(model):
        known = [named[path] for path in link.theirs if path in named]
        if known and not any(p.requires_grad for p in known):
            for own in link.ours:
                own.requires_grad = False
