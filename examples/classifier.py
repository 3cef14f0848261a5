"""The model of classify_text.py: embeddings, an encoder, the mean over the words, a dense layer.

`ENCODERS` names the encoders: a bidirectional LSTM and a transformer.
"""

from docstrings import PADDING

import tinygrad_like as tg
from tinygrad_like import nn


class BidirectionalLSTM(nn.Module):
    """LSTMs from the first word to the last and back, side by side: (N, T, D) -> (N, T, D)."""

    def __init__(self, args):
        self.lstm = nn.LSTM(args.width, args.width // 2, args.layers, bidirectional=True)

    def forward(self, x, real):
        return self.lstm(x, lengths=real.sum(axis=1))[0]


class Transformer(nn.Module):
    """Self attention among the words that are there: (N, T, D) -> (N, T, D)."""

    def __init__(self, args):
        self.position = nn.LearnedPositions(args.length, args.width)
        self.encoder = nn.TransformerEncoder(
            args.width, args.heads, 2 * args.width, args.layers, dropout=args.dropout
        )

    def forward(self, x, real):
        return self.encoder(self.position(x), mask=real[:, None, None])


ENCODERS = {"lstm": BidirectionalLSTM, "transformer": Transformer}


class Classifier(nn.Module):
    """logits = Dense(mean over words of encoder(Embedding(ids))): ids (N, T) -> (N, classes)."""

    def __init__(self, args, vocabulary, classes):
        self.embedding = nn.Embedding(vocabulary, args.width)
        self.embedding.weight.data *= 0.1  # a rare word says little, from the start
        self.encoder = ENCODERS[args.model](args)
        self.dropout = nn.Dropout(args.dropout)
        self.head = nn.Dense(args.width, classes)

    def forward(self, ids):
        ids = ids[:, : int((ids != PADDING).sum(axis=1).max())]  # as the longest text among them
        real = ids != PADDING
        kept = self.dropout(tg.ones(ids.shape, device=ids.device))  # whole words go, or stay
        x = self.encoder(self.embedding(ids) * kept[..., None], real)
        share = real / real.sum(axis=1, keepdims=True)
        mean = (x * share[..., None]).sum(axis=1)
        return self.head(self.dropout(mean))
