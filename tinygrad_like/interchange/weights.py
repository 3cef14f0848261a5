"""PyTorch's weights in our layers, and ours in PyTorch's.

The same model, written with our layers in attributes of the same names, takes the weights of one
in PyTorch: `load_torch(model, "weights.safetensors")`. Where the two libraries differ, `LINKS`
says how: for each layer a function that returns its Links, arrays of ours and the arrays of
PyTorch's that hold the same numbers. A layer in it answers for all that it holds:

    LINKS[Attention] = lambda attention: [
        *below("q_proj", links_of(attention.query)),
        *below("out_proj", links_of(attention.out)),
    ]
"""

import os
from collections.abc import Callable, Iterable, Mapping
from textwrap import indent
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like import io, nn, torch_settings
from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.holder import held
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.state import StateError, StateReport, mistyped, overwrite
from tinygrad_like.nn.models.bert import MaskedTokens

COUNT = "num_batches_tracked"  # which PyTorch's norms always have, ours where it is needed


def load_torch(
    module: Module,
    weights: Any,
    *,
    activation: str | None = None,
    norm_first: bool | None = None,
) -> None:
    """Copy the weights of a PyTorch model into `module`, of the same structure.

    Args:
        module: has our layers (Dense for Linear, Conv2D for Conv2d, ...) at the same attribute
            paths. Modules of your own, and lists of them, may lie between.
        weights: the PyTorch module itself; or its weights alone, as a safetensors file
            (`safetensors.torch.save_file(model.state_dict(), path)`) or a dict of arrays or
            tensors with PyTorch's names, such as `model.state_dict()`. They are converted to the
            dtype and device of the parameters.
        activation, norm_first: of the transformer layers in PyTorch. Weights alone do not say
            them, and the defaults differ ("relu" and False there, "gelu" and True here), so they
            must be given with weights alone.

    Of a PyTorch module the class of each layer and all its settings that change an output are
    compared with those of our layer of the same path: also `eps`, strides, the number of heads, the
    nonlinearity; but no rates of dropout, and not `batch_first`. Of weights alone they are taken on
    trust, and so is a class of your own. `num_batches_tracked` is passed over where ours has none.
    Of tied weights one name is enough.

    >>> load_torch(model, path, activation="relu", norm_first=False)  # doctest: +SKIP

    Raises:
        StateError: with a full report of what is missing, unexpected, or of another shape, type or
            setting, by PyTorch's names, or if an argument is needed; nothing is changed then.
        FileError: for a file that is no safetensors file, or damaged.
        TypeError: for a layer of `tg.nn` whose counterpart is not known.
    """
    said = {"activation": activation, "norm_first": norm_first}
    if activation is not None and activation not in torch_settings.CHOICES:
        raise ValueError(
            f"[load_torch] activation is {activation!r}, expected one of {torch_settings.CHOICES}"
        )
    if norm_first is not None:
        arguments.flag("load_torch", "norm_first", norm_first)
    theirs = None
    if hasattr(weights, "named_modules") and not isinstance(weights, Module):
        theirs, weights = weights, weights.state_dict()
    state = read_state("load_torch", weights)
    unsaid = torch_settings.unsaid(module, said) if theirs is None else []
    if unsaid:
        example = {"activation": 'activation="relu"', "norm_first": "norm_first=False"}
        raise StateError(
            f"[load_torch] weights alone do not say {' and '.join(unsaid)} of the transformer "
            "layers in PyTorch: give the PyTorch module itself, or "
            f"{', '.join(example[name] for name in unsaid)} (PyTorch's default), if it has that"
        )
    report = StateReport(settings=torch_settings.differences(module, theirs, said))
    links = _all_links("load_torch", module)
    counts = {path for link in links for path in link.theirs if path.endswith(COUNT)}
    state = {k: v for k, v in state.items() if k in counts or not k.endswith(COUNT)}
    load_links("load_torch", module, links, state, report)


