"""Text by a language model: generate draws it token by token, choose draws one token."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import no_grad
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.undone import attributes_back


class LanguageModel(Module):
    """What GPT and RecurrentLM share: they generate text."""

    def generate(
        self,
        prompt: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        repetition_penalty: float = 1.0,
        stop: int | Sequence[int] = (),
        seed: int = 0,
    ) -> Any:
        """Continue a text, or several at once, by tokens of this model: see `nn.generate`.

        >>> from tinygrad_like.nn import GPT
        >>> gpt = GPT(11, context=8, d_model=16, num_layers=1, num_heads=2)
        >>> one, other = gpt.generate([[3, 1, 4], [1]], 5)
        >>> one.shape, other.shape
        ((5,), (5,))
        """
        return generate(
            self, prompt, max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
            repetition_penalty=repetition_penalty, stop=stop, seed=seed,
        )  # fmt: skip


def generate(
    model: Any,
    prompt: Any,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    stop: int | Sequence[int] = (),
    seed: int = 0,
) -> Any:
    """Continue a text, or several at once, by at most `count` tokens of a language model.

    The model has a method `continued`, as GPT and RecurrentLM do, and goes on from its state (the
    keys and values of a GPT), so that a token costs the same however long the text is. When the
    context of a GPT is full, the last half of it is read again. The model is in evaluation mode
    meanwhile; afterwards, and after an error too, each of its modules has its own mode again.

    Args:
        prompt: the tokens of one text (T,), or several texts: a list of them, whose lengths may
            differ, or an array (N, T).
        count: the most tokens to add to each text.
        temperature, top_k, top_p: see `choose`; temperature 0 takes the likeliest token.
        repetition_penalty: what the logit of a token that the text already has is divided by if it
            is positive, and multiplied by if it is negative.
        stop: one token or several, after each of which a text ends: it is the last one returned.
        seed: what the draws depend on. Each text of a batch has its own stream, so that the first
            one is what it is alone.

    Returns the new tokens: an integer array, or for several texts a list of arrays.

    Raises:
        ValueError: for a text without tokens or beyond the model's context, and for what `choose`
            refuses.
        TypeError: for tokens that are not integers.

    Source: Keskar et al. 2019, "CTRL", section 4.1, for the penalty.
    """
    texts, alone = _texts(prompt, getattr(model, "context", None))
    arguments.integer("generate", "count", count, 0)
    arguments.number("generate", "repetition_penalty", repetition_penalty)
    if repetition_penalty <= 0:
        raise ValueError(
            f"[generate] repetition_penalty is {repetition_penalty}, expected a number above 0"
        )
    stops = set(np.atleast_1d(np.asarray(stop, np.int64)).tolist())
    streams = [np.random.default_rng([seed, i]) for i in range(len(texts))]
    found: list[list[int]] = [[] for _ in texts]
    news, state, live = texts, None, list(range(len(texts)))
    with Undoing(attributes_back(model, "training")), no_grad():
        model.eval()
        for _ in range(count):
            logits, state = _continued(model, news, state)
            for i in live:
                seen = np.concatenate([texts[i], np.array(found[i], np.int64)])
                row = _penalised(logits[i], seen, repetition_penalty)
                found[i].append(choose(row, streams[i], temperature, top_k, top_p))
            live = [i for i in live if found[i][-1] not in stops]
            if not live:
                break
            news = [np.array(tokens[-1:]) for tokens in found]
    arrays = [np.array(tokens, np.int64) for tokens in found]
    return arrays[0] if alone else arrays


def _texts(prompt: Any, context: int | None) -> tuple[list[np.ndarray], bool]:
    """The texts of a prompt, and whether it is a single one."""
    several = isinstance(prompt, (list, tuple)) and any(np.ndim(text) for text in prompt)
    if not several:
        prompt = np.asarray(prompt)
        several = prompt.ndim == 2
    texts = [np.asarray(text) for text in prompt] if several else [prompt]
    for text in texts:
        if text.ndim != 1:
            raise ValueError(
                f"[generate] the prompt has shape {text.shape}, expected the tokens of a text (T,)"
            )
        if not text.size:
            raise ValueError("[generate] the prompt is empty, expected a token to begin with")
        if text.dtype.kind not in "iu":
            raise TypeError(f"[generate] the prompt is of {text.dtype}, expected integers")
        if context is not None and len(text) > context:
            raise ValueError(
                f"[generate] the prompt has {len(text)} tokens, more than the context of {context}:"
                f" give the last ones, prompt[-{context}:]"
            )
    if not texts:
        raise ValueError("[generate] there are no prompts, expected at least one")
    return [text.astype(np.int64) for text in texts], not several


def _continued(model: Any, texts: list[np.ndarray], state: Any) -> tuple[np.ndarray, Any]:
    """The logits after each text, float64 (N, vocabulary), and a state to go on from."""
    if hasattr(model, "continued_texts"):
        logits, state = model.continued_texts(texts, state)
        return logits.numpy().astype(np.float64), state
    states = state or [None] * len(texts)
    pairs = [model.continued(*each) for each in zip(texts, states, strict=True)]
    rows = [logits.numpy().astype(np.float64) for logits, _ in pairs]
    return np.stack(rows), [state for _, state in pairs]


def _penalised(logits: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Logits in which those of the tokens `seen` are lowered by a penalty above 1."""
    if penalty == 1:
        return logits
    logits, seen = logits.copy(), np.unique(seen)
    values = logits[seen]
    logits[seen] = np.where(values > 0, values / penalty, values * penalty)
    return logits


def choose(
    logits: np.ndarray,
    random: "np.random.Generator",  # NumPy loads its generators on use
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> int:
    """Draw a token from its logits (vocabulary,).

    `temperature` sharpens the distribution, 0 takes the likeliest. `top_k` keeps the k likeliest
    tokens, `top_p` (nucleus sampling) the fewest likeliest ones that together reach p.

    Raises ValueError for a temperature below 0, a top_k below 1, a top_p that is not in [0, 1], and
    logits that are NaN.
    Source: Holtzman et al. 2020, "The curious case of neural text degeneration".
    """
    arguments.number("choose", "temperature", temperature, 0)
    if top_k is not None:
        arguments.integer("choose", "top_k", top_k)
    arguments.number("choose", "top_p", top_p, 0, 1)
    if np.isnan(logits).any():
        raise ValueError("[choose] there are NaN among the logits: look at the model's weights")
    if temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[:top_k]
    with np.errstate(over="ignore"):  # an overflow to -inf is probability 0
        p = np.exp((logits[order] - logits[order[0]]) / temperature)
    p /= p.sum()
    kept = np.cumsum(p) - p < top_p
    kept[0] = True
    return int(random.choice(order[kept], p=p[kept] / p[kept].sum()))
