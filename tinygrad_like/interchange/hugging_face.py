"""Weights in Hugging Face's layout in our language models: GPT-2's and BERT's.

A layout is a list of Links, as in weights.py: arrays of ours, and the names of theirs that hold the
same numbers. GPT-2 keeps its matrices as (n_in, n_out), as we do; BERT keeps PyTorch's.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_like import nn
from tinygrad_like.interchange.weights import (
    Link,
    all_linked,
    below,
    dense,
    load_links,
    read_state,
    same,
)
from tinygrad_like.nn.base.state import StateReport
from tinygrad_like.nn.models.bert import MaskedTokens

# GPT-2


def load_gpt2(model: nn.GPT, weights: Any) -> None:
    """Copy the weights of a GPT-2 in Hugging Face's layout into a GPT of the same sizes.

    Args:
        model: made with `activation="gelu_tanh"`, GPT-2's.
        weights: the safetensors file of a GPT2Model or GPT2LMHeadModel, or a dict of arrays. The
            causal masks in it, and the head, which is the token embedding, are passed over.

    Raises as `load_torch` does, and ValueError for a model with another activation.
    """
    for block in model.blocks:
        activation = block.feed_forward.activation
        if not getattr(activation, "approximate", False):
            raise ValueError(
                f"[load_gpt2] the model has {activation!r}, expected the activation of GPT-2: "
                'nn.GPT(..., activation="gelu_tanh")'
            )
    state = read_state("load_gpt2", weights)
    passed = (".attn.bias", ".attn.masked_bias", "lm_head.weight")
    state = {k.removeprefix("transformer."): v for k, v in state.items() if not k.endswith(passed)}
    links = all_linked("load_gpt2", model, _gpt2_links(model))
    load_links("load_gpt2", model, links, state, StateReport())


def _gpt2_links(model: nn.GPT) -> list[Link]:
    """GPT-2 holds its weights as (n_in, n_out), as we do, and stacks query, key and value."""

    def split(stacked):
        return tuple(np.split(stacked, 3, axis=-1))

    def stack(*parts):
        return (np.concatenate(parts, axis=-1),)

    links = [*below("wte", same(model.token)), *below("wpe", same(model.position))]
    for i, block in enumerate(model.blocks):
        maps = block.attention.query, block.attention.key, block.attention.value
        parts = [
            Link(tuple(getattr(m, what) for m in maps), (f"attn.c_attn.{what}",), split, stack)
            for what in ("weight", "bias")
        ]
        for name, layer in (
            ("attn.c_proj", block.attention.out),
            ("mlp.c_fc", block.feed_forward.up),
            ("mlp.c_proj", block.feed_forward.down),
            ("ln_1", block.norm1),
            ("ln_2", block.norm2),
        ):
            parts += below(name, same(layer))
        links += below(f"h.{i}", parts)
    return [*links, *below("ln_f", same(model.norm))]


# BERT

ACTIVATIONS = {
    "gelu": "gelu",
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), "gelu_tanh"),
    "relu": "relu",
    **dict.fromkeys(("silu", "swish"), "silu"),
}  # from their names to ours
OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}  # of norms, in the first checkpoints
FOREIGN = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}
HEADS = "cls.", "classifier."  # what a checkpoint has beside the BERT
POSITIONS = "embeddings.position_ids"  # a constant that old checkpoints have


def load_bert(model: Any, weights: Any, *, config: Any = None) -> None:
    """Copy the weights of a BERT in Hugging Face's layout into one of ours of the same sizes.

    Args:
        model: an nn.BERT, which passes over the heads in a checkpoint; or one of the models with a
            head, nn.BERTForMaskedLM and its like, which expects that head, and no other. A
            checkpoint without a pooler is for an nn.BERT with `pooler=False`.
        weights: a folder that `save_pretrained` wrote, the safetensors file in it, the model in
            `transformers` itself, or a dict of arrays with its names.
        config: the settings of the checkpoint, a dict or the path of a config.json. By default
            those in the folder, beside the file or in the model are taken; where there are none,
            the number of heads, the activation and the eps of the norms are taken on trust.

    Raises:
        StateError: with a full report of what is missing, unexpected, or of another shape or
            setting, by Hugging Face's names; nothing is changed then.
        ValueError: for a checkpoint of another architecture, or settings that cannot be read.
        FileError: for a file that is no safetensors file, or damaged; FileNotFoundError for none.
        TypeError: for a model that is not one of ours, and for weights of another type.

    >>> bert = nn.BERT(30522, 512, 768, 12, 12)  # doctest: +SKIP
    >>> load_bert(bert, "bert-base-uncased")  # doctest: +SKIP
    """
    bert = model if isinstance(model, nn.BERT) else getattr(model, "bert", None)
    if not isinstance(bert, nn.BERT):
        raise TypeError(
            f"[load_bert] model is a {type(model).__name__}, expected an nn.BERT or one with a "
            "head, such as nn.BERTForMaskedLM"
        )
    weights, settings = _bert_parts(weights, config)
    state = {_bert_name(name): value for name, value in read_state("load_bert", weights).items()}
    passed = (POSITIONS, *HEADS) if bert is model else POSITIONS
    state = {name: value for name, value in state.items() if not name.startswith(passed)}
    if "embeddings.word_embeddings.weight" not in state:
        raise ValueError(
            f"[load_bert] these are no weights of a BERT: {', '.join([*state][:3]) or 'none'}, ... "
            "without embeddings.word_embeddings.weight"
        )
    report = StateReport(settings={} if settings is None else _bert_differences(bert, settings))
    links = all_linked("load_bert", model, _bert_links(model, bert))
    load_links("load_bert", model, links, state, report)


def _bert_parts(weights: Any, config: Any) -> tuple[Any, Mapping | None]:
    """The weights, a file or arrays by name, and the settings if there are any."""
    if hasattr(weights, "state_dict"):
        own = getattr(weights, "config", None)
        config = own.to_dict() if config is None and own is not None else config
        weights = weights.state_dict()
    elif isinstance(weights, (str, os.PathLike)):
        path = Path(weights)
        folder = path if path.is_dir() else path.parent
        if config is None and (folder / "config.json").is_file():
            config = folder / "config.json"
        weights = path / "model.safetensors" if path.is_dir() else path
    if isinstance(config, (str, os.PathLike)):
        try:
            config = json.loads(Path(config).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"[load_bert] {config} is no JSON: {error}") from None
    if config is not None and not isinstance(config, Mapping):
        raise ValueError(f"[load_bert] config is a {type(config).__name__}, expected a dict")
    kind = "bert" if config is None else config.get("model_type", "bert")
    if kind != "bert":
        names = ", ".join(config.get("architectures") or ()) if config else ""
        raise ValueError(
            f"[load_bert] the checkpoint is a {kind!r}{f' ({names})' if names else ''}, expected "
            "a 'bert'"
        )
    return weights, config


def _bert_name(name: str) -> str:
    """A name as the newest checkpoints have it, without the BERT that it lies in."""
    name = name.removeprefix("bert.")
    for old, new in OLD_NAMES.items():
        if name.endswith(f"LayerNorm{old}"):
            name = name.removesuffix(old) + new
    return name


def _bert_differences(bert: nn.BERT, settings: Mapping) -> dict[str, str]:
    """{setting: what it is here and there} of those that no shape of a weight tells."""
    activation = settings.get("hidden_act", "gelu")
    block: Any = bert.blocks[0]
    pairs = {
        "num_attention_heads": (block.attention.num_heads, settings.get("num_attention_heads")),
        "hidden_act": (bert.activation, ACTIVATIONS.get(activation, activation)),
        "layer_norm_eps": (bert.norm.eps, settings.get("layer_norm_eps")),
        **{name: (ours, settings.get(name)) for name, ours in FOREIGN.items()},
    }
    return {
        name: f"{settings[name]!r}, the model's is {ours!r}"
        for name, (ours, theirs) in pairs.items()
        if theirs is not None and theirs != ours
    }


def _bert_links(model: Any, bert: nn.BERT) -> list[Link]:
    """The Links of a BERT, and of the head in `model` if that is not the BERT itself."""
    links = [
        *below("embeddings.word_embeddings", same(bert.token)),
        *below("embeddings.position_embeddings", same(bert.position)),
        *below("embeddings.token_type_embeddings", same(bert.segment)),
        *below("embeddings.LayerNorm", same(bert.norm)),
    ]
    for i, block in enumerate(bert.blocks):
        for name, layer in {
            "attention.self.query": block.attention.query,
            "attention.self.key": block.attention.key,
            "attention.self.value": block.attention.value,
            "attention.output.dense": block.attention.out,
            "intermediate.dense": block.feed_forward.up,
            "output.dense": block.feed_forward.down,
        }.items():
            links += below(f"encoder.layer.{i}.{name}", dense(layer))
        for name, norm in (("attention.output", block.norm1), ("output", block.norm2)):
            links += below(f"encoder.layer.{i}.{name}.LayerNorm", same(norm))
    if bert.pooler is not None:
        links += below("pooler.dense", dense(bert.pooler))
    if isinstance(getattr(model, "tokens", None), MaskedTokens):
        links += _masked_links(bert, model.tokens)
    for name, theirs in (("next", "cls.seq_relationship"), ("classifier", "classifier")):
        if hasattr(model, name):
            links += below(theirs, dense(getattr(model, name)))
    return links


def _masked_links(bert: nn.BERT, head: MaskedTokens) -> list[Link]:
    """The head for masked tokens, whose `decoder` is tied: its weight to the token embedding."""

    def kept(*arrays: np.ndarray) -> tuple:
        return arrays

    names = "cls.predictions.bias", "cls.predictions.decoder.bias"
    return [
        *below("cls.predictions.transform.dense", dense(head.transform)),
        *below("cls.predictions.transform.LayerNorm", same(head.norm)),
        *(Link((head.bias,), (name,), kept, kept) for name in names),
        *below("cls.predictions.decoder", same(bert.token)),
    ]
