"""RecurrentLM: a language model of recurrent layers."""

from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.layers.dense import Dense
from tinygrad_like.nn.layers.embedding import Embedding
from tinygrad_like.nn.layers.norm import Dropout
from tinygrad_like.nn.layers.recurrent import GRU, LSTM
from tinygrad_like.nn.models.generation import LanguageModel


class RecurrentLM(LanguageModel):
    """logits = Dense(LSTM or GRU(Embedding(ids))): ids (N, T) -> (N, T, vocabulary).

    `kind` is "lstm" or "gru"; the embedding has half the width of the recurrent layers.
    """

    def __init__(self, kind: str, vocabulary: int, width: int, layers: int, dropout: float = 0.0):
        arguments.choice("RecurrentLM", "kind", kind, ("lstm", "gru"))
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
        """The logits of the token after a text, and a state to go on from: see `GPT.continued`."""
        logits, state = self._logits(ids[None], state)
        return logits[0, -1], state

    def continued_texts(self, texts: Any, state: Any = None) -> tuple[Tensor, Any]:
        """The logits after each of several texts, (N, vocabulary): see `GPT.continued_texts`."""
        lengths = np.array([len(text) for text in texts])
        ids = np.stack([np.pad(text, (0, lengths.max() - len(text))) for text in texts])
        out, state = self.rnn(self.embedding(ids), state, lengths=lengths)
        last = out[np.arange(len(texts)), lengths - 1]
        return self.head(self.dropout(last)), state