def to_torch(module: Module) -> io.State:
    """The weights of `module` as NumPy arrays with PyTorch's names and layouts.

    `torch_model.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(module).items()})`
    takes them, and `tg.io.save(path, to_torch(module))` makes a file of them.

    Raises TypeError for a layer of `tg.nn` whose counterpart is not known.
    """
    arrays = {
        name: np.array(array, order="C")
        for link in _all_links("to_torch", module)
        for name, array in zip(link.theirs, link.write(*map(_host, link.ours)), strict=True)
    }
    return io.State(arrays, layout="pt")


# What is the same, layer by layer


class Link(NamedTuple):
    """Tensors of ours, and the names of PyTorch's that hold the same numbers."""

    ours: tuple[Tensor, ...]
    theirs: tuple[str, ...]
    read: Callable[..., tuple]  # from their arrays to ours
    write: Callable[..., tuple]  # from our arrays to theirs
    optional: tuple[str, ...] = ()  # those of theirs that stand for zeros where they are missing


def _as_it_is(*arrays: np.ndarray) -> tuple:
    return arrays


def _transposed(*arrays: np.ndarray) -> tuple:
    return tuple(array.T for array in arrays)


def below(name: str, links: Iterable[Link]) -> list[Link]:
    """The links of a layer as those of the module that PyTorch has it in, as attribute `name`."""
    return [
        link._replace(
            theirs=tuple(f"{name}.{theirs}" for theirs in link.theirs),
            optional=tuple(f"{name}.{theirs}" for theirs in link.optional),
        )
        for link in links
    ]


def same(layer: Module) -> list[Link]:
    """The Tensors in a layer, not in those it holds, have one name and layout in both.

    Buffers that are not persistent are in no state, there as here.
    """
    return [
        Link((x,), (name,), _as_it_is, _as_it_is)
        for name, x in held(layer)
        if isinstance(x, Tensor) and layer._registered.get(name, True)
    ]


def dense(layer: nn.Dense) -> list[Link]:
    """y = x W + b here, y = x W^T + b there."""
    return [
        link._replace(read=_transposed, write=_transposed) if link.theirs == ("weight",) else link
        for link in same(layer)
    ]


# Of our gates, in PyTorch's order: the blocks of the LSTM are i, f, o, g here, i, f, g, o there.
GATES = {nn.RNN: (0,), nn.GRU: (0, 1, 2), nn.LSTM: (0, 1, 3, 2)}


