"""A tiny training by `tg.Run`, and what its folder holds."""

import json
import signal

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn

CHECKPOINT, LINES = "checkpoint.safetensors", "history.jsonl"
BATCHES = 3
SETTINGS = {"lr": 0.1, "seed": 3}


class Training:
    """A tiny model: BATCHES steps to an epoch, dropout, and data of two classes."""

    def __init__(self, folder, settings=SETTINGS, **options):
        tg.seed(3)
        data = np.random.default_rng(0).standard_normal((BATCHES * 4, 2)).astype(np.float32)
        labels = (data.sum(axis=1) > 0).astype(np.int64)
        self.model = nn.Sequential(nn.Dense(2, 4), nn.Dropout(0.2), nn.Dense(4, 2))
        self.optimizer = tg.optim.Adam(self.model.parameters(), 0.1)
        self.loader = tg.data.DataLoader(tg.data.Dataset(data, labels), 4, shuffle=True, seed=1)
        parts = {"model": self.model, "optimizer": self.optimizer, "loader": self.loader}
        self.run = tg.Run(folder, settings=settings, **parts, **options)

    def train(self, epochs, after=lambda run: None):
        """Train; `after(run)` is called at the end of each step's body."""
        for x, labels in self.run.epochs(self.loader, epochs):
            loss = tg.losses.cross_entropy(self.model(tg.Tensor(x)), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.run.log(loss=loss)
            if self.run.epoch_ended:
                self.run.log(accuracy=0.5 + 0.01 * self.run.epoch)
            after(self.run)
        return self


def lines(folder):
    """The rows of the log."""
    return [json.loads(line) for line in (folder / LINES).read_text().splitlines()]


def contents(folder):
    """{name: bytes} of the checkpoint and the log."""
    return {name: (folder / name).read_bytes() for name in (CHECKPOINT, LINES)}


def interrupt(step):
    """For `Training.train`: presses Ctrl-C in the body of a step."""

    def press(run):
        if run.step == step:
            signal.raise_signal(signal.SIGINT)

    return press
