"""Language models beside GPT, and how one writes: RecurrentLM, generate, choose."""

from typing import Any

import numpy as np

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, check_number, no_grad
from tinygrad_like.nn import arguments
from tinygrad_like.nn.dense import Dense
from tinygrad_like.nn.embedding import Embedding
from tinygrad_like.nn.module import Module
from tinygrad_like.nn.norm import Dropout
from tinygrad_like.nn.recurrent import GRU, LSTM
from tinygrad_like.nn.undone import attributes_back


class RecurrentLM(Module):
    """logits = Dense(LSTM or GRU(Embedding(ids))): ids (N, T) -> (N, T, vocabulary).

    `kind` is "lstm" or "gru"; the embedding has half the width of the recurrent layers.
    """

    def __init__(self, kind: str, vocabulary: int, width: int, layers: int, dropout: float = 0.0):
        if kind not in ("lstm", "gru"):
            raise ValueError(f"[RecurrentLM] kind is {kind!r}, expected 'lstm' or 'gru'")
        layer: Any = {"lstm": LSTM, "gru": GRU}[kind]
        self.embedding = Embedding(vocabulary, width // 2)
        self.rnn = layer(width // 2, width, num_layers=layers, dropout=dropout)
        self.dropout = Dropout(dropout)
        self.head = Dense(width, vocabulary)

    def forward(self, ids: Any) -> Tensor:
        return self._logits(ids, None)[0]

    def _logits(self, ids: Any, state: Any) -> tuple[Tensor, Any]:
        out, state = self.rnn(self.embedding(ids), state)
        return self.head(self.dropout(out)), state

    def continued(self, ids: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits of the token after a text, and a state to go on from: as `GPT.continued`."""
        logits, state = self._logits(ids[None], state)
        return logits[0, -1], state


def generate(
    model: Any,
    ids: np.ndarray,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """`count` tokens that a language model adds to those of a text `ids` (T,): (count,).

    The model has a method `continued`, as GPT and RecurrentLM do. It is in evaluation mode
    meanwhile; each of its modules then has the mode that it had, whatever is raised. See `choose`
    for the other arguments.

    Raises ValueError for a text without tokens, and for what `choose` refuses.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1:
        raise ValueError(f"[generate] the prompt has shape {ids.shape}, expected (T,): one text")
    if not ids.size:
        raise ValueError("[generate] the prompt is empty, expected a token to begin with")
    arguments.integer("generate", "count", count, 0)
    random = np.random.default_rng(seed)
    found, state = [], None
    with Undoing(attributes_back(model, "training")), no_grad():
        model.eval()
        for _ in range(count):
            logits, state = model.continued(ids, state)
            token = choose(logits.numpy().astype(np.float64), random, temperature, top_k, top_p)
            found.append(token)
            ids = np.array([token])
    return np.array(found, np.int64)


def choose(
    logits: np.ndarray,
    random: np.random.Generator,
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
    check_number("choose", "temperature", temperature, 0)
    if top_k is not None:
        arguments.integer("choose", "top_k", top_k)
    check_number("choose", "top_p", top_p, 0, 1)
    if np.isnan(logits).any():
        raise ValueError("[choose] there are NaN among the logits: look at the model's weights")
    if temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[:top_k]
    with np.errstate(over="ignore"):  # at a temperature near 0 the others count for nothing
        p = np.exp((logits[order] - logits[order[0]]) / temperature)
    p /= p.sum()
    kept = np.cumsum(p) - p < top_p
    kept[0] = True
    return int(random.choice(order[kept], p=p[kept] / p[kept].sum()))
