"""Beam search: the likeliest sequences of a model that writes token by token."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor, no_grad
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.layers.attention import KeyValueCache


def beam_search(
    step: Callable[[np.ndarray, Any], tuple[Any, Any]],
    prompt: Any,
    state: Any = None,
    *,
    length: int,
    width: int = 4,
    end: int | None = None,
    length_penalty: float = 0.0,
    reorder: Callable[[Any, np.ndarray], Any] | None = None,
) -> list[list[tuple[np.ndarray, float]]]:
    """The likeliest continuations of N prompts: for each one [(tokens, log P), ...], best first.

    Step by step the `width` likeliest beginnings of each prompt are kept. For an encoder-decoder
    the state holds what the encoder made of the source:

        def step(ids, state):
            memory, seen, cache = state
            logits, cache = model.decode(tg.Tensor(ids), memory, seen, cache)
            return logits[:, -1], (memory, seen, cache)

        found = nn.beam_search(step, starts, (*model.encode(source), None), length=20, end=END)

    Args:
        step: a function of new tokens (M, t) and a state, which returns the logits (M, vocabulary)
            of the token after them, and the next state. M is N in the first call, then N width.
        prompt: (N, t) integers, what the first call gets: often (N, 1), a token for the start.
        state: what the first call gets.
        length: the most tokens of a continuation.
        width: how many beginnings of each prompt are kept.
        end: the token after which a continuation is complete; it is not returned. With None all
            have `length` tokens. One that has not ended by then counts as it stands.
        length_penalty: candidates are compared by log P / (tokens, the end included)^penalty: 0
            prefers short ones, 1 takes the mean over tokens.
        reorder: a function of a state and an integer array (M,) that returns the state of these
            rows, which may repeat. By default Tensors and arrays, in lists, tuples and dicts too,
            are taken along their first axis, and key-value caches by `KeyValueCache.rows`; the
            state of an LSTM has its rows along the second axis.

    Returns for each prompt at most `width` pairs of an integer array and the sum of the log
    probabilities of its tokens, the end included.

    Nothing is recorded; put the model in evaluation mode first.

    Raises:
        ValueError: for a prompt that is not (N, t), numbers out of range, logits that are not
            (M, vocabulary), and logits that are NaN.
        TypeError: for tokens that are not integers.

    Source: Sutskever et al. 2014, "Sequence to sequence learning with neural networks", section
    3.2; Wu et al. 2016, "Google's neural machine translation system", section 7, for the penalty.

    >>> table = Tensor(np.log([[0.54, 0.45, 0.01], [0.1, 0.1, 0.8], [1, 1, 1]]))
    >>> found = beam_search(lambda ids, state: (table[ids[:, -1]], state), [[0]], length=2, end=2)
    >>> tokens, log_p = found[0][0]  # greedy search would take 0 twice, 0.54 * 0.54
    >>> tokens, round(float(np.exp(log_p)), 2)
    (array([1]), 0.36)
    """
    name = "beam_search"
    ids = np.asarray(prompt)
    if ids.ndim != 2 or 0 in ids.shape:
        raise ValueError(f"[{name}] the prompt has shape {ids.shape}, expected (N, t)")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"[{name}] the prompt is of {ids.dtype}, expected integers")
    length = arguments.integer(name, "length", length)
    width = arguments.integer(name, "width", width)
    arguments.number(name, "length_penalty", length_penalty, 0)
    reorder = reorder or _rows
    n = len(ids)
    tokens = np.zeros((n, 1, 0), np.int64)
    scores, counts = np.zeros((n, 1)), np.zeros((n, 1))
    done = np.zeros((n, 1), bool)
    with no_grad():
        for t in range(length):
            logits, state = step(ids, state)
            log_p = _log_probabilities(name, logits, len(ids)).reshape(*scores.shape, -1)
            if t == 0 and end is not None:
                _check_end(name, end, log_p.shape[-1])
            if done.any():  # what is complete has one continuation, itself
                log_p[done] = -np.inf
                log_p[done, end] = 0
            totals = scores[..., None] + log_p
            lengths = np.where(done, counts, t + 1)
            ranks = (totals / lengths[..., None] ** length_penalty).reshape(n, -1)
            best = np.argsort(-ranks, axis=1, kind="stable")[:, :width]
            parents, new = np.divmod(best, log_p.shape[-1])
            scores = np.take_along_axis(totals.reshape(n, -1), best, 1)
            counts = np.take_along_axis(lengths, parents, 1)
            done = np.take_along_axis(done, parents, 1) | (new == end)
            tokens = np.take_along_axis(tokens, parents[..., None], 1)
            tokens = np.concatenate([tokens, new[..., None]], axis=2)
            if done.all():
                break
            rows = (np.arange(n)[:, None] * log_p.shape[1] + parents).ravel()
            ids, state = new.reshape(-1, 1), reorder(state, rows)
    return [
        [
            (_until(row, end), float(score))
            for row, score in zip(*each, strict=True)
            if score > -np.inf
        ]
        for each in zip(tokens, scores, strict=True)
    ]


def _check_end(name: str, end: Any, vocabulary: int) -> None:
    if arguments.integer(name, "end", end, 0) >= vocabulary:
        raise ValueError(f"[{name}] end is {end}, expected 0 to {vocabulary - 1}")


def _log_probabilities(name: str, logits: Any, rows: int) -> np.ndarray:
    """log softmax of the logits in float64, (rows, vocabulary)."""
    x = logits.numpy() if isinstance(logits, Tensor) else np.asarray(logits)
    if x.ndim != 2 or len(x) != rows:
        raise ValueError(
            f"[{name}] step returned logits {x.shape}, expected ({rows}, vocabulary): those of the "
            "last token of each row"
        )
    if np.isnan(x).any():
        raise ValueError(f"[{name}] there are NaN among the logits: look at the model's weights")
    x = x - x.max(axis=1, keepdims=True).astype(np.float64)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


def _until(tokens: np.ndarray, end: int | None) -> np.ndarray:
    """The tokens before the first end."""
    if end is None or end not in tokens:
        return tokens
    return tokens[: int(np.flatnonzero(tokens == end)[0])]


def _rows(state: Any, rows: np.ndarray) -> Any:
    """The state of these rows of a batch."""
    if isinstance(state, KeyValueCache):
        return state.rows(rows)
    if isinstance(state, (list, tuple)):
        return type(state)(_rows(part, rows) for part in state)
    if isinstance(state, dict):
        return {name: _rows(part, rows) for name, part in state.items()}
    if state is None or not hasattr(state, "shape"):
        return state
    return state[rows]