def recurrent(layer: Any) -> list[Link]:
    """One bias here, the sum of two there (of which bias=False has none).

    The GRU's new gate n keeps its recurrent bias apart, as the last block of ours.
    """
    size = layer.n_hidden
    order = next(gates for kind, gates in GATES.items() if isinstance(layer, kind))
    # The rows whose biases are summed.
    kept = 2 * size if isinstance(layer, nn.GRU) else len(order) * size

    def blocks(array, order):
        return np.concatenate([array[k * size : (k + 1) * size] for k in order])

    def read(w_ih, w_hh, *biases):
        b_ih, b_hh = (blocks(a, order) for a in biases)
        bias = np.concatenate([b_ih[:kept] + b_hh[:kept], b_ih[kept:], b_hh[kept:]])
        return *read_weights(w_ih, w_hh), bias

    def read_weights(w_ih, w_hh):
        return blocks(w_ih, order).T, blocks(w_hh, order).T

    back = np.argsort(order)

    def write(weight, recurrent, bias):
        b_ih = bias[: len(order) * size]
        b_hh = np.concatenate([np.zeros_like(bias[:kept]), bias[len(order) * size :]])
        return tuple(blocks(a, back) for a in (weight.T, recurrent.T, b_ih, b_hh))

    def write_weights(weight, recurrent):
        return blocks(weight.T, back), blocks(recurrent.T, back)

    links = []
    for k, direction, p in layer.directions():
        suffix = f"_l{k}" + ("_reverse" if direction == "reverse" else "")
        names = [f"{what}{suffix}" for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        if layer.has_bias:
            ours: tuple = p["weight"], p["recurrent"], p["bias"]
            links.append(Link(ours, tuple(names), read, write, optional=tuple(names[2:])))
        else:
            ours = p["weight"], p["recurrent"]
            links.append(Link(ours, tuple(names[:2]), read_weights, write_weights))
        if layer.proj_size:
            projection = (p["projection"],)
            links.append(Link(projection, (f"weight_hr{suffix}",), _transposed, _transposed))
    return links


def attention(layer: nn.MultiHeadAttention) -> list[Link]:
    """Three maps here, stacked into `in_proj` there."""
    if layer.num_kv_heads != layer.num_heads:
        raise TypeError("[interchange] grouped queries have no counterpart in PyTorch's attention")
    maps = layer.query, layer.key, layer.value

    def read(stacked):
        return tuple(part.T for part in np.split(stacked, 3))

    def write(*parts):
        return (np.concatenate([part.T for part in parts]),)

    weights = tuple(m.weight for m in maps)
    if len({m.n_in for m in maps}) == 1:
        links = [Link(weights, ("in_proj_weight",), read, write)]
    else:
        names = tuple(f"{name}_proj_weight" for name in "qkv")
        links = [Link(weights, names, _transposed, _transposed)]
    if layer.bias_key is not None and layer.bias_value is not None:
        further = layer.bias_key, layer.bias_value
        links.append(Link(further, ("bias_k", "bias_v"), _as_it_is, _as_it_is))
    if layer.query.bias is not None:
        biases: Any = tuple(m.bias for m in maps)
        links.append(Link(biases, ("in_proj_bias",), read, write))
    return [*links, *below("out_proj", dense(layer.out))]


def transformer_layer(layer: Any) -> list[Link]:
    """The sublayers of an encoder or decoder layer under PyTorch's names."""
    parts = torch_settings.parts(layer)
    return [link for name, part in parts.items() for link in below(name, links_of(part))]


def masked_tokens(head: MaskedTokens) -> list[Link]:
    """BERT's head for masked tokens, whose bias is no layer's."""
    transform, norm = below("transform", dense(head.transform)), below("norm", same(head.norm))
    return [*same(head), *transform, *norm]


LINKS: dict[type, Callable[[Any], list[Link]]] = {
    nn.Dense: dense,
    nn.Conv1D: same,
    nn.Conv2D: same,
    nn.Conv3D: same,
    nn.ConvTranspose1D: same,
    nn.ConvTranspose2D: same,
    nn.ConvTranspose3D: same,
    nn.Bilinear: same,
    nn.PReLU: same,
    nn.InstanceNorm: same,
    nn.EmbeddingBag: same,
    nn.Embedding: same,
    nn.LearnedPositions: same,  # an Embedding's weight there
    nn.LayerNorm: same,
    nn.RMSNorm: same,
    nn.GroupNorm: same,
    nn.BatchNorm: same,
    nn.RNN: recurrent,
    nn.GRU: recurrent,
    nn.LSTM: recurrent,
    nn.MultiHeadAttention: attention,
    nn.TransformerEncoderLayer: transformer_layer,
    nn.TransformerDecoderLayer: transformer_layer,
    MaskedTokens: masked_tokens,
}


def links_of(module: Module, above: tuple[Module, ...] = ()) -> list[Link]:
    """The Links of a module and of all below it (`above`: those on the way down to it)."""
    rule = next((LINKS[kind] for kind in type(module).__mro__ if kind in LINKS), None)
    if rule is not None:
        return rule(module)
    links = [] if type(module).__module__.startswith("tinygrad_like.") else same(module)
    for name, x in held(module):
        if isinstance(x, Module) and x is not module and x not in above:
            links += below(name, links_of(x, (*above, module)))
    return links


def _all_links(name: str, module: Module) -> list[Link]:
    """The Links of a module; TypeError unless they are of all its Tensors."""
    return all_linked(name, module, links_of(module))


def all_linked(name: str, module: Module, links: list[Link]) -> list[Link]:
    """The Links, if they are of all Tensors of a module; TypeError otherwise."""
    computing = [path for path, x in module.named_modules() if isinstance(x, nn.Parametrization)]
    if computing:
        raise TypeError(
            f"[{name}] {', '.join(computing)} of {type(module).__name__} are computed by "
            "nn.parametrize, which has no counterpart in PyTorch's weights; use this function "
            "before it, or after nn.unparametrize"
        )
    linked = {id(x) for link in links for x in link.ours}
    unknown = [path for path, x in module._leaves_by_path().items() if id(x) not in linked]
    if unknown:
        raise TypeError(
            f"[{name}] it is not known what {', '.join(unknown)} of {type(module).__name__} is in "
            f"PyTorch; known are {', '.join(kind.__name__ for kind in LINKS)} (add to LINKS)"
        )
    return links


# What fits


def read_state(name: str, weights: Any) -> Mapping:
    """{name: value} of a file or a mapping. Raises TypeError for anything else."""
    state = io.load(weights) if isinstance(weights, (str, os.PathLike)) else weights
    if not isinstance(state, Mapping):
        raise TypeError(
            f"[{name}] weights are a {type(weights).__name__}, expected a path, a dict or a module "
            "of PyTorch's"
        )
    unlike = next((key for key in state if not isinstance(key, str)), None)
    if unlike is not None:
        raise TypeError(f"[{name}] weights have the key {unlike!r}, expected names")
    return state


def load_links(
    name: str, module: Module, links: list[Link], state: Mapping, report: StateReport
) -> None:
    """Check everything that `links` ask of `state`, then copy it."""
    for path, value in state.items():
        layout = str(getattr(value, "layout", "torch.strided"))
        if getattr(value, "is_meta", False) or layout != "torch.strided":
            what = "on the meta device" if value.is_meta else f"{layout}, and not dense"
            raise TypeError(f"[{name}] {path} is {what}: give a tensor with all its values")
    state = {k: _host(v) for k, v in state.items()}
    links = _without_ties(links, state, report)
    for link in links:
        likes = link.write(*map(_host, link.ours))
        for path, like in zip(link.theirs, likes, strict=True):
            if path in link.optional:
                state.setdefault(path, np.zeros_like(like))
            _compare(path, state, like, link.ours[0], report)
    expected = {path for link in links for path in link.theirs}
    report.unexpected.extend(path for path in state if path not in expected)
    if report:
        raise StateError(
            f"[{name}] the weights do not fit {type(module).__name__}; nothing was changed:\n"
            f"{indent(str(report), '  ')}",
            report,
        )
    pairs = [
        (own, Tensor(array, dtype=own.dtype, device=own.device))
        for link in links
        for own, array in zip(
            link.ours, link.read(*(state[path] for path in link.theirs)), strict=True
        )
    ]
    overwrite((own, value.data) for own, value in pairs)


def _without_ties(links: list[Link], state: dict, report: StateReport) -> list[Link]:
    """One Link for each Tensor; what `state` has under other names goes to the first of them."""
    first: dict[tuple[int, ...], Link] = {}
    for link in links:
        one = first.setdefault(tuple(map(id, link.ours)), link)
        for name, other in zip(one.theirs, link.theirs, strict=True):
            if name != other and other in state:
                value = state.pop(other)
                if not np.array_equal(state.setdefault(name, value), value):
                    report.mistyped[other] = f"unlike {name}, and in our module the two are tied"
    return list(first.values())


def _compare(name: str, state: dict, like: np.ndarray, own: Tensor, report: StateReport) -> None:
    """Report what is wrong with the entry `name`, which should be like another array."""
    if name not in state:
        report.missing.append(name)
    elif (problem := mistyped(state[name], own)) is not None:
        report.mistyped[name] = problem
    elif state[name].shape != like.shape:
        report.misshaped[name] = state[name].shape, like.shape


def _host(value: Any) -> Any:
    """A tensor of ours or PyTorch's as a NumPy array; anything else unchanged."""
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    value = value.resolve_conj() if hasattr(value, "resolve_conj") else value
    try:
        return np.asarray(value)
    except TypeError:
        return np.asarray(value.float())  # bfloat16, which NumPy lacks
