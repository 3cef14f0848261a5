"""Compile the CPU's kernels ahead of their first use."""

import numpy as np

from tinygrad_like import losses, nn, optim
from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor
from tinygrad_like.generator import GENERATOR

KINDS = "images", "language", "sequences", "rows"


def warmup(dtype=np.float32, kinds=KINDS):
    """Train small models of every kind for a step, so that no later step waits for a compiler.

    What is compiled stays on disk: the next process loads it in about a second, warmed up or not.
    Random numbers are as if nothing had happened. `dtype` is float32 or float64.

    A compiler's memory comes back only when its process ends, and all kinds take some 700 MB: where
    that is too much, compile for some of `kinds` in one process, and for the others in the next.
    """
    if not set(kinds) <= set(KINDS):
        raise ValueError(f"[warmup] kinds is {kinds!r}, expected some of {KINDS}")
    with Undoing([GENERATOR.back()]):
        for kind in kinds:
            model, x = _model_and_input(kind)
            _train(model.to(dtype), Tensor(x, dtype=dtype if x.dtype.kind == "f" else None))


def _model_and_input(kind):
    tokens = np.zeros((2, 8), np.int64)
    if kind == "images":
        return _images_to_classes(), np.zeros((5, 3, 16, 16))
    if kind == "language":
        return nn.GPT(16, 8, 128, 1, 2, dropout=0.1), tokens
    if kind == "sequences":
        return _Recurrent(), tokens
    # More rows than NumPy adds up, and sums that are long for so few results.
    return nn.Sequential(nn.Dense(3, 8), nn.Dense(8, 1)), np.zeros((200, 3))


def _images_to_classes():
    return nn.Sequential(
        nn.Conv2D(3, 16, 3, padding=1),
        nn.BatchNorm(16),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.Conv2D(16, 12, 3, padding=1),
        nn.Conv2D(12, 16, 5, stride=2, padding=2),
        nn.SiLU(),
        nn.AvgPool2D(3),
        nn.Flatten(),
        nn.Dense(16, 1024),
        nn.Sigmoid(),
        nn.Dense(1024, 512),
        nn.GELU(),
        nn.Dense(512, 16),
        nn.Tanh(),  # of few numbers, as the next two
        nn.ReLU(),
        nn.Sigmoid(),
    )


class _Recurrent(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(16, 8)
        self.lstm, self.gru = nn.LSTM(8, 32), nn.GRU(32, 16)

    def forward(self, ids):
        return self.gru(self.lstm(self.embedding(ids))[0])[0]


def _train(model, x):
    """One step with each optimizer."""
    for optimizer in (optim.AdamW(model.parameters()), optim.SGD(model.parameters(), 0.01)):
        logits = model(x)
        loss = losses.cross_entropy(logits, np.zeros(logits.shape[:-1], np.int64))
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
