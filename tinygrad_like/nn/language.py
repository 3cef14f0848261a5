"""Language models beside GPT, and how one writes: RecurrentLM, generate, choose."""

from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor, no_grad
from tinygrad_like.nn.dense import Dense
from tinygrad_like.nn.embedding import Embedding
from tinygrad_like.nn.module import Module
from tinygrad_like.nn.norm import Dropout
from tinygrad_like.nn.recurrent import GRU, LSTM


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
    meanwhile, and in training mode afterwards. See `choose` for the other arguments.

    Raises ValueError for a text without tokens.
    """
    if not len(ids):
        raise ValueError("[generate] the prompt is empty, expected a token to begin with")
    random = np.random.default_rng(seed)
    model.eval()
    found, state = [], None
    with no_grad():
        for _ in range(count):
            logits, state = model.continued(ids, state)
            token = choose(logits.numpy().astype(np.float64), random, temperature, top_k, top_p)
            found.append(token)
            ids = np.array([token])
    model.train()
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

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration".
    """
    if temperature == 0:
        return int(logits.argmax())
    order = np.argsort(-logits, kind="stable")[:top_k]
    with np.errstate(over="ignore"):  # at a temperature near 0 the others count for nothing
        p = np.exp((logits[order] - logits[order[0]]) / temperature)
    p /= p.sum()
    kept = np.cumsum(p) - p < top_p
    kept[0] = True
    return int(random.choice(order[kept], p=p[kept] / p[kept].sum()))
