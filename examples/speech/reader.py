"""The model of speech_digits.py, and how it reads: by CTC, or by a vote of the frames on a word."""

import numpy as np
from voices import BANDS

import tinygrad_like as tg
from tinygrad_like import nn


class Reader(nn.Module):
    """log P (T / 4, N, 1 + words) of a blank and of each word, from features (N, T, BANDS)."""

    def __init__(self, words, width, dropout):
        self.first = nn.Conv1D(BANDS, width, 5, stride=2, padding=2)
        self.second = nn.Conv1D(width, width, 5, stride=2, padding=2)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.lstm = nn.LSTM(width, width, bidirectional=True)
        self.dropout, self.head = nn.Dropout(dropout), nn.Dense(2 * width, 1 + words)

    def forward(self, sounds, lengths):
        x, lengths = sounds, -(-lengths // 4)
        for conv, norm in zip((self.first, self.second), self.norms, strict=True):
            x = tg.relu(norm(conv(x.swapaxes(1, 2)).swapaxes(1, 2)))
        h, _ = self.lstm(self.dropout(x), lengths=lengths)
        return tg.log_softmax(self.head(self.dropout(h))).swapaxes(0, 1), lengths


def loss_of(log_p, lengths, labels, commands):
    """CTC; of single words cross-entropy, the frames of a word voting by their mean log P."""
    if not commands:
        return tg.losses.ctc(log_p, labels.values, lengths, labels.lengths, zero_infinity=True)
    return tg.losses.cross_entropy(votes(log_p, lengths), tg.Tensor(labels.values[:, 0] - 1))


def votes(log_p, lengths):
    """Scores of the words (N, words)."""
    seen = tg.Tensor(np.arange(log_p.shape[0])[:, None, None] < lengths[:, None])
    return tg.where(seen, log_p, 0).sum(axis=0)[:, 1:] / tg.Tensor(lengths[:, None])


def read(model, loader, words, commands, width=1):
    """(what was said, what the model read) as lists of texts, by a beam or, of 1, greedily."""
    said, found = [], []
    model.eval()
    with tg.no_grad():
        for sounds, labels in loader:
            log_p, lengths = model(tg.Tensor(sounds.values), sounds.lengths)
            if commands:
                read = 1 + votes(log_p, lengths).numpy().argmax(axis=1)[:, None]
            elif width == 1:
                read = nn.ctc_greedy(log_p, lengths)
            else:
                read = [results[0][0] for results in nn.ctc_beam(log_p, lengths, width=width)]
            said += [row[:n] for row, n in zip(labels.values, labels.lengths, strict=True)]
            found += list(read)
    model.train()
    return tuple([" ".join(words[k - 1] for k in row) for row in rows] for rows in (said, found))
