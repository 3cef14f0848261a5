"""Small models with their inputs: whole training steps on the emulated GPU."""

import numpy as np

from tinygrad_like import nn


class CharLSTM(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(17, 12)
        self.lstm = nn.LSTM(12, 24, num_layers=2)
        self.head = nn.Dense(24, 17)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


def cnn():
    return nn.Sequential(
        nn.Conv2D(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Conv2D(8, 12, 3, padding=1),
        nn.BatchNorm(12),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Flatten(),
        nn.Dense(588, 32),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Dense(32, 10),
    )


def images(rng):
    return rng.standard_normal((6, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 6)


def tokens(rng):
    ids = rng.integers(0, 17, (3, 21))
    return ids[:, :-1], ids[:, 1:]


class BERT(nn.Module):
    """The logits of masked tokens of texts with padding, which is token 0."""

    def __init__(self):
        self.model = nn.BERTForMaskedLM(nn.BERT(17, 20, 32, 2, 4, pooler=False))

    def forward(self, ids):
        return self.model(ids, ids % 2, key_padding_mask=ids == 0)


MODELS = {
    "cnn": (cnn, images),
    "lstm": (CharLSTM, tokens),
    "bert": (BERT, tokens),
    "gpt": (lambda: nn.GPT(17, 20, 32, 2, 4), tokens),
}
