"""What PyTorch's weights do not say: settings of its layers that change what they compute."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygrad_like import nn
from tinygrad_like.nn.module import Module, _held

TRANSFORMER_LAYERS = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
ACTIVATIONS = {nn.ReLU: "ReLU", nn.GELU: "GELU", nn.SiLU: "SiLU", nn.Tanh: "Tanh"} | {
    nn.Sigmoid: "Sigmoid",
    nn.Softmax: "Softmax",
    nn.Softplus: "Softplus",
    nn.LeakyReLU: "LeakyReLU",
    nn.ELU: "ELU",
}
CHOICES = ("gelu", "gelu_tanh", "relu", "silu")  # of a transformer layer
WINDOW = {"stride": "stride", "padding": "padding", "dilation": "dilation", "groups": "groups"}

# Of each layer of ours: the names of its settings, and PyTorch's names of them.
SETTINGS: dict[type, dict[str, str]] = {
    nn.Conv1D: WINDOW,
    nn.Conv2D: WINDOW,
    nn.ConvTranspose2D: WINDOW | {"output_padding": "output_padding"},
    nn.MaxPool2D: {"size": "kernel_size", "stride": "stride", "padding": "padding"},
    nn.AvgPool2D: {"size": "kernel_size", "stride": "stride", "padding": "padding"},
    nn.BatchNorm: {"eps": "eps"},
    nn.LayerNorm: {"eps": "eps"},
    nn.RMSNorm: {"eps": "eps"},
    nn.GroupNorm: {"groups": "num_groups", "eps": "eps"},
    nn.Embedding: {"padding_idx": "padding_idx"},
    nn.RNN: {"nonlinearity": "nonlinearity"},
    nn.MultiHeadAttention: {"num_heads": "num_heads"},
    nn.LeakyReLU: {"slope": "negative_slope"},
    nn.ELU: {"alpha": "alpha"},
    nn.GELU: {"approximate": "approximate"},
    nn.Softmax: {"axis": "dim"},
}


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
    within = parts(module) if isinstance(module, TRANSFORMER_LAYERS) else dict(_held(module))
    for name, x in within.items():
        if isinstance(x, Module) and x is not module and x not in above:
            yield from by_their_paths(x, f"{path}.{name}".lstrip("."), (*above, module))


def differences(module: Module, theirs: Any, said: dict[str, Any]) -> dict[str, str]:
    """{path: what differs} between the settings of our layers and of a PyTorch module's.

    Args:
        theirs: the PyTorch module, or None if only its weights are at hand.
        said: `activation` and `norm_first` of its transformer layers, None where not said.
    """
    found = {}
    modules = {} if theirs is None else dict(theirs.named_modules(remove_duplicate=False))
    for path, layer in by_their_paths(module):
        other = modules.get(path)
        if theirs is not None and other is None:
            continue  # under another name there: a missing weight is reported elsewhere
        if isinstance(layer, TRANSFORMER_LAYERS):
            ours = {"activation": activation(layer), "norm_first": layer.norm_first}
            for name, own in ours.items():
                value = said[name] if said[name] is not None else _of_theirs(other, name)
                if value != own:
                    found[f"{path}.{name}".lstrip(".")] = f"{own!r}, PyTorch's is {value!r}"
        elif other is not None and type(other).__module__.startswith("torch.nn."):
            found.update(_unlike(path, layer, other))
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
    return ACTIVATIONS.get(type(own), type(own).__name__).lower() + tanh


def _of_theirs(layer: Any, name: str) -> Any:
    """A setting of a PyTorch transformer layer; its activation is a function or a module."""
    value = getattr(layer, name, None)
    if name != "activation" or value is None:
        return value
    tanh = "_tanh" if getattr(value, "approximate", "none") == "tanh" else ""
    known = getattr(value, "__name__", type(value).__name__).lower() + tanh
    return known if known in CHOICES else value


def _unlike(path: str, layer: Module, other: Any) -> Iterator[tuple[str, str]]:
    """(path, what differs) of the settings of one layer."""
    kind, theirs = type(layer), type(other).__name__
    if ACTIVATIONS.get(kind, theirs) != theirs:
        yield path or "(model)", f"a {kind.__name__}, PyTorch's is a {theirs}"
        return
    for name, their_name in SETTINGS.get(kind, {}).items():
        own, value = getattr(layer, name), getattr(other, their_name, None)
        if not _equal(own, _in_our_words(kind, their_name, value, other)):
            yield f"{path}.{name}".lstrip("."), f"{own!r}, PyTorch's is {value!r}"
    if getattr(other, "padding_mode", "zeros") != "zeros":
        yield f"{path}.padding".lstrip("."), f"of zeros, PyTorch's is {other.padding_mode!r}"


def _in_our_words(kind: type, name: str, value: Any, other: Any) -> Any:
    if kind is nn.GELU:
        return value == "tanh"
    if kind is nn.RMSNorm and value is None:  # PyTorch takes the dtype's
        return float(np.finfo(str(other.weight.dtype).removeprefix("torch.")).eps)
    if kind is nn.Embedding and value is not None:
        return value % other.num_embeddings
    return 0 if value == "valid" else value


def _equal(own: Any, value: Any) -> bool:
    own = 0 if own == "valid" else own
    if None in (own, value) or isinstance(own, str) or isinstance(value, str):
        return own == value
    return bool(np.all(np.asarray(own) == np.asarray(value)))
