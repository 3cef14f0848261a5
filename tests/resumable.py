"""A training run that can be stopped and resumed, for test_resume.py.

    python resumable.py STATE UNTIL EVERY

goes on from the file STATE, or begins where there is none, and stops at step UNTIL. It saves then,
and after every EVERY steps, and says so.
"""

import os
import sys

import tinygrad_like as tg
from tinygrad_like import nn


class Run:
    """Everything that the next step depends on: one dict, one file."""

    def __init__(self):
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
        self.step, self.loss = 0, 0.0

    def save(self, path):
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "loader": self.loader.state_dict(),
            "random": tg.get_rng_state(),
            "step": self.step,
            "loss": self.loss,
        }
        tg.io.save(path, state)

    def load(self, path):
        state = tg.io.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.loader.load_state_dict(state["loader"])
        tg.set_rng_state(state["random"])
        self.step, self.loss = state["step"], state["loss"]

    def train(self, path, until, every):
        while self.step < until:
            for images, labels in self.loader:
                logits = tg.checkpoint(self.model, tg.Tensor(images))
                loss = tg.losses.cross_entropy(logits, tg.Tensor(labels))
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.schedule.step()
                self.step, self.loss = self.step + 1, loss.item()
                if self.step % every == 0 or self.step == until:
                    self.save(path)
                    print(f"saved {self.step}", flush=True)
                if self.step == until:
                    return


if __name__ == "__main__":
    path, until, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    run = Run()
    if os.path.exists(path):
        run.load(path)
    run.train(path, until, every)
