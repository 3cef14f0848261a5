"""A training run that can be stopped and resumed, for test_resume.py.

    python resumable.py STATE UNTIL EVERY [float16]

goes on from the file STATE, or begins where there is none, and stops at step UNTIL. It saves then,
and after every EVERY steps, and says so. In float16 the scale of the loss grows so often that it
overflows time and again.
"""

import os
import sys

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn


class Run:
    """A model with all that its next step depends on."""

    def __init__(self, path, half=False):
        tg.seed(11)
        self.model = nn.Sequential(
            nn.Flatten(),
            nn.Dense(64, 32),
            nn.BatchNorm(32),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Dense(32, 10),
        )
        self.optimizer = tg.optim.Adam(self.model.parameters(), lr=1e-2)
        self.schedule = tg.optim.CosineLR(self.optimizer, 100, warmup_steps=10)
        train, _ = tg.data.digits()
        # 22 full batches and a smaller one: 100 steps are more than four epochs.
        self.loader = tg.data.DataLoader(train, 64, shuffle=True, seed=5)
        self.autocast = tg.autocast("float16", enabled=half)
        self.scaler = tg.optim.GradScaler(growth=16.0, interval=5, enabled=half)
        self.step, self.loss = 0, 0.0
        self.checkpoint = tg.io.Checkpoint(
            path,
            {"seed": 11, "half": half},
            model=self.model,
            optimizer=self.optimizer,
            schedule=self.schedule,
            loader=self.loader,
            scaler=self.scaler,
        )

    def save(self):
        self.checkpoint.save(step=self.step, loss=self.loss)

    def load(self):
        progress = self.checkpoint.load()
        self.step, self.loss = progress["step"], progress["loss"]

    def train(self, until, every):
        while self.step < until:
            for images, labels in self.loader:
                with self.autocast:
                    logits = tg.checkpoint(self.model, tg.Tensor(images))
                    loss = tg.losses.cross_entropy(logits, tg.Tensor(labels))
                self.optimizer.zero_grad()
                with np.errstate(over="ignore", invalid="ignore"):
                    self.scaler.scale(loss).backward()
                self.scaler.step(self.optimizer)
                self.schedule.step()
                self.step, self.loss = self.step + 1, loss.item()
                if self.step % every == 0 or self.step == until:
                    self.save()
                    print(f"saved {self.step}", flush=True)
                if self.step == until:
                    return


if __name__ == "__main__":
    path, until, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    run = Run(path, half=sys.argv[4:] == ["float16"])
    if os.path.exists(path):
        run.load()
    run.train(until, every)
